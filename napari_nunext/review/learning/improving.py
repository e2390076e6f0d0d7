"""Learning from the review: what there is to learn from, training, and taking the new model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.process.asked import Training
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.review.background import in_words
from napari_nunext.review.fields import harvest
from napari_nunext.review.learning.comparing import compare, lesson_of
from napari_nunext.review.learning.model_names import NEW, folder_name, model_name
from napari_nunext.review.learning.shown_status import ShownStatus
from napari_nunext.review.learning.training import FIRST, FURTHER, Trainer
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.learn import Harvest, LearnModel, TrainingStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.exporting import Exporter
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.outcome import Comparison
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.learn import TrainingPhase
    from napari_nunext.review.soundness import Soundness
    from napari_nunext.serving.protocol import ModelInfo

CHECKPOINT_FILE = "nunext.json"


class Improver:
    """The part of the review that trains.

    Parameters
    ----------
    session : Session
    finder : Finder
        Uses the new model.
    exporter : Exporter
        Writes what is learned from.
    soundness : Soundness
        Looks through the project before anything is learned from it.
    models_dir : Path
        Where new models go; the model server looks there too.
    make_trainer : callable
        Makes the trainer of one training.
    bundled : Path
        Models that come with the package.
    """

    def __init__(
        self,
        session: Session,
        finder: Finder,
        exporter: Exporter,
        soundness: Soundness,
        models_dir: Path,
        make_trainer: Callable[[], Trainer] = Trainer,
        bundled: Path = BUNDLED_WEIGHTS,
    ) -> None:
        self._bundled = bundled
        self._session = session
        self._soundness = soundness
        self.model = LearnModel()
        """What the panels show of it."""
        self._status = ShownStatus(session, self.model, "training")
        self._review = session.model
        self._finder = finder
        self._find = finder.model
        self._exporter = exporter
        self._models_dir = models_dir
        self._make_trainer = make_trainer
        self._trainer: Trainer | None = None
        self._questions: dict[str, str] = {}
        """What to ask before a model is used that was measured worse, by the model's id."""
        session.truth_changed.connect(self.refresh)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._trainer = None

    def refresh(self) -> None:
        """Count again what there is to learn from."""
        if not self._session.has_project:
            return
        project = self._session.project
        self._session.background.run(
            lambda: self._session.writer.call(lambda: harvest(project)), self._take_harvest
        )

    def _take_harvest(self, counted: Harvest) -> None:
        self.model.harvest = counted

    @property
    def recipe(self) -> str:
        """The recipe that fits: of a model that learns further, or of a new one."""
        return FIRST if self._base_checkpoint() is None else FURTHER

    def train(self, asked: Training | None = None) -> None:
        """Train the chosen model further; a small new one where it has no weights here.

        Parameters
        ----------
        asked : Training, optional
            What is trained otherwise than usual; `recipe` as it is, by default.
        """
        if not self._session.has_project:
            return
        self._soundness.before(
            lambda: self._train(asked or Training(recipe=self.recipe)), "Train all the same"
        )

    def _train(self, asked: Training) -> None:
        if self.model.training.busy:
            return
        trainer = self._trainer = self._make_trainer()
        self.model.training = TrainingStatus("exporting", words="Gathering the accepted fields")
        # What nobody has sorted teaches where nuclei are: it needs no category of its own.
        names = [c.name for c in self._review.categories if c.name != UNCATEGORISED]
        base, chosen = self._base_checkpoint(), self._find.chosen
        missing = names if base is None else self._unknown_to_the_model(names)
        self._session.background.run(
            lambda: self._work(trainer, chosen, base, missing, asked), self._trained, self._failed
        )

    def stop(self) -> None:
        """Stop the training; the models stay as they are."""
        if self._trainer is None:
            return
        self._status.stopping()
        self._trainer.stop()

    def use(self) -> None:
        """Make the new model the one that finds nuclei; asks first where it is worse."""
        checkpoint = self.model.training.checkpoint
        if checkpoint is not None:
            self.choose(checkpoint.name)

    def choose(self, model_id: str) -> None:
        """Make a model the one that finds nuclei; asks first where it was measured worse.

        However it is chosen, from the list or by the button of a training, it is asked here.
        """
        question = self._questions.get(model_id, "")
        if not question or model_id == self._find.model_id:
            self._take(model_id)
            return
        self._session.notify(Notice(question, "warning", "Use it", lambda: self._take(model_id)))

    def _take(self, model_id: str) -> None:
        """Use a model: at once where it is offered, else as soon as it is."""
        if any(m.id == model_id and m.problem is None for m in self._find.models):
            self._finder.choose_model(model_id)
        else:
            self._finder.want_model(model_id)

    def _base_checkpoint(self) -> Path | None:
        """The folder of the chosen model, where it is on this machine and has weights."""
        name = self._find.model_id
        folders = [parent / name for parent in (self._models_dir, self._bundled)] if name else []
        return next((f for f in folders if (f / CHECKPOINT_FILE).is_file()), None)

    def _unknown_to_the_model(self, names: list[str]) -> list[str]:
        """Those categories that the chosen model cannot say yet."""
        chosen = self._find.chosen
        known = {category.name.casefold() for category in chosen.categories} if chosen else set()
        return [name for name in names if name.casefold() not in known]

    def _work(
        self,
        trainer: Trainer,
        chosen: ModelInfo | None,
        base: Path | None,
        new_categories: list[str],
        asked: Training,
    ) -> tuple[Path, Comparison]:
        """Export, train and test in a background thread; the new model and its figures."""
        self._models_dir.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="nunext-training-"))
        old = base or ("" if chosen is None else chosen.id)
        try:
            self._exporter.write_training(work / "export")
            lesson = lesson_of(work / "export", self._nameless())
            remembers = base is not None
            root, now = NEW if base is None else _name(chosen), datetime.now().astimezone()
            folders = {folder.name for folder in self._models_dir.iterdir()}
            name = model_name(root, lesson.fields, now, self._taken_names())
            out = self._models_dir / folder_name(root, lesson.fields, now, folders)
            status = self._status
            status.show(lesson=lesson, name=name)
            if base is None:
                status.show(phase="building", words="Making a small new model")
                base = work / "base"
                trainer.build(base, new_categories)
            elif new_categories:
                status.show(phase="building", words="Preparing the model for new categories")
                known, base = base, work / "base"
                trainer.extend(known, base, new_categories)
            status.show(phase="training", words="Starting")
            trainer.sft(work / "export", base, out, name=name, asked=asked, tell=status.step)
            status.show(phase="testing", words="", checkpoint=out)
            return out, compare(
                *(trainer, work / "export", lesson, old, out),
                lambda words: status.show(words=words),
                remembers=remembers,
                added=new_categories if remembers else (),
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _nameless(self) -> frozenset[str]:
        """Images of which nobody knows the patient."""
        return frozenset(e.sha256 for e in self._session.project.images() if e.patient is None)

    def _taken_names(self) -> frozenset[str]:
        return frozenset(model.name for model in self._find.models)

    def _trained(self, made: tuple[Path, Comparison]) -> None:
        checkpoint, comparison = made
        self._questions[checkpoint.name] = comparison.question
        self.model.training = replace(
            self.model.training,
            phase="done",
            words="The new model is ready",
            checkpoint=checkpoint,
            comparison=comparison,
            seconds_left=None,
        )
        if self._find.server.phase == "ready":
            self._finder.connect()  # so that it can be chosen

    def _failed(self, error: BaseException) -> None:
        stopped = self._trainer is not None and self._trainer.stopped
        words = "Stopped; nothing was changed" if stopped else in_words(error).words
        phase: TrainingPhase = "stopped" if stopped else "failed"
        self.model.training = replace(self.model.training, phase=phase, words=words)


def _name(model: ModelInfo | None) -> str:
    return "" if model is None else model.name
