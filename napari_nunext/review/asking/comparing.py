"""Two answers side by side, and which of them a person prefers.

Asked for at once, they are compared blind: sides are drawn by lot, and who answered is hidden
until the person has judged, or has put them away. A vote once names were seen is not blind.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.answers.opinions import Preference
from napari_nunext.core.errors import InputError
from napari_nunext.review.background import in_words
from napari_nunext.review.shown.answers import ShownPair
from napari_nunext.store import events
from napari_nunext.store.kinds.answers import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.opinions import Preferred
    from napari_nunext.review.asking.book import AnswerBook
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel
    from napari_nunext.store.answers import Answer


@dataclass(frozen=True, slots=True)
class _Pair:
    left_id: str
    right_id: str
    blind: bool
    """Whether names are hidden, or were when it was judged."""


class Comparer:
    """The room in which two answers are compared.

    Parameters
    ----------
    session, model, book
    rng : Random, optional
        Draws the sides.
    """

    def __init__(
        self,
        session: Session,
        model: AskModel,
        book: AnswerBook,
        rng: random.Random | None = None,
    ) -> None:
        self._session = session
        self._model = model
        self._book = book
        self._rng = rng or random.SystemRandom()
        self._pairs: dict[str, _Pair] = {}
        """What is compared about each image."""
        session.images.events.open_field.connect(self.refresh)
        session.model.events.state.connect(self.refresh)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._pairs.clear()
        self._book.nameless = ()

    def begin(self, answers: Sequence[Answer]) -> None:
        """Compare two answers that were asked for at once, blind."""
        left, right = self._rng.sample(list(answers), 2)
        self._put(left.image_sha256, _Pair(left.answer_id, right.answer_id, blind=True))

    def side_by_side(self, left_id: str, right_id: str) -> None:
        """Compare two answers about the open image that are there already, with their names."""
        left, right = self._book.shown(left_id), self._book.shown(right_id)
        if left is None or right is None or left_id == right_id:
            return
        self._put(left.answer.image_sha256, _Pair(left_id, right_id, blind=False))

    def is_of(self, answers: Sequence[Answer]) -> bool:
        """Whether these are being compared, so that none of them may be shown alone yet."""
        return any(answer.answer_id in self._book.nameless for answer in answers)

    def close(self) -> None:
        """Put the pair away; the answers are in the list, with their names."""
        field = self._session.images.open_field
        if field is not None and self._pairs.pop(field.entry.sha256, None) is not None:
            self._changed()

    def judge(self, preferred: Preferred) -> None:
        """Say which is better; names are shown from then on."""
        shown, field = self._model.pair, self._session.images.open_field
        if shown is None or field is None:
            return
        sha256 = field.entry.sha256
        try:
            preference = Preference(
                shown.left.id, shown.right.id, preferred, blind=shown.hides_names
            )
        except InputError as error:
            self._session.notify(in_words(error))
            return
        pair = self._pairs[sha256]
        self._pairs[sha256] = replace(pair, blind=False)
        self._hide()
        self._session.commit(sha256, [events.compare_answers(sha256, preference)])
        self._changed()

    def _put(self, sha256: str, pair: _Pair) -> None:
        self._pairs[sha256] = pair
        self._changed()

    def _hide(self) -> None:
        blind = [pair for pair in self._pairs.values() if pair.blind]
        self._book.nameless = {id_ for pair in blind for id_ in (pair.left_id, pair.right_id)}

    def _changed(self) -> None:
        self._hide()
        self._book.refresh()
        self.refresh()

    def refresh(self) -> None:
        """Show the pair of the open image as it stands."""
        field = self._session.images.open_field
        pair = None if field is None else self._pairs.get(field.entry.sha256)
        left = None if pair is None else self._book.shown(pair.left_id)
        right = None if pair is None else self._book.shown(pair.right_id)
        if field is None or left is None or right is None:
            self._model.pair = None
            return
        state = self._session.state_of(field.entry.sha256)
        ids = sorted((left.id, right.id))
        votes = preferences(state).get((ids[0], ids[1]), {})
        mine = votes.get(self._session.project.annotator)
        self._model.pair = ShownPair(left, right, _as_seen(mine, left.id))


def _as_seen(vote: Preference | None, left_id: str) -> Preferred | None:
    """A vote by the sides on which the answers stand now."""
    if vote is None:
        return None
    if vote.left_id != left_id and vote.preferred in ("left", "right"):
        return "right" if vote.preferred == "left" else "left"
    return vote.preferred
