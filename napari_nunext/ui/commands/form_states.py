"""What a form shows of the window, and sets in it: no copy, but what the panels show themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.answerer import LONGEST_ANSWER
from napari_nunext.core.answers.budget import MOST_TOKENS
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.geometry import Box
from napari_nunext.core.process.asked import Search, Training
from napari_nunext.core.process.parameters import label_of
from napari_nunext.review.learning.training import recipe_problem
from napari_nunext.ui.commands.form import RefusedError
from napari_nunext.ui.panels.find_panel import FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_nunext.review.connections import Emitter
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.dock import NunextDock

SAME_WITHIN = 1e-9
"""Relative: a scale that went through a text is the same."""


@dataclass(frozen=True, slots=True)
class State:
    """What a form shows."""

    values: Mapping[str, Callable[[], Any]]
    """By the names of parameters; those of others are the usual ones."""
    signals: Mapping[str, tuple[Emitter, ...]]
    """When a value may be another."""
    is_busy: Callable[[], bool]
    """Whether what the form begins is under way."""
    busy_signal: Emitter
    """When that may be another."""
    choices: Mapping[str, Callable[..., Sequence[str]]] = field(default_factory=dict)


# Search


def search_state(dock: NunextDock) -> State:
    """What a search would be, as the Review tab shows it."""
    c = dock.controller
    find, view = c.find.model, c.view.model
    return State(
        {
            "model": lambda: find.model_id or None,
            "mpp": lambda: _mpp(c),
            "masks": lambda: view.outlines,
            "tissue": lambda: find.tissue,
            "pen": lambda: find.leaves_pen,
            "region": lambda: _corners(view.region),
        },
        {
            "model": (find.events.models, find.events.model_id),
            "mpp": (c.images.model.events.open_field,),
            "masks": (view.events.outlines,),
            "tissue": (find.events.tissue,),
            "pen": (find.events.tissue, find.events.pen),
            "region": (view.events.region,),
        },
        lambda: find.run.busy,
        find.events.run,
        {"model": lambda *_: [each.id for each in find.models if each.problem is None]},
    )


def begin_search(dock: NunextDock, values: dict[str, Any]) -> str:
    """Choose what the Review tab shows as these values say, and search; say where that is seen."""
    c, finder = dock.controller, dock.review.finder
    if words := finder.why_not_search(FIELD):
        raise NunextError(words)
    if values["pen"] and not values["tissue"]:
        raise RefusedError("pen", f"Tick {label_of(Search, 'tissue')!r} as well.")
    region = _box(c, values.get("region"))
    model = values.get("model")
    if model is not None and model != c.find.model.model_id:
        c.learn.choose(model)
        if c.find.model.model_id != model:
            raise _unanswered(c)
    _set_scale(c, values.get("mpp"))
    c.view.show_outlines(values["masks"])
    c.find.leave_out_glass(values["tissue"])
    c.find.leave_out_pen(values["pen"])
    _show(dock, 0)
    finder.search_in(region)
    return "Under way. The Review tab shows how far it is."


# Ask


def ask_state(dock: NunextDock) -> State:
    """What a question would be, as the Ask tab shows it."""
    c = dock.controller
    ask, view, typed = c.ask.model, c.view.model, dock.ask.form

    def budget() -> int | None:
        chosen = ask.answerer_named(ask.answerer)
        return ask.budget if chosen is not None and chosen.needs_picture else None

    region = view.events.region, ask.events.where
    by = ask.events.answerer, ask.events.answerers
    return State(
        {
            "question": lambda: typed.typed()[0],
            "options": lambda: typed.typed()[1],
            "task": lambda: typed.task,
            "organ": lambda: typed.typed()[2],
            "region": lambda: None if ask.where == "field" else _corners(c.ask.region()),
            "answerer": lambda: ask.answerer,
            "budget": budget,
            "allocate": lambda: ask.allocate,
            "max_tokens": lambda: ask.max_tokens,
            "mpp": lambda: _mpp(c),
        },
        {
            "region": region,
            "answerer": by,
            "budget": (ask.events.budget, *by),
            "allocate": (ask.events.allocate,),
            "max_tokens": (ask.events.max_tokens,),
            "mpp": (c.images.model.events.open_field,),
        },
        lambda: ask.status.busy,
        ask.events.status,
        {"answerer": lambda *_: [each.name for each in ask.answerers]},
    )


def begin_question(dock: NunextDock, values: dict[str, Any]) -> str:
    """Put what the Ask tab shows as these values say, and ask; say where that is seen."""
    c, ask = dock.controller, dock.controller.ask
    if words := dock.acts.by_name["ask"].why_not():
        raise NunextError(words)
    if ask.model.status.busy:
        raise NunextError("Somebody is being asked. Wait for the answer, or stop it.")
    for name, most in (("budget", MOST_TOKENS), ("max_tokens", LONGEST_ANSWER)):
        if values.get(name) is not None and values[name] > most:
            raise RefusedError(name, f"{values[name]} is more than {most}. Give 1 to {most}.")
    question = _question(values)
    region = _box(c, values.get("region"))
    _set_scale(c, values.get("mpp"))
    if values.get("answerer") is not None:
        ask.answerers.choose(values["answerer"])
    if values.get("budget") is not None:
        ask.set_budget(values["budget"])
    ask.let_choose(values["allocate"])
    ask.limit_answer(values.get("max_tokens"))
    if region is not None:
        c.view.set_region(region)
    ask.choose_where("field" if region is None else "region")
    _show(dock, 1)
    dock.ask.form.show_question(question)
    if words := dock.ask.missing():
        raise NunextError(words)
    dock.ask.ask()
    return "Under way. The Ask tab shows the answer."


def _question(values: dict[str, Any]) -> Question:
    task = values["task"]
    try:
        return Question(task, values["question"], values["options"], values["organ"])
    except InputError as error:
        lacks_organ = task == "lesions" and values["question"] and not values["organ"]
        at = "options" if task == "subtype" else "organ" if lacks_organ else "question"
        raise RefusedError(at, str(error)) from error


# Train


def training_state(dock: NunextDock) -> State:
    """What a training would be: its recipe follows from the model that is chosen."""
    learn, find = dock.controller.learn, dock.controller.find.model
    return State(
        {"recipe": lambda: learn.recipe},
        {"recipe": (find.events.model_id,)},
        lambda: learn.model.training.busy,
        learn.model.events.training,
    )


def begin_training(dock: NunextDock, values: dict[str, Any]) -> str:
    """Train as the Improve tab does, by these values; say where that is seen."""
    learn = dock.controller.learn
    if words := dock.acts.by_name["train"].why_not():
        raise NunextError(words)
    if words := recipe_problem(values["recipe"]):
        raise RefusedError("recipe", words)
    _show(dock, 2)
    learn.train(Training(**values))
    return "Asked for. The Improve tab shows how it goes."


# What they share


def _show(dock: NunextDock, tab: int) -> None:
    """Show where it is seen how it goes, in front of a form that lies over it."""
    dock.show_tab(tab)
    if dock.visibleRegion().isEmpty():
        dock.come_forward()


def _mpp(controller: ReviewController) -> float | None:
    field = controller.images.model.open_field
    return None if field is None else field.entry.mpp


def _corners(box: Box | None) -> tuple[float, float, float, float] | None:
    return None if box is None else box.as_tuple()


def _box(controller: ReviewController, corners: Sequence[float] | None) -> Box | None:
    """A rectangle cut to the open image; refused where nothing of it lies in there."""
    field = controller.images.model.open_field
    if corners is None or field is None:
        return None
    x0, y0, x1, y1 = corners
    if x1 <= x0 or y1 <= y0:
        raise RefusedError("region", "Its end is not right of and below its beginning.")
    inside = Box(x0, y0, x1, y1).clipped_to(field.box)
    if inside.width < 1 or inside.height < 1:
        raise RefusedError(
            "region",
            f"It holds nothing of {field.entry.name}, which is {field.entry.width_px} x "
            f"{field.entry.height_px} px.",
        )
    return inside


def _set_scale(controller: ReviewController, mpp: float | None) -> None:
    """Give the open image its scale, where that is another."""

    def is_set() -> bool:
        now = _mpp(controller)
        return mpp is None or (now is not None and abs(now / mpp - 1) < SAME_WITHIN)

    if not is_set() and mpp is not None:
        controller.scale.set(mpp)
        if not is_set():
            raise _unanswered(controller)


def _unanswered(controller: ReviewController) -> NunextError:
    """That the window asks something first."""
    notice = controller.model.notice
    words = "" if notice is None else f"{notice.words} "
    return NunextError(f"{words}Answer in the NuNext dock first, then press again.")
