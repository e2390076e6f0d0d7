"""The line for a comment: about what it was opened for, however long it takes to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.widgets.controls import EntryLine

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField

ON_FIELD = "Comment on this field, then Enter"
ON_NUCLEUS = "Comment on the selected nucleus, then Enter"


class CommentLine(EntryLine):
    """Takes a comment on the open image, or on the nucleus selected when it was opened.

    A text that is half typed waits with its image while others are looked at, of whatever project.
    """

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__(ON_FIELD)
        self._controller = controller
        self._review = controller.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._about: UUID | None = None
        self._place: tuple[Path | None, str] = (None, "")
        """The project and the image that the line is about."""
        self._drafts: dict[tuple[Path | None, str], tuple[str, UUID | None]] = {}
        self.entered.connect(self._take)
        connections.call(self._show_field, self._images.events.open_field)
        self._show_field(self._images.open_field)

    def ask(self) -> None:
        """Let the user type about what is selected, or go on with what is half typed."""
        if not self.text():
            self._talk_about(self._view.only_selected)
        super().ask()

    def _talk_about(self, uid: UUID | None) -> None:
        self._about = uid
        self.setPlaceholderText(ON_FIELD if uid is None else ON_NUCLEUS)

    def _take(self, text: str) -> None:
        self._controller.correct.comment(text, self._about)

    def _show_field(self, field: OpenField | None) -> None:
        place = (self._review.project, "" if field is None else field.entry.sha256)
        if place == self._place:
            return
        if self.text():
            self._drafts[self._place] = (self.text(), self._about)
        self._place = place
        text, about = self._drafts.pop(place, ("", None))
        self._talk_about(about)
        self.setText(text)
        self.setVisible(bool(text))
