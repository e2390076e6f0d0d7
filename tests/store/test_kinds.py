"""Every kind of event is declared whole, and one more is one entry (docs/extending.md)."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import create_engine, text

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.review.history import History
from napari_nunext.store import Event, FieldState, Project, events
from napari_nunext.store.event import KINDS, EventKind, declare
from tests.store.conftest import IMAGE, entry


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_checks_a_fold_and_words(kind):
    assert kind.words[0].islower()
    assert not kind.words.endswith(".")
    assert kind.undoable == callable(kind.fold)
    assert not any(
        is_valid(object()) for is_valid in (*kind.payload.values(), *kind.optional.values())
    )
    with pytest.raises(InputError, match=f"{kind.name}' carries"):
        Event(kind.name, IMAGE, {"nonsense": 1})


def test_a_kind_that_is_not_whole_or_has_anothers_name_is_refused():
    with pytest.raises(InputError, match="words"):
        EventKind(name="wave", about="image", words=" ", payload={}, fold=print)
    with pytest.raises(InputError, match="needs a fold"):
        EventKind(name="wave", about="image", words="waved", payload={})
    with pytest.raises(InputError, match="declared already"):
        declare(EventKind(name="move", about="image", words="moved", payload={}, fold=print))


@pytest.fixture
def rate_stain(repo_root, monkeypatch):
    page = (repo_root / "docs" / "extending.md").read_text("utf-8")
    (source,) = re.findall(r"^```python\n(# rate_stain.py\n.*?)^```", page, re.DOTALL | re.M)
    monkeypatch.delitem(KINDS, "rate_stain", raising=False)
    namespace = {}
    exec(source, namespace)
    yield namespace["RATE_STAIN"]
    KINDS.pop("rate_stain")


def test_the_documented_kind_is_written_read_folded_undone_redone_and_refused_when_damaged(
    rate_stain, tmp_path
):
    path = tmp_path / "a.nunext"
    with Project.open(path, annotator="ada") as project:
        project.add_image(entry())
        (rated,) = project.append([rate_stain(IMAGE, {"stars": 4})])
        assert rated.words == "rated the stain"
        line = History([(rated.kind, IMAGE, rated.group)])
        assert line.next_undo({IMAGE}) == (rated.group, IMAGE)
        assert line.undo_words({IMAGE}) == "rated the stain"

        state = FieldState.fold((), [rated])
        assert state.said == {"rate_stain": {"ada": 4}}
        (back,) = project.append([events.undo(IMAGE, rated.group)])
        undone = state.apply(back)
        assert undone.said == {}
        assert undone == FieldState.fold((), [rated, back])
        (again,) = project.append([events.redo(IMAGE, rated.group)])
        redone = undone.apply(again)
        assert redone == FieldState.fold((), [rated, back, again])
        assert redone.said == state.said
        assert project.verify() == 3
    with pytest.raises(InputError, match="stars = 6"):
        rate_stain(IMAGE, {"stars": 6})

    with Project.open(path, annotator="ada") as project:
        assert project.state(IMAGE).said == {"rate_stain": {"ada": 4}}
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE event SET payload = :payload WHERE seq = 1"), {"payload": '{"stars":6}'}
        )
    engine.dispose()
    with Project.open(path, annotator="ada") as project, pytest.raises(StoreError, match="damaged"):
        project.state(IMAGE)


def test_a_kind_of_a_newer_version_is_no_damage(rate_stain, tmp_path):
    path = tmp_path / "a.nunext"
    with Project.open(path, annotator="ada") as project:
        project.add_image(entry())
        project.append([events.flag_field(IMAGE, True)])
        project.append([rate_stain(IMAGE, {"stars": 4})])
    kind = KINDS.pop("rate_stain")
    try:
        with Project.open(path, annotator="ada") as project:
            assert project.verify() == 2, "nobody changed it"
            with pytest.raises(
                StoreError, match=r"Event 2 .*'rate_stain'.* newer version wrote it"
            ):
                project.state(IMAGE)
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(text("UPDATE event SET kind = 'rate_stone' WHERE seq = 2"))
        engine.dispose()
        with Project.open(path, annotator="ada") as project:
            with pytest.raises(StoreError, match="does not verify at event 2"):
                project.verify()
            with pytest.raises(StoreError, match="damaged"):
                project.state(IMAGE)
    finally:
        KINDS["rate_stain"] = kind
