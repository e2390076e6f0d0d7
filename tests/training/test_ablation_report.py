from __future__ import annotations

import json
import re

import numpy as np
import pytest

from nunext_training.ablation.plan import Run, with_parents
from nunext_training.ablation.report import write_ablation
from nunext_training.data.held_out import HeldOut
from nunext_training.data.labelled import LabelledImage
from nunext_training.recipes.recipe import Recipe

ROWS = with_parents(["sass", "nsft-grpo"])
START, NSFT, SASS, GRPO = ROWS
F1 = {
    Run(START, None): 0.5,
    Run(NSFT, 3): 0.6,
    Run(NSFT, 4): 0.7,
    Run(GRPO, 3): 0.65,
    Run(GRPO, 4): 0.72,
}


@pytest.fixture
def report(tmp_path):
    figures = {
        run: {"overall": {"f1": f1, "precision": f1 + 0.1, "recall": f1 - 0.1}}
        for run, f1 in F1.items()
    }
    for run, less in ((Run(NSFT, 3), 0.06), (Run(NSFT, 4), 0.06), (Run(GRPO, 3), 0.03)):
        figures[run]["other_matching"] = {"overall": {"f1": F1[run] - less}}
    points = np.zeros((7, 2))
    image = LabelledImage("TCGA-1", None, 0.5, "user", points, ("N",) * 7, "val", "p")
    held = HeldOut((image,), frozenset({"p"}), "1 of the 2 <patients>")
    write_ablation(tmp_path, figures, ROWS, Recipe(), held)
    return tmp_path


def test_the_table_is_mean_and_spread_over_seeds(report):
    table, by_seed = json.loads((report / "report.json").read_text())["tables"]
    assert table["layout_of_table"] == 5
    for each in (table, by_seed):
        assert {len(row) for row in each["rows"]} == {len(each["header"])}
    start, nsft, sass, grpo = (row[8:] for row in table["rows"])
    assert table["header"][8::5] == ["F1, gated", "F1, hungarian"]
    assert start == [0.5, None, "1", *[None] * 5, 0.587, None]
    # 0.6 and 0.7: mean 0.65, and a deviation of 0.1 / sqrt(2).
    assert (nsft[:2], nsft[3:5]) == (
        pytest.approx([0.65, 0.1 / 2**0.5]),
        pytest.approx([0.15, 0.1 / 2**0.5]),
    )
    assert (nsft[2], nsft[8]) == ("2", 0.812)
    assert nsft[5] == pytest.approx(0.59)
    assert nsft[6:8] == [None, None]  # nobody measured the start so
    assert nsft[9] == pytest.approx(0.225)
    assert sass[:9] == [None, None, "0", *[None] * 5, 0.819]
    # Gains are paired: 0.05 and 0.02 above the NSFT of the same seed.
    assert grpo[3:5] == pytest.approx([0.035, 0.03 / 2**0.5])
    # By the other matching seed 3 alone has one: 0.62 above 0.54.
    assert grpo[5:8] == [pytest.approx(0.62), pytest.approx(0.08), None]
    assert by_seed["rows"][0][4:6] == [0.5, 0.5]
    assert by_seed["rows"][3][1:3] == ["nsft-grpo", "nsft"]
    assert by_seed["rows"][3][4:] == pytest.approx([0.65, 0.72, 0.785, 0.585])
    assert by_seed["rows"][2][4:] == [None] * 4


def test_the_ticks_are_those_of_the_modules(report):
    rows = [line for line in (report / "report.md").read_text().splitlines() if "0.8" in line]
    table = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    ticks = {row[-2]: "".join(cell or "-" for cell in row[1:8]) for row in table}
    assert ticks["0.8300"] == "yes--yes---"


def test_the_page_has_a_dot_for_each_run_and_needs_nothing_else(report):
    html = (report / "report.html").read_text()
    assert html.count('class="dot"') == len(F1)
    assert not re.search(r"(src|href)=", html)
    assert "1 of the 2 &lt;patients&gt;" in html
    assert "F1 of 1 images with 7 nuclei" in html
    assert "TCGA" not in "".join(p.read_text() for p in report.iterdir())
