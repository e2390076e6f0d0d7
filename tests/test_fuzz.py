"""A part of `make fuzz` that has time in every run, and that an escape is seen."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from benchmarks.fuzz import fuzz, planned
from benchmarks.fuzzing import running
from benchmarks.fuzzing.subjects import SUBJECTS, Subject
from napari_nunext.core.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 25 * len(SUBJECTS)


def test_nothing_that_is_made_up_escapes(tmp_path: Path) -> None:
    escapes = fuzz(planned(sorted(SUBJECTS), INPUTS), seed=0, folder=tmp_path)
    assert not escapes, "\n".join(map(str, escapes))


@pytest.mark.parametrize("name", SUBJECTS)
def test_an_input_is_the_same_whenever_it_is_made(name: str) -> None:
    makings = [[SUBJECTS[name].make(random.Random(str(n))) for n in range(5)] for _ in range(2)]
    assert makings[0] == makings[1]
    assert len(set(makings[0])) > 1


def test_what_escapes_is_told(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        raise KeyError(path.read_text())

    def refused(path: Path) -> None:
        raise RecordError("no")

    def hungry(path: Path) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise RecordError("cannot be read") from error

    path = tmp_path / "input"
    path.write_text("what it holds")
    assert running._reason(lambda path: None, path) is None
    assert running._reason(refused, path) is None
    assert "KeyError at test_fuzz.py" in str(running._reason(broken, path))
    assert "memory" in str(running._reason(hungry, path))


def test_an_input_that_ends_the_process_is_saved_and_the_others_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def child(command: list[str], **options: object) -> object:
        """Dies at the second input of the first plan."""
        from pathlib import Path
        from subprocess import CompletedProcess

        calls.append(command)
        done = Path(command[-1], running.DONE)
        first = len(calls) == 1
        done.write_text("null\n" if first else 'null\n"KeyError"\n')
        return CompletedProcess(command, -11 if first else 0)

    monkeypatch.setattr(running.subprocess, "run", child)
    subject = Subject("x", ".x", lambda rng: rng.randbytes(4), lambda path: None)
    monkeypatch.setitem(SUBJECTS, "x", subject)
    escapes = running.run([("x", n) for n in range(4)], 7, tmp_path)
    assert [(e.number, "SIGSEGV" in e.reason) for e in escapes] == [(1, True), (3, False)]
    assert escapes[0].saved.read_bytes() == running.content("x", 7, 1)
    assert "--only x --seed 7 --first 1" in str(escapes[0])
