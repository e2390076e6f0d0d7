"""Which key judges an answer is a person's choice, and no key says two things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.ui import app as app_module
from napari_nunext.ui.panels.asking.answer_keys import PREFERRING, AnswerKeys
from tests.ui.test_settings import preferences, set_to

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QApplication

    from tests.review.fakes import FakeServer


def test_the_usual_keys_are_those_that_nobody_chose() -> None:
    keys = AnswerKeys.chosen(" left = A, wrong place=Shift+W ,skip=x,")
    assert (keys.of("left"), keys.of("wrong place"), keys.of("skipped")) == ("A", "Shift+W", "X")
    for usual in ("right", "tie", "both_bad", "unsafe", "correct", "comment"):
        assert keys.of(usual) == AnswerKeys().of(usual)
    assert AnswerKeys.chosen("") == AnswerKeys()


def test_the_cheat_sheet_has_the_keys_as_they_are() -> None:
    lines = {words: shown for shown, words in AnswerKeys.chosen("left=A, unsafe=X").sheet}
    assert lines["Left or right is better"] == "A \N{RIGHTWARDS ARROW}"
    assert lines["Reasons; the same again takes back"] == "F P R X V"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("up=A", "Names are wrong finding"),
        ("left", "chooses no key"),
        ("left=", "chooses no key"),
        ("left=Nonsense", "chooses no key"),
        ("left=S", "The key S would say two things"),
        ("unsafe=4", "The key 4 would say two things"),
        ("comment=Ctrl+Z", "Ctrl+Z would say two things"),
    ],
)
def test_what_is_no_key_or_says_two_things_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("+", "[+]")):
        AnswerKeys.chosen(text)


@pytest.mark.parametrize(
    ("chosen", "shown", "says"),
    [("left=A", "A", ""), ("left=S", "\N{LEFTWARDS ARROW}", "The usual keys count")],
)
def test_preferences_reach_the_buttons_and_what_cannot_be_is_said(
    repo_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    qapp: QApplication,
    server: FakeServer,
    chosen: str,
    shown: str,
    says: str,
) -> None:
    preferred = preferences(repo_root)
    preferred["review"]["answer_keys"] = chosen
    set_to(monkeypatch, preferred)
    app = app_module.main(project=tmp_path / "review.nunext", block=False, server=server)
    card, notice = app.dock.ask.pair, app.controller.model.notice
    assert card.buttons["left"].text() == f"{shown}  {PREFERRING['left']}"
    assert says in ("" if notice is None else notice.words)
    app.close()
