"""Chips: short answers of which several may hold at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nunext.ui.widgets.controls import button
from napari_nunext.ui.widgets.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class Chips(QWidget):
    """Each is on or off; whoever owns them says which are on once one was clicked."""

    clicked = Signal(str)

    def __init__(
        self, names: Sequence[str], *, about: str = "", keys: Mapping[str, str] | None = None
    ) -> None:
        """Chips of these names; `about` says to screen readers what they are of.

        `keys` are shown in front of the names that have one; whoever owns the chips binds them.
        """
        super().__init__()
        keys = keys or {}
        self._chips = {name: self._chip(name, about, keys.get(name, "")) for name in names}
        self.setLayout(Flow(list(self._chips.values())))

    def show_chosen(self, chosen: Collection[str]) -> None:
        """Have these be on."""
        for name, chip in self._chips.items():
            chip.setChecked(name in chosen)

    def chosen(self) -> list[str]:
        """Those that are on."""
        return [name for name, chip in self._chips.items() if chip.isChecked()]

    def chip(self, name: str) -> QPushButton:
        """One of them."""
        return self._chips[name]

    def _chip(self, name: str, about: str, key: str) -> QPushButton:
        made = button(f"{key}  {name}".lstrip(), role="chip")
        made.setCheckable(True)
        made.setAccessibleName(f"{about}: {name}" if about else name)
        made.clicked.connect(lambda: self._click(name))
        return made

    def _click(self, name: str) -> None:
        self._chips[name].toggle()  # as before, until its owner says so
        self.clicked.emit(name)
