"""Opening the samples, and saying what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.ui.samples import about_sample, all_samples, first_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField


class SampleOpener:
    """Gets samples ready in the background: one of them may have to be downloaded."""

    def __init__(self, controller: ReviewController) -> None:
        self._controller = controller
        self._busy = False

    def open_first(self) -> None:
        """Open the sample on which the model is at its best."""
        self._open(lambda: [first_sample()])

    def open_all(self) -> None:
        """Open every sample, the best one first."""
        self._open(all_samples)

    def tell(self, field: OpenField) -> None:
        """Say what an image is, if it is a sample."""
        words = about_sample(Path(field.entry.path), self._controller.find.model.chosen)
        if words and self._controller.model.notice is None:
            self._controller.session.notify(Notice(words))

    def _open(self, find: Callable[[], Sequence[Path]]) -> None:
        if self._busy:
            return
        self._busy = True
        session = self._controller.session
        session.notify(Notice("Getting the sample ready\N{HORIZONTAL ELLIPSIS}"))
        session.lasting.run(find, self._take, self._failed)

    def _take(self, paths: Sequence[Path]) -> None:
        self._busy = False
        self._controller.model.notice = None
        self._controller.open.paths(paths)

    def _failed(self, error: BaseException) -> None:
        self._busy = False
        self._controller.session.notify(in_words(error))
