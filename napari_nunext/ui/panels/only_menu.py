"""What a search looks for: a line that names it, with a menu of the model's categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMenu, QWidget

from napari_nunext.ui.widgets.controls import button, row

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController

EVERYTHING_WORDS = "All categories"
TIP = "Search for some categories alone; nuclei of the others stay as they are"
LEFT_OUT_TIP = (
    "The model looks for everything, and the others are left out: it has not learned to be asked "
    "for these alone"
)


class OnlyMenu(QWidget):
    """Choose the categories that the next search is for."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._find = controller.find
        self._model = controller.find.model
        self._button = button(EVERYTHING_WORDS, role="chip")
        self.menu = QMenu(self)
        self._button.setMenu(self.menu)
        self.setLayout(row(self._button, stretch=0))
        events = self._model.events
        connections.call(self._show, events.models, events.model_id, events.only)
        self._show()

    def _show(self) -> None:
        chosen = self._model.chosen
        known = () if chosen is None else tuple(c.name for c in chosen.categories)
        asked = self._model.asked
        self.menu.clear()
        every = self.menu.addAction(EVERYTHING_WORDS)
        every.setCheckable(True)
        every.setChecked(not asked)
        every.triggered.connect(lambda: self._find.look_for(()))
        self.menu.addSeparator()
        for name in known:
            action = self.menu.addAction(name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(name in asked)
            action.triggered.connect(lambda checked, name=name: self._choose(name, checked))
        self._button.setText(f"Only {', '.join(asked)}" if asked else EVERYTHING_WORDS)
        learned = chosen is not None and set(asked) <= set(chosen.named_prompts)
        self._button.setToolTip(TIP if learned or not asked else LEFT_OUT_TIP)
        self.setEnabled(len(known) > 1)

    def _choose(self, name: str, checked: bool) -> None:
        others = [each for each in self._model.asked if each != name]
        self._find.look_for([*others, name] if checked else others)
