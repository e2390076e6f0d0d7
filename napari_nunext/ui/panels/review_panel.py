"""The Review tab: find, look, correct, decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QSlider, QVBoxLayout, QWidget

from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.panels.category_list import CategoryList, FiguresLine
from napari_nunext.ui.panels.comment_line import CommentLine
from napari_nunext.ui.panels.find_panel import FindPanel
from napari_nunext.ui.panels.outline_ways import OutlineWays
from napari_nunext.ui.panels.regions.regions_card import RegionsCard
from napari_nunext.ui.panels.selection_line import SelectionLine
from napari_nunext.ui.panels.staining.stain_card import StainCard
from napari_nunext.ui.widgets.controls import Card, Segments, Text, button, row
from napari_nunext.ui.widgets.scrolling import scrolling, soon
from napari_nunext.ui.widgets.theme import SPACE_PX

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.find import RunStatus
    from napari_nunext.review.shown.view import Tool
    from napari_nunext.ui.widgets.theme import Palette

TOOLS: tuple[Tool, ...] = ("look", "select", "add", "outline")
TOOL_TIPS = (
    "Drag to move the view, wheel to zoom  ({rest})",
    "Click or drag around nuclei; drag them to move  ({select})",
    "Click where a nucleus was missed  ({add})",
    "Correct an outline: by clicks, with a brush, or as a polygon  "
    "({outline_by_clicks}, {outline_by_brush}, {outline_by_polygon})",
)


NEXT_WORDS = "  \N{MIDDLE DOT}  {next_unsure} shows the next"


class ReviewPanel(QWidget):
    """All of the Review tab."""

    def __init__(
        self, controller: ReviewController, palette: Palette, connections: Connections
    ) -> None:
        super().__init__()
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._was_searching = False
        self.finder = FindPanel(controller, palette, connections)
        self.categories = CategoryList(controller, palette, connections)
        self.regions = RegionsCard(controller, connections)
        self.stain = StainCard(controller, connections)
        self.figures = FiguresLine(controller, self.categories, connections)
        self._selection = SelectionLine(controller, connections)
        self._ways = OutlineWays(controller, connections)
        self._comment = CommentLine(controller, connections)
        self.decisions = self._make_decisions()
        """What decides; the dock shows it below all that scrolls."""
        above = QWidget()
        column = QVBoxLayout(above)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE_PX)
        column.addWidget(self.finder)
        column.addWidget(self._make_nuclei_card())
        column.addWidget(self.regions)
        column.addWidget(self.stain)
        column.addWidget(self._said)
        column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_PX)
        self._area = scrolling(above)
        layout.addWidget(self._area)
        events = self._view.events
        connections.call(
            self._show_state, self._review.events.state, self._images.events.open_field
        )
        connections.call(self._show_sure, events.sure_above)
        connections.call(self._show_outlines, events.outlines)
        connections.call(self._show_points, events.points)
        connections.call(self._show_opacity, events.opacity)
        connections.call(self._show_tool, events.tool)
        connections.call(self._show_decision, events.region)
        connections.call(self._show_searched, controller.find.model.events.run)
        connections.call(self._show_keys, KEYS.changed)
        self._show_keys()
        self._show_state()
        self._show_sure()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.finder.set_palette(palette)
        self.categories.set_palette(palette)
        self.regions.set_palette(palette)
        self.stain.set_palette(palette)

    def ask_comment(self) -> None:
        """Open the line for a comment."""
        self._comment.ask()

    def show_stain(self) -> None:
        """Open the section for a stain, and scroll to it."""
        if self._images.open_field is not None:
            self._controller.stain.open(True)
        soon(self._area, lambda: self._area.ensureWidgetVisible(self.stain))

    def decide(self) -> None:
        """Accept what the button names, or take the acceptance back."""
        if self._controller.decide.decision().reopens:
            self._controller.decide.reopen()
        else:
            self._controller.decide.accept()

    def _make_nuclei_card(self) -> QWidget:
        card = Card()
        card.body.addLayout(row(Text("NUCLEI", role="section"), self.figures, stretch=1))
        self._sure = QSlider(Qt.Orientation.Horizontal)
        self._sure.setRange(0, 100)
        self._sure.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._sure.setAccessibleName("Sure above")
        self._sure_value = Text()
        self._sure_value.setFixedWidth(28)
        self._unsure = button("", role="link", repeats=True)
        self._points = QCheckBox("Points")
        self._points.setChecked(self._view.points)
        self._outlines = QCheckBox("Outlines")
        self._outlines.setChecked(self._view.outlines)
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._opacity.setRange(10, 100)
        self._opacity.setValue(round(self._view.opacity * 100))
        self._opacity.setAccessibleName("Opacity of points and outlines")
        self._opacity.setToolTip("Opacity of points and outlines")
        for made in (self._points, self._outlines, self._opacity):
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._tools = Segments(["View", "Select", "Add", "Outline"])
        card.body.addWidget(self._tools)
        card.body.addWidget(self._ways)
        card.body.addWidget(self.categories)
        card.body.addWidget(self._selection)
        card.body.addLayout(row(Text("Sure above"), self._sure, self._sure_value, stretch=1))
        card.body.addWidget(self._unsure)
        card.body.addLayout(row(self._points, self._outlines, self._opacity, stretch=2, gap_px=12))
        self._tools.chosen.connect(lambda i: self._controller.view.choose_tool(TOOLS[i]))
        self._sure.valueChanged.connect(lambda v: self._controller.view.set_sure_above(v / 100))
        self._unsure.clicked.connect(lambda: self._controller.view.next_unsure())
        self._points.toggled.connect(self._controller.view.show_points)
        self._outlines.toggled.connect(self._controller.view.show_outlines)
        self._opacity.valueChanged.connect(lambda v: self._controller.view.set_opacity(v / 100))
        return card

    def _make_decisions(self) -> QWidget:
        self._accept = button("Accept field")
        self._flag = button("Flag")
        self._say = button("Comment")
        self._flag.setCheckable(True)
        self._said = Text(role="muted", wraps=True)
        self._note = Text(role="caution", wraps=True)
        self._reopen = button("Reopen", role="link", tip="Take back what is accepted in this field")
        self._noted = QWidget()
        self._noted.setLayout(row(self._note, self._reopen, stretch=0, gap_px=4))
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._noted)
        layout.addWidget(self._comment)
        layout.addLayout(row(self._accept, self._flag, self._say, stretch=0, gap_px=6))
        self._accept.clicked.connect(self.decide)
        self._reopen.clicked.connect(self._controller.decide.reopen)
        self._flag.clicked.connect(self._controller.correct.flag)
        self._say.clicked.connect(self.ask_comment)
        return made

    def _show_keys(self) -> None:
        for i, tip in enumerate(TOOL_TIPS):
            self._tools.set_enabled(i, True, KEYS.words(tip))
        self._unsure.setToolTip(KEYS.words("Go to the next unsure nucleus  ({next_unsure})"))
        self._flag.setToolTip(KEYS.words("Mark for a second look  ({flag})"))
        self._say.setToolTip(KEYS.words("On the field, or on the selected nucleus  ({comment})"))
        self._show_decision()
        self._show_unsure()

    def _show_state(self) -> None:
        state = self._review.state
        has_field = self._images.open_field is not None
        for made in (self._accept, self._flag, self._say):
            made.setEnabled(has_field)
        self._flag.setChecked(state is not None and state.flagged)
        comments = () if state is None else state.comments
        self._said.setText("\n".join(f"{c.annotator}: {c.text}" for c in comments[-2:]))
        self._said.setVisible(bool(comments))
        self._show_decision()
        self._show_unsure()

    def _show_decision(self) -> None:
        """What accepting means now: it follows the state, the drawn region and the search."""
        decision = self._controller.decide.decision()
        self._accept.setText(decision.label)
        key = "" if decision.reopens else KEYS.words("  ({accept})")
        self._accept.setToolTip(f"{decision.tip}{key}")
        self._note.setText(decision.note)
        self._reopen.setVisible(decision.can_reopen and not decision.reopens)
        self._noted.setVisible(bool(decision.note))

    def _show_searched(self, run: RunStatus) -> None:
        if run.busy != self._was_searching:
            self._was_searching = run.busy
            self._show_decision()

    def _show_tool(self, tool: Tool) -> None:
        self._tools.choose(TOOLS.index(tool))

    def _show_outlines(self, shown: bool) -> None:
        self._outlines.setChecked(shown)

    def _show_points(self, shown: bool) -> None:
        self._points.setChecked(shown)

    def _show_opacity(self, opacity: float) -> None:
        self._opacity.setValue(round(opacity * 100))

    def _show_sure(self) -> None:
        value = self._view.sure_above
        self._sure.setValue(round(value * 100))
        self._sure_value.setText(f"{value:.2f}")
        self._show_unsure()

    def _show_unsure(self) -> None:
        table = self._review.table
        unsure = table.unsure(self._view.sure_above)
        self._unsure.setVisible(len(table) > 0)
        self._unsure.setText(
            KEYS.words(f"\N{LARGE CIRCLE} {unsure} unsure{NEXT_WORDS}")
            if unsure
            else "No unsure nuclei"
        )
        self._unsure.setEnabled(bool(unsure))
