"""What importing a file would do, in words, and what the user makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox

from napari_nunext.ui.widgets.controls import (
    Card,
    Text,
    button,
    give_keyboard_back,
    row,
    set_property,
)

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.shown.imports import ImportsModel, Proposal
    from napari_nunext.store.imports.outside import Role

TITLES: dict[Role, str] = {"corrections": "As corrections", "predictions": "As predictions"}
TIPS: dict[Role, str] = {
    "corrections": "What a person said: each nucleus is merged with yours",
    "predictions": "What another program found: to be reviewed, no truth before",
}


class ImportCard(Card):
    """Shows `ImportsModel.proposal`; gone when there is none."""

    def __init__(self, model: ImportsModel, connections: Connections) -> None:
        super().__init__()
        self._model = model
        self._title = Text(wraps=True)
        self.body.setContentsMargins(10, 7, 10, 8)
        self.body.setSpacing(6)
        self.body.addWidget(self._title)
        self._effects = {role: Text(role="muted", wraps=True) for role in TITLES}
        self.buttons = {role: button(title, tip=TIPS[role]) for role, title in TITLES.items()}
        for role, made in self.buttons.items():
            self.body.addWidget(self._effects[role])
            made.clicked.connect(lambda _=False, role=role: self._choose(role))
        self.absent = QCheckBox()
        self.absent.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.body.addWidget(self.absent)
        self.cancel = button("Cancel", role="link")
        self.cancel.clicked.connect(self._cancel)
        buttons = row(*self.buttons.values(), self.cancel, gap_px=6)
        buttons.addStretch(1)
        self.body.addLayout(buttons)
        connections.call(self._show, self._model.events.proposal)
        self._show(model.proposal)

    def _show(self, proposal: Proposal | None) -> None:
        self.setVisible(proposal is not None)
        if proposal is None:
            return
        self._title.setText(proposal.title)
        for role, words in self._effects.items():
            words.setText(f"{TITLES[role]}: {proposal.effects[role]}.")
            self.buttons[role].setEnabled(self._changes(proposal, role))
            set_property(self.buttons[role], "role", "primary" if role == proposal.usual else "")
        self.absent.setText(f"Delete the {proposal.absent} that the file does not hold")
        self.absent.setToolTip("If they were deleted there. Undo brings them back.")
        self.absent.setChecked(False)
        self.absent.setVisible(proposal.absent > 0)

    def _changes(self, proposal: Proposal, role: Role) -> bool:
        return role in proposal.changing or (role == "corrections" and proposal.absent > 0)

    def _choose(self, role: Role) -> None:
        proposal = self._model.proposal
        give_keyboard_back(self)
        if proposal is not None:
            proposal.choose(role, self.absent.isChecked())

    def _cancel(self) -> None:
        proposal = self._model.proposal
        give_keyboard_back(self)
        if proposal is not None:
            proposal.cancel()
