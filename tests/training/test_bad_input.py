"""What the commands say of data that do not hold: each kind named with file and line."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from napari_nunext.core.identity import file_sha256
from napari_nunext.core.nuclei import default_categories
from nunext_training.cli import main
from nunext_training.data.importers.writing import write_export


@pytest.fixture
def export(tmp_path, labelled_tile):
    """Four tiles of different content: lines 1 and 2 are to train on, 3 and 4 validate."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    rng = np.random.default_rng(3)
    grid = [(x, y) for y in range(8, 64, 12) for x in range(8, 64, 12)]
    tiles = [
        labelled_tile(folder, name, rng.permutation(grid)[:n], split=split)
        for name, n, split in (
            ("a", 9, "train"),
            ("b", 7, "train"),
            ("c", 8, "val"),
            ("d", 5, "val"),
        )
    ]
    write_export(
        tiles, tmp_path / "mine", categories=default_categories(["Round"]), origin="synthetic"
    )
    return tmp_path / "mine"


def lines_of(folder):
    return (folder / "sft.jsonl").read_text().splitlines()


def image_of(folder, line):
    return folder / json.loads(lines_of(folder)[line - 1])["images"][0]


def seal(folder, *names):
    """Write the hashes of files into the manifest, as an export would that had made them so."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in names:
        manifest["files"][name] = file_sha256(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rewrite(folder, line, change):
    """Change the record of a line."""
    lines = lines_of(folder)
    record = json.loads(lines[line - 1])
    change(record)
    lines[line - 1] = json.dumps(record)
    (folder / "sft.jsonl").write_text("\n".join(lines) + "\n")
    seal(folder, "sft.jsonl")


def damage(folder, line):
    path = image_of(folder, line)
    path.write_bytes(path.read_bytes()[:-100])
    seal(folder, path.relative_to(folder).as_posix())  # it was exported like that


def alter(folder, line):
    with image_of(folder, line).open("ab") as file:
        file.write(b"x")


def repeat(folder, line):
    other = json.loads(lines_of(folder)[0])
    rewrite(folder, line, lambda record: record.update(other))


def repeat_under_another_name(folder, line):
    other = json.loads(lines_of(folder)[0])
    rewrite(folder, line, lambda record: record.update(other | {"id": "another"}))


def move_out(folder, line):
    rewrite(folder, line, lambda record: record["nuclei"][0].update(x=64.0))


def rename(folder, line):
    rewrite(folder, line, lambda record: record["nuclei"][0].update(category="Alien"))


KINDS = {
    "a damaged image": (damage, "its image is damaged"),
    "another hash": (alter, "its image images/.*png is missing, changed"),
    "a record twice": (repeat, "record synthetic-[0-9a-f]+ stands twice"),
    "a region twice": (
        repeat_under_another_name,
        "the same region stands in mine: sft.jsonl line 1",
    ),
    "a point outside its region": (move_out, r"1 points lie outside .* the first at \(64, "),
    "an unknown category": (rename, "category Alien is not in manifest.json; it knows Round"),
}


def evaluate(folder, *options):
    return ["evaluate", "--model", "classical", "--data", folder, "--split", "all", *options]


def run(arguments, capsys):
    """Exit code, stdout, and the lines of stderr."""
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


@pytest.fixture
def told(caplog):
    """What a command logs for its user."""
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("breakage", "says"), KINDS.values(), ids=KINDS)
def test_a_bad_record_is_left_out_and_counted_or_stops(export, breakage, says, capsys, told):
    breakage(export, 2)
    code, out, _ = run(evaluate(export), capsys)
    assert code == 0
    assert "3 images" in out
    (named,) = (line for line in told() if "line 2" in line)
    assert re.search(f"^Left out: mine: sft.jsonl line 2: .*{says}", named)
    assert told()[-1] == "Left out 1 of 4 regions; 3 are used. --strict stops instead."
    code, out, err = run(evaluate(export, "--strict"), capsys)
    assert (code, out) == (2, "")
    (line,) = err
    expected = "sft.jsonl line 2" if "changed" not in says else image_of(export, 2).name
    assert re.search(f"^nunext-train: mine: .*{expected}", line)


@pytest.mark.parametrize("command", ["sft", "rft"])
def test_training_leaves_out_and_stops_as_evaluation_does(
    tmp_path, export, checkpoint, command, capsys, told
):
    move_out(export, 1)
    damage(export, 4)
    arguments = [command, "--data", export, "--checkpoint", checkpoint, "--out", tmp_path / "out"]
    arguments += ["--steps", 1, "--validate-every", 1, "--progress", "jsonl"]
    arguments += (
        ["--batch-size", 2, "--untested"] if command == "sft" else ["--windows", 1, "--rollouts", 2]
    )
    code, _, err = run([*arguments, "--strict"], capsys)
    assert code == 2
    assert len(err) == 1
    assert "mine: sft.jsonl line 1: 1 points lie outside" in err[0]
    assert not (tmp_path / "out.training").exists()
    code, out, _ = run(arguments, capsys)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["event"] == "done"
    assert any("sft.jsonl line 1: 1 points" in line for line in told())
    assert any("sft.jsonl line 4: its image is damaged" in line for line in told())
    assert "Left out 2 of 4 regions; 2 are used. --strict stops instead." in told()


@pytest.mark.parametrize("command", ["sft", "rft", "evaluate"])
def test_without_a_complete_region_there_is_nothing_to_do(
    tmp_path, export, checkpoint, command, capsys, told
):
    (export / "sft.jsonl").write_text("")
    seal(export, "sft.jsonl")
    arguments = [command, "--data", export, "--checkpoint", checkpoint]
    arguments += [] if command == "evaluate" else ["--out", tmp_path / "out"]
    code, _, err = run(arguments, capsys)
    assert code == 2
    assert len(err) == 1
    assert "Left out: mine: sft.jsonl has no record: no region was complete." in told()
    code, _, err = run([*arguments, "--strict"], capsys)
    assert code == 2
    assert err == ["nunext-train: mine: sft.jsonl has no record: no region was complete."]


def test_a_category_that_the_checkpoint_does_not_know_is_named_where_it_stands(
    tmp_path, export, category_checkpoint, capsys, told
):
    arguments = ["sft", "--data", export, "--checkpoint", category_checkpoint]
    arguments += ["--out", tmp_path / "out", "--rename", "Round=Blob"]
    code, _, err = run([*arguments, "--strict"], capsys)
    assert code == 2
    assert "'Blob' (29 nuclei), first in mine: sft.jsonl line 1" in err[0]
    code, _, err = run(arguments, capsys)
    assert code == 2  # none of them is known, so that nothing is left
    assert "4 of 4 regions would be left out. The checkpoint does not know 'Blob' (29" in err[-1]
    assert "--allow-loss" not in err[-1]
    code, _, err = run([*arguments, "--allow-loss"], capsys)
    assert code == 2
    assert "training split is empty" in err[-1]
    assert (
        "Left out: mine: sft.jsonl line 2: the checkpoint does not know 'Blob' (7 nuclei)."
        in told()
    )


def test_several_exports_are_evaluated_as_one(tmp_path, export, labelled_tile, capsys, told):
    tile = labelled_tile(tmp_path, "e", [(20, 20), (40, 30)], split="val")
    write_export(
        [tile], tmp_path / "theirs", categories=default_categories(["Round"]), origin="other"
    )
    out = tmp_path / "report"
    data = (export, tmp_path / "theirs", export)
    code, _, err = run(["evaluate", "--model", "classical", "--out", out, "--data", *data], capsys)
    assert code == 0
    assert err[-1] == "3 images (val), 15 nuclei"
    assert "Left out 4 of 9 regions; 5 are used. --strict stops instead." in told()
    report = json.loads((out / "report.json").read_text())
    assert [source["importer"] for source in report["data"]["sources"]] == [
        *("synthetic", "other", "synthetic")
    ]
    assert len(report["per_image"]) == 3
    assert "lassical on synthetic + other" in (out / "report.md").read_text()
