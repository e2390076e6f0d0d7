"""What takes long, in napari's own list of activities: its button is at the foot of the window.

napari has Qt handle whatever waits each time that a bar of its own moves. In the middle of what the
review tells its panels that would mix one message with the next, so bars move by a timer of theirs,
some times a second; what is over sooner than that has none.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from napari.utils import progress
from qtpy.QtCore import QTimer

from napari_nunext.ui.panels.find_panel import all_words, run_words

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController

_STEPS = 100
"""A bar's full length."""
_EVERY_MS = 200


class Activities:
    """A bar for the search, one for the search of all images, for training and for teaching.

    Parameters
    ----------
    controller : ReviewController
    connections : Connections
        When they are cut, no bar of ours is left.
    """

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        self._find = controller.find.model
        self._all = controller.find_all.model
        self._learn = controller.learn.model
        self._teach = controller.teach.model
        self._bars: dict[str, progress] = {}
        self._is_showing = self._is_over = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._show)
        connections.call(
            self._soon,
            self._find.events.run,
            self._all.events.status,
            self._learn.events.training,
            self._teach.events.status,
        )
        connections.stop(self._end_all)

    def _soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _show(self) -> None:
        if self._is_showing:  # from within napari's own handling of events
            self._soon()
            return
        self._is_showing = True
        try:
            for what, (words, share, busy) in self._now().items():
                if busy and not self._is_over:
                    self._move(what, words, share)
                else:
                    self._end(what)
        finally:
            self._is_showing = False

    def _now(self) -> dict[str, tuple[str, float | None, bool]]:
        """Words, share (None while nobody knows) and whether it is under way, for each."""
        run, every = self._find.run, self._all.status
        learn, teach = self._learn.training, self._teach.status
        return {
            "Finding nuclei": (run_words(run), run.progress, run.busy),
            "Searching all images": (
                all_words(every),
                _share(every.ended, every.images),
                every.busy,
            ),
            "Training": (learn.words, _share(learn.step, learn.steps), learn.busy),
            "Teaching an answerer": (teach.words, _share(teach.step, teach.steps), teach.busy),
        }

    def _move(self, what: str, words: str, share: float | None) -> None:
        if what not in self._bars:
            # tqdm, which it is, would write to the terminal as well.
            bar = progress(total=0, desc=what, leave=False, file=io.StringIO())
            if self._is_over:  # while Qt handled events for the new bar
                bar.close()
                return
            self._bars[what] = bar
        self._bars[what].set_description(f"{what}: {words}" if words else what)
        if share is not None and what in self._bars:  # the window may have gone meanwhile
            bar = self._bars[what]
            if bar.total != _STEPS:
                bar.total = _STEPS
            bar.update(round(share * _STEPS) - bar.n)

    def _end(self, what: str) -> None:
        bar = self._bars.pop(what, None)
        if bar is not None:
            bar.close()

    def _end_all(self) -> None:
        self._is_over = True
        self._timer.stop()
        for what in list(self._bars):
            self._end(what)


def _share(done: int, of: int) -> float | None:
    return done / of if of else None
