"""Teach an answerer: what there is to learn from, how it goes, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

from napari_nunext.core.sentences import counted, left
from napari_nunext.review.shown.teach import LEAST, WAYS
from napari_nunext.ui.panels.improving.answers_table import AnswersTable
from napari_nunext.ui.panels.improving.outcome_card import show_words
from napari_nunext.ui.widgets.controls import (
    Card,
    Text,
    breakable,
    button,
    row,
    set_property,
)
from napari_nunext.ui.widgets.model_chooser import ModelChooser
from napari_nunext.ui.widgets.progress import ThinBar

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.teach import TeachingStatus, TeachingWay, TeachModel
    from napari_nunext.ui.widgets.theme import Palette

NO_PUPIL = (
    "To learn from them takes an answerer in a folder of this machine: Add a model in the Ask tab."
)
ELSEWHERE = "One at an address is its own server's to teach."


class TeachCard(Card):
    """There once somebody judged an answer; who never asked sees nothing of it."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__("TEACH AN ANSWERER")
        self._teacher = controller.teach
        self._model = self._teacher.model
        self._learn = controller.learn.model
        self._asking = controller.ask.model
        self._supply = Text(wraps=True)
        self._missing = Text(role="caution", wraps=True)
        self._pupils = ModelChooser()
        self._pupils.setAccessibleName("Who is taught")
        self._ways = ModelChooser()
        self._ways.setAccessibleName("What it learns from")
        self._teach = button("Teach", role="primary")
        self._go_on = button("Go on", role="primary", tip="Go on with what was broken off")
        self._words = Text(wraps=True)
        self._stop = button("Stop", tip="Stop; it can go on later")
        self._bar = ThinBar()
        self._name = Text(wraps=True)
        self._table = AnswersTable()
        self._problem = Text(role="caution", wraps=True)
        self._kept = Text(role="muted", wraps=True)
        self._use = button("Use it", role="primary", tip="Ask the new answerer")
        self._back = button("", role="link")
        self._choices = _held(Text("Teach"), self._pupils, stretch=1)
        self._from = _held(Text("Learn from"), self._ways, stretch=1)
        self._begin = _held(self._go_on, self._teach, stretch=1)
        self._progress = _held(self._words, self._stop, stretch=0)
        self._taking = _held(self._use, self._back, stretch=0)
        for widget in (
            self._supply,
            self._missing,
            self._choices,
            self._from,
            self._begin,
            self._progress,
            self._bar,
            self._name,
            self._table,
            self._problem,
            self._kept,
            self._taking,
        ):
            self.body.addWidget(widget)
        teacher, events = self._teacher, self._model.events
        self._pupils.activated.connect(lambda i: teacher.choose(self._pupils.itemData(i)))
        self._ways.activated.connect(lambda i: teacher.choose_way(self._ways.itemData(i)))
        self._teach.clicked.connect(teacher.teach)
        self._go_on.clicked.connect(teacher.go_on)
        self._stop.clicked.connect(teacher.stop)
        self._use.clicked.connect(teacher.use)
        self._back.clicked.connect(teacher.use_old)
        connections.call(
            self._show,
            events.supply,
            events.pupils,
            events.addresses,
            events.pupil,
            events.way,
            events.status,
            events.problem,
            self._learn.events.training,
            self._asking.events.answerer,
        )
        self._show()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._bar.set_palette(palette)

    def _show(self) -> None:
        model, status = self._model, self._model.status
        self.setVisible(not model.supply.is_empty or status.phase != "idle")
        show_words(self._supply, supply_words(model))
        missing = "" if status.busy or model.supply.is_empty else missing_words(model)
        show_words(self._missing, model.problem or missing)
        self._show_choices(model)
        busy = status.busy or self._learn.training.busy
        self._choices.setVisible(not status.busy and len(model.pupils) > 1)
        name = f" {model.pupil}" if len(model.pupils) == 1 else ""
        begun = status.can_go_on and not status.busy
        self._begin.setVisible(begun or (not status.busy and bool(model.pupils)))
        self._teach.setVisible(bool(model.pupils))
        self._teach.setText("Start again" if begun else f"Teach{name}")
        other_first = begun or status.phase == "done"
        set_property(self._teach, "role", "" if other_first else "primary")
        self._teach.setEnabled(model.can_teach and not busy)
        self._teach.setToolTip(
            "Wait until the training is done" if busy else "Train it on this computer"
        )
        self._go_on.setVisible(begun)
        self._go_on.setEnabled(not busy)
        self._show_status(status)
        self._show_outcome(status)

    def _show_choices(self, model: TeachModel) -> None:
        self._pupils.clear()
        for pupil in model.pupils:
            self._pupils.addItem(pupil.name, pupil.name)
            if pupil.name == model.pupil:
                self._pupils.setCurrentIndex(self._pupils.count() - 1)
        self._ways.clear()
        for way in WAYS:
            if model.is_enough(way):
                self._ways.addItem(way_words(way, model.of(way).total), way)
                if way == model.way:
                    self._ways.setCurrentIndex(self._ways.count() - 1)
        there = self._ways.count() > 1 and bool(model.pupils)
        self._from.setVisible(there and not model.status.busy)

    def _show_status(self, status: TeachingStatus) -> None:
        words = "" if status.phase == "done" else status.words
        words += left(status.seconds_left) if status.busy else ""
        self._words.setText(words)
        self._progress.setVisible(bool(words))
        self._stop.setVisible(status.busy)
        self._bar.setVisible(status.busy)
        self._bar.show_progress(status.step, status.steps)

    def _show_outcome(self, status: TeachingStatus) -> None:
        done, comparison = status.phase == "done", status.comparison
        show_words(self._name, breakable(f"{status.name} is ready.") if done else "")
        has_figures = done and comparison is not None and bool(comparison.lines)
        if comparison is not None and has_figures:
            self._table.show_figures(comparison)
        self._table.setVisible(has_figures)
        show_words(self._problem, comparison.problem if done and comparison is not None else "")
        show_words(self._kept, status.kept if done else "")
        is_used = self._asking.answerer == status.name
        self._taking.setVisible(done)
        self._use.setEnabled(not is_used)
        self._use.setText("In use" if is_used else "Use it")
        self._back.setText(f"Back to {status.parent}")
        self._back.setVisible(is_used)


def supply_words(model: TeachModel) -> str:
    """What there is to learn from, in sentences."""
    supply = model.supply
    said = [
        counted(supply.right.total, "answer is", "answers are") + " right or corrected",
        counted(supply.better.total, "pair") + " with a better one",
        f"{supply.rated.total} found good or bad",
    ]
    words = f"{', '.join(said)}. Of {counted(supply.patients, 'patient')}"
    if supply.kept_patients:
        words += f", {supply.kept_patients} of them kept aside to test on"
    words += "."
    if supply.restricted:
        words += (
            f" {counted(supply.restricted, 'answer')} may not be learned from: the model's terms "
            "forbid it."
        )
    return words


def missing_words(model: TeachModel) -> str:
    """What is missing before anything can be taught; empty where nothing is."""
    if not model.pupils:
        return f"{NO_PUPIL} {ELSEWHERE}" if model.addresses else NO_PUPIL
    pupil = model.chosen
    if pupil is not None and pupil.problem:
        return pupil.problem
    if not any(map(model.is_enough, WAYS)):
        most = max(model.of(way).total for way in WAYS)
        if most < LEAST:
            return f"It takes {LEAST} answers that are right or corrected: rate or correct more."
        return (
            "Too many of them are of patients who are kept aside: judge answers about other "
            "patients too."
        )
    if model.supply.kept_patients == 0:
        return "One patient only: the result cannot be tested on others."
    return ""


def way_words(way: TeachingWay, count: int) -> str:
    """A way to learn, as people choose it."""
    return {
        "right": f"{counted(count, 'answer')}, right or corrected",
        "better": f"{counted(count, 'pair')}: which is better",
        "rated": f"{counted(count, 'answer')}, good or bad",
    }[way]


def _held(*widgets: QWidget, stretch: int) -> QWidget:
    """A row that can be hidden."""
    held = QWidget()
    held.setLayout(row(*widgets, stretch=stretch))
    return held
