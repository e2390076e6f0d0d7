from __future__ import annotations

import pytest

from napari_nunext.core.sentences import about, duration, left, without_folders


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("No such file: '/home/ana/my models/a/config.json'", "No such file: 'config.json'"),
        ("/srv/models/old has no weights. Copy it again.", "old has no weights. Copy it again."),
        ('cannot read "C:\\Users\\ana\\x.tif": it is torn', 'cannot read "x.tif": it is torn'),
        ("C:\\Users\\ana\\x.tif is torn", "x.tif is torn"),
        ("the folder /srv/models/", "the folder "),
        ("(/tmp/nunext-1/the upload)", "(the upload)"),
        ("two: /a/b, /c/d/e", "two: b, e"),
        ("0.5 um/px, and/or 3/4 of it", "0.5 um/px, and/or 3/4 of it"),
        ("ask https://example.org/a/b or http://[::1]:8123/v1/models", None),
        ("models/a/config.json is torn", None),
        ("a b", None),
        ("", None),
    ],
)
def test_folders_are_left_out_and_nothing_else(said: str, told: str | None) -> None:
    assert without_folders(said) == (said if told is None else told)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (89, "89 s"), (90, "2 min"), (5300, "88 min"), (4 * 3600 + 300, "4 h 5 min")],
)
def test_how_long_it_takes_is_said_as_people_say_it(seconds, words):
    assert duration(seconds) == words


def test_what_is_said_of_something_names_it_once():
    assert about("a.svs", "It is damaged.") == "a.svs: It is damaged."
    assert about("a.svs", "a.svs is damaged.") == "a.svs is damaged."


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.0, ""), (0.4, ""), (0.6, ", 1 s left"), (75.0, ", 75 s left")],
)
def test_time_left_is_told_where_it_is_known_and_there_is_some(
    seconds: float | None, words: str
) -> None:
    assert left(seconds) == words
