"""What became of the nuclei that the shown answer rests on, since it was given.

One rule for answers that counted nuclei and for those that read them: which nuclei would it rest on
now? What is found again at the same place, in the same category, is the same.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.answers.rewriting import without_boxes
from napari_nunext.core.uids import UidIndex
from napari_nunext.review.asking.counting import counted_answer
from napari_nunext.review.asking.telling import is_unseen, told_nuclei
from napari_nunext.review.shown.answers import Since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel
    from napari_nunext.review.table import NucleusTable
    from napari_nunext.store import FieldState, ImageEntry
    from napari_nunext.store.answers import Answer, Evidence

logger = logging.getLogger(__name__)


def difference(then: Evidence, now: Evidence) -> Since:
    """What is other between the nuclei of an answer and those that it would rest on now."""
    of, new = len(then), len(now)
    if not (of and new):
        return Since(of, changed=of, new=new)
    rows = UidIndex(now.uids).rows_of(then.uids)
    knows_categories = bool(then.categories and now.categories)
    names = {name: at for at, name in enumerate(dict.fromkeys((*then.categories, *now.categories)))}

    def codes(evidence: Evidence) -> NDArray[np.intp]:
        if not knows_categories:
            return np.zeros(len(evidence), dtype=np.intp)
        return np.array([names[each] for each in evidence.categories], dtype=np.intp)

    was, is_ = codes(then), codes(now)
    same = (rows >= 0) & (then.places_xy == now.places_xy[rows]).all(axis=1) & (was == is_[rows])
    is_known = np.zeros(new, dtype=bool)
    is_known[rows[rows >= 0]] = True
    gone = _contents(then, was, np.flatnonzero(rows < 0))
    further = _contents(now, is_, np.flatnonzero(~is_known))
    found_again = (gone & further).total()
    moved = int(((rows >= 0) & ~same).sum())
    return Since(of, changed=moved + gone.total() - found_again, new=further.total() - found_again)


def _contents(
    evidence: Evidence, codes: NDArray[np.intp], rows: NDArray[np.intp]
) -> Counter[tuple[float, float, int]]:
    return Counter(
        (x, y, code)
        for (x, y), code in zip(
            evidence.places_xy[rows].tolist(), codes[rows].tolist(), strict=True
        )
    )


def since(
    answer: Answer,
    entry: ImageEntry,
    state: FieldState,
    table: NucleusTable,
    categories: Sequence[str],
) -> Since | None:
    """What became of an answer's nuclei; None where it rests on none, or nobody looked for any.

    Parameters
    ----------
    answer : Answer
    entry : ImageEntry
        The image that it is about.
    state, table
        Its nuclei.
    categories : sequence of str
        All that the project tells apart.
    """
    region = answer.asked.region
    if not answer.rests_on_nuclei or is_unseen(state, table, region):
        return None
    if answer.by.kind == "model":
        found = difference(answer.evidence, told_nuclei(table, region))
        return found if found.is_other else None
    now = counted_answer(entry, table, categories, answer.asked.question, region)
    found = difference(answer.evidence, now.evidence)
    says, said = (without_boxes(each.said.answer) for each in (now, answer))
    if not found.is_other and says != said:
        return Since(found.of, says_other=True)
    return found if found.is_other else None


class Follower:
    """Keeps `AskModel.since` in step with the nuclei, in the background.

    Parameters
    ----------
    session, model
    """

    def __init__(self, session: Session, model: AskModel) -> None:
        self._session = session
        self._model = model
        self._looked_at: tuple[Any, ...] = ()
        self._is_looking = False
        session.model.events.state.connect(self.look)
        session.model.events.categories.connect(self.look)
        session.images.events.open_field.connect(self.look)
        model.events.selected.connect(self.look)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        # What was under way for the project that was left never comes back.
        self._looked_at, self._is_looking = (), False

    def look(self) -> None:
        """Look at the answer that is shown; once more afterwards, where that is under way."""
        if self._is_looking:
            return
        session, model = self._session, self._model
        chosen, field, state = model.selected, session.images.open_field, session.model.state
        if chosen is None or field is None or state is None or not chosen.answer.rests_on_nuclei:
            self._looked_at, model.since = (), None
            return
        names = tuple(category.name for category in session.model.categories)
        now = (chosen.id, field.entry, names)
        if self._looked_at[:3] == now and self._looked_at[3] is state:
            return
        if chosen.id not in self._looked_at[:1]:
            model.since = None
        answer, entry, table = chosen.answer, field.entry, session.model.table
        self._looked_at, self._is_looking = (*now, state), True
        session.background.run(
            lambda: since(answer, entry, state, table, names), self._take, self._failed
        )

    def _take(self, found: Since | None) -> None:
        self._is_looking = False
        chosen = self._model.selected
        if chosen is not None and chosen.id in self._looked_at[:1]:
            self._model.since = found
        self.look()

    def _failed(self, _: BaseException) -> None:
        # It has been logged, and an answer without a remark is still an answer.
        self._is_looking = False
        self._model.since = None
