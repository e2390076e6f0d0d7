"""Teaching answerers: what people said of answers makes the next one, tested before it is used."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import FreeTextError
from napari_nunext.review.background import in_words
from napari_nunext.review.learning.lessons import (
    Lesson,
    can_be_tested,
    kept_words,
    lessons_of,
    steps_for,
)
from napari_nunext.review.learning.pupils import (
    next_name,
    place_of,
    pupils_of,
    recipe_for,
    text_of,
    trains_additions,
)
from napari_nunext.review.learning.questioning import question_both
from napari_nunext.review.learning.shown_status import ShownStatus
from napari_nunext.review.learning.training import Trainer
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.teach import WAYS, TeachingStatus, TeachModel
from napari_nunext.store.exports.answers.supply import AnswerSupply, answer_supply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Protocol

    from napari_nunext.review.exporting import Exporter
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.learning.pupils import Pupils
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel
    from napari_nunext.review.shown.teach import TeachingPhase, TeachingWay
    from napari_nunext.review.soundness import Soundness
    from napari_nunext.store.exports.training import WhichAnswers

    class Places(Protocol):
        """What it needs of who can be asked; `review.asking.answerers.Answerers` is one."""

        def add(self, text: str) -> None:
            """Have the window's own server ask another one, and ask it next."""

        def choose(self, name: str) -> None:
            """Whom to ask next."""


METHODS: Mapping[TeachingWay, str] = {"right": "sft", "better": "dpo", "rated": "kto"}
"""The command of ``nunext-train ask`` for each way."""
TEACH_ALL_THE_SAME = "Teach all the same"
_NOT_A_NUMBER = re.compile(r"loss of step \d+ is")
NO_NUMBERS = (
    "Training failed: its figures are no longer numbers. Nothing was changed. Try again with other "
    "answers, or another answerer; the log says more."
)
STOPPED = "Stopped. What it learned so far is kept, and it can go on."


class Teacher:
    """The part of the review that teaches answerers.

    Parameters
    ----------
    session : Session
    server : ModelServer
        Has the answerers.
    asking : AskModel
        Says how many image tokens pictures cost, and who is asked.
    places : Places
        Takes the new answerer.
    exporter : Exporter
        Writes what is learned from.
    soundness : Soundness
        Looks through the project before anything is learned from it.
    home : Path
        Where new answerers go.
    make_trainer : callable
        Makes the trainer of one teaching.
    """

    def __init__(
        self,
        session: Session,
        server: ModelServer,
        asking: AskModel,
        places: Places,
        exporter: Exporter,
        soundness: Soundness,
        home: Path,
        make_trainer: Callable[[], Trainer] = Trainer,
    ) -> None:
        self._session = session
        self._server = server
        self._asking = asking
        self._places = places
        self._exporter = exporter
        self._soundness = soundness
        self._home = home
        self._make_trainer = make_trainer
        self.model = TeachModel()
        """What the panel shows of it."""
        self._status = ShownStatus(session, self.model, "status")
        self._trainer: Trainer | None = None
        self._lesson: Lesson | None = None
        """The one that is under way, or can go on, or was tested and not used yet."""
        self._way_was_chosen = False
        session.left.connect(self._forget)
        asking.events.answerers.connect(self._follow)

    def _forget(self) -> None:
        self._trainer = self._lesson = None
        self._way_was_chosen = False

    # What there is

    def refresh(self) -> None:
        """Count again what there is to learn from, and who can be taught."""
        session = self._session
        if not session.has_project:
            return
        project = session.project

        def count() -> tuple[AnswerSupply, Lesson | None]:
            lessons = list(lessons_of(self._home, str(project.uid)))
            return session.writer.call(lambda: answer_supply(project)), next(iter(lessons), None)

        session.background.run(count, self._take, self._not_counted)
        self._look_for_pupils()

    def _take(self, found: tuple[AnswerSupply, Lesson | None]) -> None:
        model, (supply, lesson) = self.model, found
        model.supply, model.problem = supply, ""
        if not self._way_was_chosen:
            enough = [way for way in WAYS if model.is_enough(way)]
            model.way = enough[0] if enough else "right"
        if lesson is not None and self._lesson is None and model.status.phase == "idle":
            self._lesson = lesson
            self._show_lesson(lesson)

    def _show_lesson(self, lesson: Lesson) -> None:
        """A lesson that another window left behind."""
        shown = TeachingStatus(parent=lesson.parent.name, name=lesson.name, kept=lesson.kept)
        if lesson.is_tested:
            self.model.status = replace(
                shown, phase="done", words="It is ready", comparison=lesson.comparison
            )
        else:
            self.model.status = replace(shown, phase="stopped", words=STOPPED, can_go_on=True)

    def _not_counted(self, error: BaseException) -> None:
        self.model.problem = in_words(error).words

    def _follow(self) -> None:
        """Look again at whom the server has; a lesson is over once its answerer is among them."""
        lesson = self._lesson
        if lesson is not None and lesson.is_tested and self._asking.answerer_named(lesson.name):
            self._session.lasting.run(lesson.remove)
        if self._session.has_project:
            self._look_for_pupils()

    def _look_for_pupils(self) -> None:
        server = self._server

        def look() -> Pupils:
            return pupils_of(server.answerers, lambda: server.client().health().device or "cpu")

        self._session.lasting.run(look, self._take_pupils, self._not_counted)

    def _take_pupils(self, found: Pupils) -> None:
        model = self.model
        model.addresses, model.pupils = found.addresses, found.pupils
        names = [each.name for each in found.pupils]
        if model.pupil not in names:
            asked = self._asking.answerer
            model.pupil = asked if asked in names else next(iter(names), "")

    def choose(self, name: str) -> None:
        """Whom to teach next."""
        self.model.pupil = name

    def choose_way(self, way: TeachingWay) -> None:
        """What to learn from next."""
        self._way_was_chosen = True
        self.model.way = way

    # Teaching

    def teach(self) -> None:
        """Begin anew; what was broken off before is forgotten."""
        if self._session.has_project and self.model.can_teach and not self.model.status.busy:
            self._soundness.before(lambda: self._teach("checked"), TEACH_ALL_THE_SAME)

    def go_on(self) -> None:
        """Go on with what was broken off."""
        lesson = self._lesson
        if lesson is not None and self.model.status.can_go_on and not self.model.status.busy:
            self._run(lesson.parent.name, lesson.name, lambda: lesson)

    def _teach(self, answers: WhichAnswers) -> None:
        model = self.model
        if model.status.busy:
            return
        old, self._lesson = self._lesson, None
        pupil, way, supply = model.pupil, model.way, model.supply
        project, budget = str(self._session.project.uid), self._asking.budget
        taken = {each.name for each in self._asking.answerers}

        def begin() -> Lesson:
            if old is not None:
                old.remove()
            texts = self._server.answerers
            parent = place_of(texts, pupil)
            self._home.mkdir(parents=True, exist_ok=True)
            there = {path.name.partition(".")[0] for path in self._home.iterdir()}
            known = {text.partition("=")[0].strip() for text in texts}
            lesson = Lesson(
                home=self._home,
                name=next_name(pupil, taken | there | known),
                parent=parent,
                project=project,
                way=way,
                recipe=recipe_for(parent),
                steps=steps_for(model.of(way).learned),
                budget=budget,
                kept=kept_words(supply),
                can_be_tested=can_be_tested(supply),
            )
            self._write(lesson, answers)
            return lesson

        self._run(pupil, "", begin)

    def _write(self, lesson: Lesson, answers: WhichAnswers) -> None:
        """Export what is learned from; whole, or nothing of the lesson is left."""
        try:
            lesson.save()
            self._exporter.write_training(lesson.export, answers, regions=False)
        except BaseException:
            lesson.remove()
            raise

    def _run(self, parent: str, name: str, begin: Callable[[], Lesson]) -> None:
        trainer = self._trainer = self._make_trainer()
        self.model.status = TeachingStatus(
            "exporting", words="Gathering the answers", parent=parent, name=name
        )

        def work() -> Lesson:
            lesson = begin()
            self._session.background.on_main(lambda: self._hold(lesson))
            return self._work(trainer, lesson)

        self._session.background.run(work, self._taught, self._failed)

    def _hold(self, lesson: Lesson) -> None:
        self._lesson = lesson
        self.model.status = replace(self.model.status, name=lesson.name, kept=lesson.kept)

    def _work(self, trainer: Trainer, lesson: Lesson) -> Lesson:
        """Train and test in a background thread."""
        if not lesson.is_trained:
            self._status.show(phase="training", words="Starting")
            trainer.teach(
                lesson.export,
                lesson.parent,
                lesson.out,
                method=METHODS[lesson.way],
                recipe=lesson.recipe,
                steps=lesson.steps,
                budget=lesson.budget,
                tell=self._status.step,
            )
        self._status.show(phase="testing", words="")
        comparison = question_both(trainer, lesson, lambda words: self._status.show(words=words))
        tested = replace(lesson, is_tested=True, comparison=comparison)
        tested.save()
        tested.forget_export()
        return tested

    def stop(self) -> None:
        """Stop after the step that it is at; it can go on."""
        if self._trainer is None:
            return
        self._status.stopping()
        self._trainer.stop()

    def _taught(self, lesson: Lesson) -> None:
        self._lesson = lesson
        self.model.status = replace(
            self.model.status,
            phase="done",
            words="It is ready",
            name=lesson.name,
            comparison=lesson.comparison,
            seconds_left=None,
        )

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, FreeTextError):
            self._ask_about_words(error)
            return
        stopped = self._trainer is not None and self._trainer.stopped
        there = self._lesson is not None
        phase: TeachingPhase = "stopped" if stopped else "failed"
        words = in_words(error).words
        if _NOT_A_NUMBER.search(words):  # to go on would end the same way
            there, words = False, NO_NUMBERS
        if stopped:
            words = STOPPED if there else "Stopped; nothing was changed"
        self.model.status = replace(
            self.model.status, phase=phase, words=words, seconds_left=None, can_go_on=there
        )

    def _ask_about_words(self, error: FreeTextError) -> None:
        self.model.status = TeachingStatus()
        self._session.notify(
            Notice(str(error), "warning", TEACH_ALL_THE_SAME, lambda: self._teach("all"))
        )

    # Using it

    def use(self) -> None:
        """Have the new answerer asked; asks first where it is worse, or nobody can tell."""
        lesson = self._lesson
        if lesson is None or not lesson.is_tested:
            return
        question = lesson.comparison.question
        if question:
            self._session.notify(Notice(question, "warning", "Use it", lambda: self._use(lesson)))
        else:
            self._use(lesson)

    def _use(self, lesson: Lesson) -> None:
        server = self._server

        def look() -> str:
            reads = {each.id: each.reads_nuclei for each in server.client().answerers()}
            return text_of(
                lesson.parent,
                lesson.name,
                lesson.out,
                additions=trains_additions(lesson.parent, lesson.recipe),
                reads_nuclei=reads.get(lesson.parent.name, False),
            )

        self._session.lasting.run(look, self._places.add)

    def use_old(self) -> None:
        """Ask the one that it was made of again."""
        self._places.choose(self.model.status.parent)
