"""Answerers that the user keeps: a line each, and one that cannot be used stops nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.places import answerers_file
from napari_nunext.serving.client import answerers

if TYPE_CHECKING:
    from pathlib import Path

NEAR, FAR = "near=http://127.0.0.1:1/v1#m", "far=https://h/v1#m,may_train"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_NUNEXT_HOME", str(tmp_path / "home"))


def test_what_is_kept_is_there_the_next_time_once_for_each_name() -> None:
    assert answerers.kept() == ()
    answerers.keep(NEAR)
    answerers.keep(f"  {FAR}\n")
    answerers.keep("near=http://127.0.0.1:1/v1#other")
    assert answerers.kept() == (FAR, "near=http://127.0.0.1:1/v1#other")
    answerers.forget("near")
    assert answerers.kept() == (FAR,)


def test_no_key_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_NUNEXT_KEY_NEAR", "a-key-that-nobody-may-see")
    answerers.keep(NEAR)
    assert "a-key" not in answerers_file().read_text("utf-8")
    with pytest.raises(InputError, match="holds more than a place"):
        answerers.keep("near=http://user:a-key@127.0.0.1:1/v1#m")
    assert answerers.kept() == (NEAR,)


def test_one_that_cannot_be_used_is_left_out_and_stays_in_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    answerers.keep(f"own={folder}")
    answerers.keep(NEAR)
    assert len(answerers.kept()) == 2
    folder.rmdir()
    assert answerers.kept() == (NEAR,)
    answerers.keep(FAR)
    folder.mkdir()
    assert answerers.kept() == (f"own={folder}", NEAR, FAR)


def test_a_file_that_is_no_list_is_none() -> None:
    answerers_file().parent.mkdir()
    answerers_file().write_bytes(b"\xff\xfe")
    assert answerers.kept() == ()
    answerers_file().write_text("what?\n\ncounts=http://h/v1#m\n", "utf-8")
    assert answerers.kept() == ()


def test_those_of_a_command_line_go_before_those_that_are_kept() -> None:
    merged = answerers.merged([NEAR, FAR, "near=http://127.0.0.1:1/v1#now"])
    assert merged == ("near=http://127.0.0.1:1/v1#now", FAR)
    assert answerers.without(merged, "near") == (FAR,)
