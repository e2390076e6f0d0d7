"""The section for a stain: folded until somebody wants it, for most tiles are H&E."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QLabel, QSlider, QVBoxLayout, QWidget

from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.stains.positivity import MOST_CUT_OFF
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE
from napari_nunext.review.correcting.figures import grouped
from napari_nunext.review.stained.tint import COLORS
from napari_nunext.ui.panels.staining.histogram import Histogram
from napari_nunext.ui.panels.staining.stain_table import StainTable
from napari_nunext.ui.widgets.controls import (
    Card,
    EntryNumber,
    Text,
    button,
    give_keyboard_back,
    row,
)
from napari_nunext.ui.widgets.theme import SPACE_PX, dot_pixmap

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.widgets.theme import Palette

OPEN, CLOSE = "Measure DAB \N{BLACK RIGHT-POINTING SMALL TRIANGLE}", "Close"
HINT = "For brown on blue: Ki-67, ER, PR. It says nothing on H&E."
STEPS = 100
"""Of the slider, to one unit of optical density."""


class StainCard(Card):
    """All of it."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._stain = controller.stain
        self._model = controller.stain.model
        self._images = controller.images.model
        self._ours = False
        self._fold = button(
            OPEN,
            role="link",
            tip="How brown nuclei are (Ki-67, ER, PR): the share that is positive, and the H-score",
            repeats=True,
        )
        self.histogram = Histogram()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.slider.setAccessibleName("Positive from this optical density on")
        self.slider.setPageStep(5)
        self.cut_off = self._number("Positive from this optical density on")
        self._suggest = button("Suggested", tip="Where these densities divide; look at the image")
        self._dots = {name: QLabel() for name in (POSITIVE, NEGATIVE)}
        self._counts = {name: Text() for name in (POSITIVE, NEGATIVE)}
        self._colored = QCheckBox("On the image")
        self._colored.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._colored.setToolTip("Points have these colours in the place of their categories'")
        self.table = StainTable()
        self.grades = tuple(
            self._number(f"{grade} from this optical density on", least=at / STEPS)
            for at, grade in enumerate(("Weak", "Moderate", "Strong"))
        )
        self._mark = button(
            "Mark positive and negative",
            tip="Give nuclei the categories Positive and Negative: yours from then on. One undo "
            "takes it back",
        )
        self._copy = button("Copy table", tip="For a spreadsheet")
        self._said = Text(role="muted", wraps=True)
        self._inside = self._make_inside()
        self.body.addLayout(row(Text("STAIN", role="section"), QWidget(), self._fold, stretch=1))
        self.body.addWidget(self._inside)
        self._connect_controls()
        events = self._model.events
        connections.call(self._show_opened, events.opened, self._images.events.open_field)
        connections.call(self._show_counted, events.counted)
        connections.call(self._show_cut_offs, events.cut_offs)
        connections.call(self._show_figures, events.figures)
        connections.call(self._show_busy, events.measuring, events.marking)
        connections.call(self._show_colored, events.colored)
        for show in (self._show_opened, self._show_counted, self._show_colored):
            show()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.histogram.set_palette(palette)

    def copy(self) -> None:
        """Put the table on the clipboard."""
        QApplication.clipboard().setText(self._stain.as_table())

    def _number(self, name: str, *, least: float = 0.0) -> EntryNumber:
        made = EntryNumber()
        made.setDecimals(2)
        made.setSingleStep(0.01)
        made.setRange(least, MOST_CUT_OFF)
        made.setKeyboardTracking(False)
        made.setAccessibleName(name)
        made.setToolTip(name)
        made.setFixedWidth(84)
        made.given_up.connect(self._give_up)
        return made

    def _make_inside(self) -> QWidget:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_PX)
        for name, dot in self._dots.items():
            dot.setPixmap(dot_pixmap(COLORS[name], size_px=11))
        legend: list[QWidget] = []
        for name in (POSITIVE, NEGATIVE):
            legend += [self._dots[name], self._counts[name]]
        column.addWidget(Text(HINT, role="muted", wraps=True))
        column.addWidget(self.histogram)
        column.addWidget(self.slider)
        column.addLayout(row(Text("Positive from"), self.cut_off, self._suggest, stretch=2))
        column.addLayout(row(*legend, QWidget(), stretch=4, gap_px=5))
        column.addWidget(self._colored)
        column.addWidget(self.table)
        column.addWidget(Text("H-score: weak, moderate and strong from", role="muted"))
        column.addLayout(row(*self.grades, QWidget(), stretch=3, gap_px=6))
        column.addWidget(self._said)
        column.addLayout(row(self._mark, self._copy, stretch=0, gap_px=6))
        return inside

    def _connect_controls(self) -> None:
        self._fold.clicked.connect(lambda: self._stain.open(not self._model.opened))
        self.histogram.moved.connect(self._stain.positive_from)
        self.histogram.dropped.connect(self._stain.keep)
        self.slider.valueChanged.connect(self._slide)
        self.slider.sliderReleased.connect(self._stain.keep)
        self.cut_off.valueChanged.connect(self._type)
        self._suggest.clicked.connect(self._stain.suggest)
        self._colored.toggled.connect(self._stain.color)
        for at, grade in enumerate(self.grades):
            grade.valueChanged.connect(partial(self._grade, at))
        self._mark.clicked.connect(self._stain.mark)
        self._copy.clicked.connect(self.copy)

    # What is done

    def _slide(self, value: int) -> None:
        if self._ours:
            return
        self._stain.positive_from(value / STEPS)
        if not self.slider.isSliderDown():
            self._stain.keep()

    def _type(self, value: float) -> None:
        if not self._ours:
            self._stain.positive_from(round(value, 2))
            self._stain.keep()

    def _grade(self, at: int, value: float) -> None:
        if not self._ours:
            self._stain.grade_from(at, round(value, 2))

    def _give_up(self) -> None:
        self._show_cut_offs()
        give_keyboard_back(self)

    # What is shown

    def _show_opened(self) -> None:
        opened = self._model.opened
        self._inside.setVisible(opened)
        self._fold.setText(CLOSE if opened else OPEN)
        self._fold.setEnabled(opened or self._images.open_field is not None)

    def _show_counted(self) -> None:
        counted = self._model.counted
        if counted is not None:
            self.histogram.show_densities(counted.od)
        self._show_cut_offs()
        self._show_figures()
        self._show_busy()

    def _show_cut_offs(self) -> None:
        cut_offs, before = self._model.cut_offs, self._ours
        self._ours = True
        self.histogram.show_cut_offs(cut_offs)
        self.slider.setRange(0, round(self.histogram.most_od * STEPS))
        if not self.slider.isSliderDown():
            self.slider.setValue(round(cut_offs.positive * STEPS))
        self.cut_off.setValue(cut_offs.positive)
        for made, grade in zip(self.grades, cut_offs.grades, strict=True):
            made.setValue(grade)
        self._ours = before

    def _show_figures(self) -> None:
        figures = self._model.figures
        self.table.show_figures(figures)
        whole = figures[0].index if figures else None
        positive = 0 if whole is None else whole.positive
        counts = {POSITIVE: positive, NEGATIVE: 0 if whole is None else whole.nuclei - positive}
        for name, text in self._counts.items():
            text.setText(f"{name} {grouped(counts[name])}")

    def _show_busy(self) -> None:
        model, counted = self._model, self._model.counted
        if model.marking:
            words = "Marking\N{HORIZONTAL ELLIPSIS}"
        elif counted is None:
            words = "Measuring\N{HORIZONTAL ELLIPSIS}" if model.measuring else ""
        elif not len(counted.od):
            words = "No nucleus to measure yet. Find nuclei first."
        else:
            words = f"{nuclei_in_words(len(counted.od))} measured"
            if counted.left_out:
                words += f"; {grouped(counted.left_out)} in Leave out regions do not count"
            words += "; what is new is being measured" if model.measuring else ""
            words += "."
        self._said.setText(words)
        self._said.setVisible(bool(words))
        has_any = counted is not None and len(counted.od) > 0
        for made in (self._suggest, self._copy):
            made.setEnabled(has_any)
        self._mark.setEnabled(has_any and not model.marking)

    def _show_colored(self) -> None:
        self._colored.setChecked(self._model.colored)
