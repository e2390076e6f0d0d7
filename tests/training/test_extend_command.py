from __future__ import annotations

from napari_nunext.models.checkpoints.description import read_description
from nunext_training.cli import main


def test_a_nunext_learns_more_categories_by_name(category_checkpoint, tmp_path, capsys):
    known = read_description(category_checkpoint).codec.category_names
    out = tmp_path / "more"
    arguments = ["extend", "--checkpoint", str(category_checkpoint), "--out", str(out)]
    assert main([*arguments, "--categories", f"{known[0]}, Mitosis"]) == 0
    assert read_description(out).codec.category_names == (*known, "Mitosis")
    assert "Mitosis" in capsys.readouterr().out


def test_what_cannot_change_is_refused_in_one_line(category_checkpoint, tmp_path, capsys):
    arguments = ["extend", "--checkpoint", str(category_checkpoint), "--out", str(tmp_path / "o")]
    assert main([*arguments, "--categories", "Mitosis", "--bins", "500"]) == 2
    assert "--bins cannot change" in capsys.readouterr().err
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "Say with --categories" in said
    assert said.count("\n") == 1
