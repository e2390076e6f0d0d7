"""Senseless command lines, for every command of both programs."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from typing import TYPE_CHECKING

from benchmarks.fuzzing import samples

if TYPE_CHECKING:
    import random
    from pathlib import Path

WORDS = (
    *("", " ", "0", "-1", "1", "1e400", "nan", "inf", "-inf", "1_0", "9" * 30, "9" * 5000, "0x10"),
    *("0.5", "1e-300", "a\0b", "\udcff.png", "ü", "a\nb", "--", "-", "=", "a=b", "a=", "=b", "@x"),
    *(".", "..", "/", "/dev/null", "missing/there", "~", "%s", "{0}", "a" * 300, "x" * 5000),
    *("good.png", "bad.png", "empty", "folder", "good.nunext", "bad.nunext", "a.geojson", "a.json"),
    *("training", "csv", "auto", "train", "classical", "centroids", "out"),
)
RUN = {
    "napari-nunext": ("export", "check", "backup", "models", "key", "detect"),
    "nunext-train": ("import", "report", "evaluate", "release"),
}
"""Commands that are run, too: the others start a window, a server or a training if all is well."""


def make_command(rng: random.Random) -> list[str]:
    """Program, command and arguments."""
    program = rng.choice(tuple(RUN))
    command, parser = rng.choice(tuple(_commands(program).items()))
    if rng.random() < 0.4:  # more of those that go further than their parser
        command = rng.choice([c for c in RUN[program] if c in _commands(program)])
        parser = _commands(program)[command]
    words = [program, command]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if not (action.required or not action.option_strings or rng.random() < 0.25):
            continue
        if action.option_strings:
            words.append(rng.choice(action.option_strings))
        if action.nargs != 0 and rng.random() < 0.97:
            fitting = tuple(action.choices or ()) if rng.random() < 0.7 else ()
            words.append(str(rng.choice(fitting or WORDS)))
    if rng.random() < 0.1:
        words.insert(rng.randrange(1, len(words) + 1), rng.choice(WORDS))
    return words


def run_command(words: list[str], folder: Path) -> None:
    """Run it in a folder of its own, as far as it may be run.

    Raises
    ------
    AssertionError
        If it says more than a line, or ends with a code that it should not end with.
    """
    from napari_nunext import cli
    from nunext_training import cli as training_cli

    program, command = words[0], words[1] if len(words) > 1 else ""
    here = folder / "work"
    _furnish(here)
    said = io.BytesIO()
    out, err = _stream(io.BytesIO()), _stream(said)
    before = os.getcwd()
    os.chdir(here)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            module = cli if program == "napari-nunext" else training_cli
            try:
                if command in RUN[program]:
                    code = module.main(words[1:])
                else:
                    module._parser().parse_args(words[1:])
                    code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 2
    finally:
        os.chdir(before)
    for stream in (out, err):
        stream.flush()
    words_said = said.getvalue().decode()
    assert code in (0, 1, 2), f"exit code {code}"
    assert "Traceback" not in words_said, words_said
    if code == 2 and command not in ("detect",):  # which tells of each file
        assert words_said.count("\n") == 1, f"said {words_said!r}"


def _commands(program: str) -> dict[str, argparse.ArgumentParser]:
    from napari_nunext import cli
    from nunext_training import cli as training_cli

    parser = (cli if program == "napari-nunext" else training_cli)._parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(commands.choices)


def _stream(to: io.BytesIO) -> io.TextIOWrapper:
    """As strict as standard output in a terminal."""
    return io.TextIOWrapper(to, encoding="utf-8")


def _furnish(folder: Path) -> None:
    """Some files of every kind, good and bad."""
    folder.mkdir(exist_ok=True)
    (folder / "folder").mkdir(exist_ok=True)
    for name, data in {
        "good.png": samples.pngs()[0],
        "bad.png": samples.pngs()[0][:60],
        "empty": b"",
        "good.nunext": samples.project(),
        "bad.nunext": samples.project()[:5000],
        "a.geojson": b'{"type": "FeatureCollection", "features": []}',
        "a.json": b"[" * 100_000,
    }.items():
        (folder / name).write_bytes(data)
