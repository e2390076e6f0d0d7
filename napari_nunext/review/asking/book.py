"""The answers about the open image: which are listed, which is shown, where it points to."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_nunext.review.shown.answers import ShownAnswer
from napari_nunext.review.shown.ask import Suggestions
from napari_nunext.store.answers import Evidence
from napari_nunext.store.kinds.answers import ANSWERS, PAIRS, Opinion, opinions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from napari_nunext.review.correcting.viewing import View
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AnswerFilter, AskModel
    from napari_nunext.store import FieldState
    from napari_nunext.store.answers import Answer


class AnswerBook:
    """The answers of the project, as far as they were read, with what people say of them.

    Parameters
    ----------
    session : Session
    model : AskModel
    view : View
        Shows places.
    """

    def __init__(self, session: Session, model: AskModel, view: View) -> None:
        self._session = session
        self._model = model
        self._view = view
        self._of: dict[str, Answer] = {}
        """By id, in the order in which they were recorded."""
        self._shown_id = ""
        self.nameless: Collection[str] = ()
        """Ids of answers that are not listed, and whose names are hidden."""
        self._last: tuple[Any, ...] = ()
        session.model.events.project.connect(self._read)
        session.images.events.open_field.connect(self.refresh)
        session.model.events.state.connect(self._follow)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._of, self._shown_id, self._last = {}, "", ()

    def _read(self) -> None:
        """Read what was answered before."""
        session = self._session
        if not session.has_project:
            return
        project = session.project

        def take(read: tuple[tuple[Answer, ...], tuple[str, ...]]) -> None:
            answers, organs = read
            # What was answered meanwhile may be in both.
            self._of = {a.answer_id: a for a in answers} | self._of
            self._suggest(organs)
            self.refresh()

        session.background.run(
            lambda: (
                project.answers(),
                tuple(o.tissue for o in project.origins().values() if o.tissue),
            ),
            take,
        )

    def _suggest(self, organs: Iterable[str] = ()) -> None:
        asked = [a.asked.question for a in reversed(self._of.values())]
        lesions = [q for q in asked if q.task == "lesions"]
        known = (*(q.organ for q in lesions), *self._model.suggestions.organs, *organs)
        self._model.suggestions = Suggestions(
            tuple(dict.fromkeys(q.text for q in lesions)), tuple(dict.fromkeys(known))
        )

    @property
    def every(self) -> tuple[Answer, ...]:
        """All of the project, in the order in which they were given."""
        return tuple(self._of.values())

    def take(self, answer: Answer) -> None:
        """One that is recorded, or about to be."""
        self._of[answer.answer_id] = answer
        if answer.asked.question.task == "lesions":
            self._suggest()

    # What is listed

    def filter(self, wanted: AnswerFilter) -> None:
        """List only these."""
        self._model.filter = wanted
        self.refresh()

    def _follow(self) -> None:
        """Follow the state of the open image, where it says something else of answers."""
        state = self._session.model.state
        said = () if state is None else tuple(state.said.get(name) for name in (ANSWERS, PAIRS))
        if len(said) != len(self._last) or any(
            a is not b for a, b in zip(said, self._last, strict=True)
        ):
            self.refresh()
            self._last = said

    def shown(self, answer_id: str) -> ShownAnswer | None:
        """An answer as it stands now; None where it is not known."""
        answer = self._of.get(answer_id)
        if answer is None or not self._session.is_known(answer.image_sha256):
            return None
        return self._with_opinions(answer, self._session.state_of(answer.image_sha256))

    def _with_opinions(self, answer: Answer, state: FieldState) -> ShownAnswer:
        said = dict(opinions(state).get(answer.answer_id, {}))
        mine = said.pop(self._session.project.annotator, Opinion())
        hides_name = answer.answer_id in self.nameless
        return ShownAnswer(answer, mine, MappingProxyType(said), hides_name)

    def refresh(self) -> None:
        """Show what there is about the open image."""
        model, field = self._model, self._session.images.open_field
        if field is None:
            return
        sha256 = field.entry.sha256
        state = self._session.state_of(sha256)
        about = [
            self._with_opinions(answer, state)
            for answer in reversed(self._of.values())
            if answer.image_sha256 == sha256 and answer.answer_id not in self.nameless
        ]
        model.total = len(about)
        model.answers = tuple(each for each in about if _passes(each, model.filter))
        self._show()

    # What is shown

    def select(self, answer_id: str) -> None:
        """Show this answer whole, and its boxes and evidence on the image; empty for none."""
        self._shown_id = answer_id
        self._show()

    def _show(self) -> None:
        model, field = self._model, self._session.images.open_field
        chosen = self.shown(self._shown_id)
        if chosen is None or field is None or chosen.answer.image_sha256 != field.entry.sha256:
            chosen = None
        model.selected = chosen
        self.show_places()

    def show_places(self) -> None:
        """Put on the image what the draft points to, else what the selected answer does."""
        model = self._model
        if model.draft is not None:
            model.boxes, model.evidence = model.draft.boxes, model.draft.evidence
        elif model.selected is not None:
            model.boxes = model.selected.boxes
            model.evidence = model.selected.evidence
        else:
            model.boxes, model.evidence = (), Evidence()

    # Going there

    def look_at_box(self, index: int) -> None:
        """Look at a box that the image shows, by its place in `AskModel.boxes`."""
        if 0 <= index < len(self._model.boxes):
            box = self._model.boxes[index].box
            self._view.focus_requested.emit((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)

    def look_at_nucleus(self, index: int) -> None:
        """Look at a nucleus of the evidence, and select it where it still is one."""
        evidence, state = self._model.evidence, self._session.model.state
        if state is None or not 0 <= index < len(evidence):
            return
        uid = evidence.uuids()[index]
        x, y = evidence.places_xy[index].tolist()
        if uid in state.nuclei:
            self._view.select([uid])
            x, y = state.nuclei[uid].nucleus.x_px, state.nuclei[uid].nucleus.y_px
        self._view.focus_requested.emit(x, y)

    def select_nuclei(self) -> None:
        """Select all nuclei of the evidence that still are there."""
        state = self._session.model.state
        if state is not None:
            uids = self._model.evidence.uuids()
            self._view.select(uid for uid in uids if uid in state.nuclei)


def _passes(shown: ShownAnswer, wanted: AnswerFilter) -> bool:
    answer, question = shown.answer, shown.answer.asked.question
    if wanted.answerer not in ("", answer.by.name) or wanted.task not in ("", question.task):
        return False
    if wanted.rated is not None and wanted.rated == shown.mine.says_nothing:
        return False
    if wanted.stars and shown.rating.stars not in wanted.stars:
        return False
    texts = (
        question.text,
        question.organ,
        *question.options,
        answer.said.answer,
        shown.text,
        shown.rating.comment,
    )
    return wanted.text.strip().casefold() in "\n".join(texts).casefold()
