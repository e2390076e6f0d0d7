"""What a search looks for: everything, or some categories alone; and what is said where nothing is.

The choice is kept with the searches of a project: the next session begins with that of the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.naming import only_of

if TYPE_CHECKING:
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.find import FindModel

ANEW_WORDS = (
    "The model, its settings or the image's scale are others than when the search was paused: "
    "all is searched anew."
)
NO_TISSUE_WORDS = (
    "No tissue was seen here, so nothing was searched. Untick *Leave out bare glass* to search "
    "it all the same."
)
ALL_LEFT_OUT_WORDS = "All of it lies in regions that are left out, so nothing was searched."
NO_REGION_WORDS = "No region says where to search. Draw one of the kind *Search here*."


def nothing_words(windows_left_out: int) -> str:
    """Why no window was searched."""
    return NO_TISSUE_WORDS if windows_left_out else ALL_LEFT_OUT_WORDS


class LastLookedFor:
    """Gives `FindModel.only` what the last search over the first image of a project was for.

    Parameters
    ----------
    session : Session
    find : FindModel
    """

    def __init__(self, session: Session, find: FindModel) -> None:
        self._review, self._find = session.model, find
        self._seen = False
        self._review.events.state.connect(self._look)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._seen = False

    def _look(self) -> None:
        state = self._review.state
        if state is None or self._seen:
            return
        self._seen = True
        if state.runs:
            self._find.only = only_of(list(state.runs.values())[-1].info.decoding)
