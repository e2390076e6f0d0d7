"""What of a search has to be written: whole windows, so that it can go on after anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.predictions import Predictions
from napari_nunext.core.uids import place_in_window
from napari_nunext.store import RunFound, RunWindow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.serving.client.found import FoundChange


class Recording:
    """Gathers what changes until somebody writes it.

    A window is written once it is done, with all that it saw: what half a window saw is seen again
    when the search goes on.

    Parameters
    ----------
    run_id : str
    done : iterable of int
        Windows that are written already.
    """

    def __init__(self, run_id: str, done: Iterable[int] = ()) -> None:
        self._run_id = run_id
        self._done = set(done)
        self._windows: list[RunWindow] = []
        self._stands: dict[UUID, bool] = {}
        """The last word on what changed since it was written."""
        self._masks: dict[UUID, Mask] = {}

    def take(self, change: FoundChange) -> None:
        """Add what an event changes."""
        self._turn(change.hidden, stands=False)
        self._turn(change.back, stands=True)
        self._masks |= {uid: mask for uid, mask in change.masks.items() if self._is_done(uid)}
        if (window := change.window) is not None:
            self._done.add(window.number)
            self._windows.append(
                RunWindow(window.number, Predictions.of(window.nuclei), window.finish)
            )
            self._turn(window.hidden, stands=False)

    def due(self) -> RunFound | None:
        """Take what is to be written; None where nothing is."""
        if not (self._windows or self._stands or self._masks):
            return None
        found = RunFound(
            self._windows,
            hidden=[uid for uid, stands in self._stands.items() if not stands],
            back=[uid for uid, stands in self._stands.items() if stands],
            masks=self._masks,
        )
        self._windows, self._stands, self._masks = [], {}, {}
        return found

    def _turn(self, uids: Iterable[UUID], *, stands: bool) -> None:
        self._stands |= {uid: stands for uid in uids if self._is_done(uid)}

    def _is_done(self, uid: UUID) -> bool:
        at = place_in_window(self._run_id, uid)
        return at is not None and at[0] in self._done
