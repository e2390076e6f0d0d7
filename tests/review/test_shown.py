"""What the models of the parts show once the project is left."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_nunext.review.controller import ReviewController

OF_WINDOW = {
    "ask": {
        "answerers",
        "looking",
        "problem",
        "answerer",
        "budget",
        "allocate",
        "max_tokens",
        "where",
        "ratings",
    },
    "find": {"server", "models", "model_id", "tissue", "pen"},
    "regions": {"kind", "shown"},
    "stain": {"colored"},
    "teach": {"pupils", "addresses", "pupil"},
    "view": {
        "tool",
        "outline_way",
        "brush_um",
        "sure_above",
        "outlines",
        "points",
        "opacity",
    },
}
"""What stays, by the part that shows it."""


def test_what_a_part_shows_is_forgotten_with_the_project_unless_it_is_of_the_window(
    opened: ReviewController,
) -> None:
    models = {name: part.model for name, part in vars(opened).items() if hasattr(part, "model")}
    assert {"find", "view", "ask", "learn", "images", "imports", "session"} <= models.keys()
    of_project = object()
    shown = {
        (name, field.name)
        for name, model in models.items()
        for field in fields(model)
        if field.init
    }
    with ExitStack() as unheard:
        for model in models.values():
            unheard.enter_context(model.events.blocked())
        for name, attribute in shown:
            setattr(models[name], attribute, of_project)
        opened.session.leave()
    stays = {(name, a) for name, a in shown if getattr(models[name], a) is of_project}
    assert stays == {(name, a) for name, kept in OF_WINDOW.items() for a in kept}
