"""The figures of the bundled models have one source: README and cards repeat `nunext.json`."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.figures import busy_cores, stated
from napari_nunext.core.process.precision import PRECISIONS
from napari_nunext.models.catalog import Catalog
from napari_nunext.places import BUNDLED_WEIGHTS
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.evaluation.evaluate import evaluate_detector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS = sorted(path.parent for path in BUNDLED_WEIGHTS.glob("*/nunext.json"))
DATA_SETS = {"brca-m2c": "brca-m2c", "dsb2018": "dsb2018", "endonuke": "endonuke"}
SPLITS = {"val": "val", "validation": "val", "test": "test"}


def test_every_figure_of_the_readme_is_in_the_descriptions(repo_root: Path) -> None:
    known = numbers_by_set(FOLDERS)
    of = None
    checked = 0
    for row in rows_under(repo_root / "README.md", "| tiles |"):
        of = of if row["tiles"] == "the same" else set_of(row["tiles"])
        assert of is not None, row
        for column in row.keys() - {"tiles", "", "goal"}:
            checked += check(row[column], known[of], f"README, {row['tiles']}, {column}")
    assert checked > 8


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_figure_of_a_card_is_in_its_description(folder: Path) -> None:
    known = numbers_by_set(FOLDERS)  # the detector's card has the segmenter's beside its own
    checked = 0
    for row in rows_under(folder / "README.md", "| Data |"):
        of = set_of(row.pop("Data"))
        cells = [cell for name, cell in row.items() if name not in ("Images", "Nuclei")]
        assert of is not None
        checked += sum(check(cell, known[of], f"{folder.name}, {of}") for cell in cells)
    assert checked >= 10


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_figure_says_in_which_arithmetic_it_was_measured(folder: Path) -> None:
    card = (folder / "README.md").read_text("utf-8")
    entries = json.loads((folder / "nunext.json").read_text("utf-8"))["metrics"]
    for entry in entries:
        for dtype in (entry["dtype"], *entry.get("other_arithmetic", {})):
            assert dtype in PRECISIONS
            assert dtype in card


def test_all_that_is_stated_is_measured_again_by_the_benchmark() -> None:
    entries = [
        entry
        for folder in FOLDERS
        for entry in json.loads((folder / "nunext.json").read_text("utf-8"))["metrics"]
    ]
    arithmetics = sum(1 + len(entry.get("other_arithmetic", {})) for entry in entries)
    assert len({each.name for each in stated()}) == arithmetics
    assert all(each.figures for each in stated())


@pytest.mark.slow
def test_an_evaluation_beside_other_work_gives_the_same_bytes() -> None:
    images = [DrawnTiles(1, size_px=160, mpp=0.5, seed=987)[0]]
    options: dict[str, Any] = {"radius_um": 3.0, "method": "gated", "data": {}}
    alone = evaluate_detector(Catalog().load_detector(), images, **options)
    with busy_cores():
        beside = evaluate_detector(Catalog().load_detector(), images, **options)
    assert alone.report.overall.tp > 0
    assert json.dumps(alone.to_json()) == json.dumps(beside.to_json())


def numbers_by_set(folders: list[Path]) -> dict[tuple[str, str], list[float]]:
    """All that is stated of a data set and split."""
    found: dict[tuple[str, str], list[float]] = {
        key: [] for key in product(DATA_SETS.values(), set(SPLITS.values()))
    }
    for folder in folders:
        for entry in json.loads((folder / "nunext.json").read_text("utf-8"))["metrics"]:
            found[entry["data"][0]["importer"], entry["split"]] += numbers_in(entry)
    return found


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from numbers_in(each)
    elif isinstance(value, float):
        yield value


def set_of(words: str) -> tuple[str, str] | None:
    """The data set and split that the first cell of a row names."""
    name = next((n for word, n in DATA_SETS.items() if word in words.lower()), None)
    split = next((s for word, s in SPLITS.items() if re.search(rf"\b{word}\b", words)), None)
    return None if name is None or split is None else (name, split)


def rows_under(path: Path, header: str) -> Iterator[dict[str, str]]:
    """The rows of every table whose header begins so, by the names of their columns."""
    names: list[str] | None = None
    for line in path.read_text("utf-8").splitlines():
        if not line.strip().startswith("|"):
            names = None
            continue
        cells = [cell.strip(" *") for cell in line.strip().strip("|").split("|")]
        if line.strip().startswith(header):
            names = cells
        elif names is not None and not set(line) <= set("|-: "):
            yield dict(zip(names, cells, strict=True))


def check(cell: str, known: list[float], where: str) -> int:
    """Fail for a figure that nothing known rounds to; the number of those that were looked at."""
    figures = re.findall(r"\b0\.\d+", cell)
    for figure in figures:
        digits = len(figure) - 2
        assert any(f"{value:.{digits}f}" == figure for value in known), f"{where}: {figure}"
    return len(figures)
