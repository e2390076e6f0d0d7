from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nunext import cli
from napari_nunext.core.process import options
from nunext_training import cli as training_cli

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD = {
    int: ["-1", "1.5", "x", "", "99999999999999999999999", "nan"],
    options.positive: ["0", "-1", "x", "99999999999999999999999"],
    options.port: ["-1", "65536", "99999"],
    float: ["nan", "inf", "-inf", "-0.5", "x", ""],
    options.mpp: ["nan", "inf", "0", "-1", "1000", "x"],
    Path: ["", " ", "a\0b"],
}


def every_option() -> Iterator[tuple[str, argparse.ArgumentParser, str, argparse.Action]]:
    for parser in (cli._parser(), training_cli._parser()):
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        for name, command in commands.choices.items():
            for action in command._actions:
                if action.type is not None:
                    yield f"{parser.prog} {name} {action.dest}", parser, name, action


OPTIONS = list(every_option())


@pytest.mark.parametrize(
    ("parser", "command", "action"), [row[1:] for row in OPTIONS], ids=[row[0] for row in OPTIONS]
)
def test_no_value_that_is_none_is_taken(
    parser: argparse.ArgumentParser,
    command: str,
    action: argparse.Action,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for bad in BAD.get(action.type, []):
        words = [f"{action.option_strings[0]}={bad}"] if action.option_strings else [bad]
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([command, *words])
        said = capsys.readouterr()
        assert ended.value.code == options.BAD_INPUT
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith(f"{parser.prog}: ")


def test_there_are_options_of_every_kind() -> None:
    assert {action.type for *_, action in OPTIONS} >= set(BAD)


def test_usable_values_are_taken() -> None:
    parser = options.Parser()
    parser.add_argument("--n", type=int)
    parser.add_argument("--x", type=float)
    parser.add_argument("--p", type=Path)
    args = parser.parse_args(["--n", str(2**63 - 1), "--x", "1e-4", "--p", "a b"])
    assert (args.n, args.x, args.p) == (2**63 - 1, 1e-4, Path("a b"))
    assert options.port("0") == 0


@pytest.mark.parametrize("command", [["models"], ["detect", "a.png", "--out", "o"], ["serve"]])
def test_a_folder_of_models_that_is_not_there_is_named(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "mistyped"
    assert cli.main([*command, "--models", str(missing)]) == options.BAD_INPUT
    assert capsys.readouterr().err == (
        f"napari-nunext: --models {missing} does not exist. Check the name.\n"
    )
