from __future__ import annotations

import json
import re

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from nunext_training.cli import main
from nunext_training.reports.curves import POINTS, averaged, read_run

STEPS = 40


def write_run(folder, entries):
    folder.mkdir()
    lines = [json.dumps(entry) + "\n" for entry in entries]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def sft_entries(covt=False):
    for step in range(1, STEPS + 1):
        more = {"covt_loss": 2.0 / step} if covt else {}
        yield {"event": "step", "step": step, "loss": 4.0 - step / 20, "learning_rate": 1e-3} | more
        if step % 20 == 0:
            yield {"event": "validation", "step": step, "loss": 3.0 - step / 20, "f1": step / 100}


def rft_entries():
    yield {"event": "validation", "step": 0, "loss": -0.5, "reward": 0.5, "f1": None}
    for step in range(1, STEPS + 1):
        reward = 0.4 + step / 200
        yield {
            **{"event": "step", "step": step, "loss": -reward, "surrogate": 0.0},
            **{"reward": reward, "kept_groups": 0.75, "verdicts": float(step % 2)},
        }
    yield {"event": "validation", "step": STEPS, "loss": -0.7, "reward": 0.7, "f1": 0.6}


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "taught <1>", sft_entries(covt=True)),
        write_run(tmp_path / "tuned.training", rft_entries()),
    ]


def report(tmp_path, runs):
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "out")]) == 0
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.md"]
    return json.loads((out / "report.json").read_text()), (out / "report.html").read_text()


def test_every_series_is_in_the_report_as_it_was_measured(tmp_path, runs, capsys):
    data, _ = report(tmp_path, runs)
    taught, tuned = data["runs"]
    assert [taught["name"], tuned["name"]] == ["taught <1>", "tuned"]
    losses = [4.0 - step / 20 for step in range(1, STEPS + 1)]
    assert taught["series"]["training"]["loss"] == [[i, x] for i, x in enumerate(losses, start=1)]
    assert taught["training"]["loss"] == pytest.approx(
        {"first": np.mean(losses[:4]), "last": np.mean(losses[-4:])}
    )
    assert taught["series"]["training"]["covt_loss"][3] == [4, 0.5]
    assert taught["series"]["validation"]["f1"] == [[20, 0.2], [40, 0.4]]
    assert tuned["series"]["training"]["filtered_groups"] == [[i, 0.25] for i in range(1, 41)]
    assert tuned["series"]["validation"]["f1"] == [[40, 0.6]]  # not measured before
    assert tuned["validation"]["reward"] == {"first": 0.5, "last": 0.7}
    rows = dict(zip(data["header"], data["rows"][1], strict=True))
    assert rows["validation reward first"] == 0.5
    assert rows["validation reward last"] == 0.7
    assert rows["filtered groups last"] == pytest.approx(0.25)
    assert "| tuned | 40 |" in capsys.readouterr().out


def test_the_page_draws_what_a_run_has_and_needs_nothing_else(tmp_path, runs):
    _, html = report(tmp_path, runs)
    assert not re.search(r'(?:href|src)="|https?://|@import|url\(', html)
    assert "taught &lt;1&gt;" in html
    assert "taught <1>" not in html
    assert str(tmp_path) not in html
    taught, tuned = (part.partition("</div>")[0] for part in html.split('<div class="plots">')[1:])
    assert re.findall(r'aria-label="(.*?)"', taught) == [
        *("Loss", "Loss of visual thought (Eq. 9)", "F1 of whole images, gated", "Learning rate")
    ]
    assert re.findall(r'aria-label="(.*?)"', tuned) == [
        *("Reward", "F1 of whole images, gated"),
        *("Share of groups filtered out", "Rollouts of people in a step"),
    ]
    reward = tuned.partition("</svg>")[0]
    assert (reward.count('class="dot"'), reward.count('class="diamond"')) == (STEPS, 2)


def test_validation_stands_where_it_was_measured(tmp_path, runs):
    """The first diamond is at step 0 and a reward of 0.5, on axes that end at round numbers."""
    _, html = report(tmp_path, runs[1:])
    reward = html.split('<div class="plots">')[1].partition("</svg>")[0]
    ticks = [float(t) for t in re.findall(r'class="tick(?: end)?">([^<]*)<', reward)]
    (x_low, y_low, _, _, x_high, y_high) = ticks
    assert (x_low, x_high, y_low, y_high) == (0, STEPS, 0.4, 0.7)
    frame = re.search(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', reward)
    left, top, _, height = map(float, frame.groups())
    x, y = map(float, re.search(r'd="M([\d.]+) ([\d.]+)l4.5', reward).groups())
    assert x == pytest.approx(left, abs=0.06)
    assert y + 4.5 == pytest.approx(top + height * (1 - (0.5 - y_low) / (y_high - y_low)), abs=0.06)


def test_long_series_are_averaged():
    series = [(step, float(step % 2)) for step in range(4 * POINTS)]
    points = averaged(series)
    assert len(points) == POINTS
    assert {value for _, value in points} == {0.5}
    assert points[0][0] == 1.5


def test_a_run_is_found_by_the_name_that_its_checkpoint_will_have(tmp_path, runs):
    assert read_run(tmp_path / "tuned").steps == read_run(runs[1]).steps


def test_a_run_that_is_writing_is_read_up_to_there_and_a_broken_line_is_named(tmp_path, runs):
    path = runs[0] / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + '{"event": "st')
    assert len(read_run(runs[0]).steps["loss"]) == STEPS
    path.write_text(whole + "nonsense\n")
    with pytest.raises(InputError, match=r"metrics.jsonl line 43 is no entry"):
        read_run(runs[0])


@pytest.mark.parametrize("entries", [None, []])
def test_without_metrics_there_is_one_line(tmp_path, entries, capsys):
    folder = tmp_path / "none"
    if entries is not None:
        write_run(folder, entries)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "metrics.jsonl" in line
    assert not (tmp_path / "out").exists()
