"""Images that were searched for some categories alone are no measure of anything else."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

import nunext_training
from napari_nunext.core.errors import InputError
from nunext_training.cli import main
from nunext_training.data.sources import read_source, read_whole
from tests.store.conftest import WHOLE, entry, path, predicted, project  # noqa: F401
from tests.store.test_only import Lab

ALONE = "searched for some categories alone"


@pytest.fixture
def partly(project, tmp_path):  # noqa: F811
    """An export of a single image, searched for lymphocytes alone."""
    lab = Lab(project, tmp_path / "partly")
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.export()
    return lab.out


def test_such_images_are_left_out_counted_and_told(partly, export, caplog):
    with caplog.at_level(logging.WARNING):
        sources = read_whole([partly, export], strict=True)
    assert [len(source.images) for source in sources] == [0, len(read_source(export).images)]
    assert sources[0].origin["images"] == sources[0].origin["nuclei"] == 0
    assert sources[1].origin == read_source(export).origin
    assert f"1 of {1 + len(sources[1].images)} were {ALONE}, and are left out" in caplog.text


def test_nothing_but_such_images_is_nothing_to_measure_with(partly):
    with pytest.raises(InputError, match=f"All of the 1 images were {ALONE}"):
        read_whole([partly], strict=True)


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --checkpoint CHECKPOINT --out OUT",
        "release --checkpoint CHECKPOINT --out OUT",
        "quantize --checkpoint CHECKPOINT --out OUT",
        "ablate --checkpoint CHECKPOINT --out OUT",
        "ask derive --out OUT",
    ],
)
def test_every_command_that_measures_refuses_them(
    command, partly, category_checkpoint, tmp_path, capsys
):
    given = {"CHECKPOINT": str(category_checkpoint), "OUT": str(tmp_path / "out")}
    words = [given.get(word, word) for word in command.split()]
    assert main([*words, "--data", str(partly)]) == 2
    assert ALONE in capsys.readouterr().err


def test_who_else_reads_images_knows_of_such_ones():
    """`read_training_data` asks for these alone; extend takes pixels."""
    folder = Path(nunext_training.__file__).parent
    reads = re.compile(r"\bread_sources?\(")
    who = {
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*.py")
        if reads.search(p.read_text("utf-8"))
    }
    assert who == {
        "ablation/runs.py",  # what the data are, for the identity of the run
        "commands/extend.py",
        "data/sources.py",
        "data/training_data.py",
    }
