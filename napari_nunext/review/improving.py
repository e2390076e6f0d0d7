"""Learning from the review: what there is to learn from, training, and taking the new model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.images import ImageFinder
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.review.background import in_words
from napari_nunext.review.fields import harvest
from napari_nunext.review.model import Harvest, Notice, TrainingStatus
from napari_nunext.review.training import FIRST, FURTHER, Trainer, TrainingStep
from napari_nunext.store.exports.training import export_training

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.records import Manifest
    from napari_nunext.review.finding import Finder
    from napari_nunext.review.model import TrainingPhase
    from napari_nunext.review.session import Session

CHECKPOINT_FILE = "nunext.json"


class Improver:
    """The part of the controller that trains.

    Parameters
    ----------
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
        models_dir: Path,
        make_trainer: Callable[[], Trainer] = Trainer,
        bundled: Path = BUNDLED_WEIGHTS,
    ) -> None:
        self._bundled = bundled
        self._session = session
        self._model = session.model
        self._finder = finder
        self._models_dir = models_dir
        self._make_trainer = make_trainer
        self._trainer: Trainer | None = None
        session.truth_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Count again what there is to learn from."""
        if not self._session.has_project:
            return
        project = self._session.project
        self._session.background.run(
            lambda: self._session.writer.call(lambda: harvest(project)), self._take_harvest
        )

    def _take_harvest(self, counted: Harvest) -> None:
        self._model.harvest = counted

    def export(self, folder: Path) -> None:
        """Write what people completed as training data, and say where it is."""
        self._session.background.run(
            lambda: self._write_export(folder),
            lambda manifest: self._session.notify(Notice(f"Exported to {folder}.")),
        )

    def _write_export(self, folder: Path) -> Manifest:
        """Export in a background thread, after every write that is under way."""
        project = self._session.project
        self._session.writer.call(lambda: None)
        finder = ImageFinder(beside=project.path.parent)
        return export_training(project, folder, open_pixels=finder.pixels)

    def train(self, steps: int | None = None) -> None:
        """Train the chosen model further; a small new one where it has no weights here."""
        if self._model.training.busy or not self._session.has_project:
            return
        trainer = self._trainer = self._make_trainer()
        self._model.training = TrainingStatus("exporting", words="Gathering the accepted fields")
        # What nobody has sorted teaches where nuclei are: it needs no category of its own.
        names = [c.name for c in self._model.categories if c.name != UNCATEGORISED]
        base = self._base_checkpoint()
        missing = names if base is None else self._unknown_to_the_model(names)
        self._session.background.run(
            lambda: self._work(trainer, base, missing, steps), self._trained, self._failed
        )

    def stop(self) -> None:
        """Stop the training; the models stay as they are."""
        if self._trainer is not None:
            self._trainer.stop()

    def use(self) -> None:
        """Make the new model the one that finds nuclei."""
        checkpoint = self._model.training.checkpoint
        if checkpoint is not None:
            self._finder.want_model(checkpoint.name)

    def _base_checkpoint(self) -> Path | None:
        """The folder of the chosen model, where it is on this machine and has weights."""
        name = self._model.model_id
        folders = [parent / name for parent in (self._models_dir, self._bundled)] if name else []
        return next((f for f in folders if (f / CHECKPOINT_FILE).is_file()), None)

    def _unknown_to_the_model(self, names: list[str]) -> list[str]:
        """Those categories that the chosen model cannot say yet."""
        chosen = next(m for m in self._model.models if m.id == self._model.model_id)
        known = {category.name.casefold() for category in chosen.categories}
        return [name for name in names if name.casefold() not in known]

    def _work(
        self, trainer: Trainer, base: Path | None, new_categories: list[str], steps: int | None
    ) -> Path:
        self._models_dir.mkdir(parents=True, exist_ok=True)
        out = self._models_dir / f"review-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
        work = Path(tempfile.mkdtemp(prefix="nunext-training-"))
        try:
            self._write_export(work / "export")
            recipe = FURTHER
            if base is None:
                self._say("building", "Making a small new model")
                recipe, base = FIRST, work / "base"
                trainer.build(base, new_categories)
            elif new_categories:
                self._say("building", "Preparing the model for new categories")
                known, base = base, work / "base"
                trainer.extend(known, base, new_categories)
            self._say("training", "Starting")
            return trainer.sft(
                work / "export", base, out, recipe=recipe, steps=steps, tell=self._tell
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _say(self, phase: TrainingPhase, words: str) -> None:
        def show() -> None:
            self._model.training = replace(
                self._model.training,
                phase=phase,
                words=words,
            )

        self._session.background.on_main(show)

    def _tell(self, step: TrainingStep) -> None:
        self._session.background.on_main(lambda: self._show_step(step))

    def _show_step(self, step: TrainingStep) -> None:
        old = self._model.training
        self._model.training = replace(
            old,
            phase="training",
            step=step.step,
            steps=step.steps,
            losses=(*old.losses, step.loss),
            seconds_left=step.seconds_left,
            words=f"Step {step.step} of {step.steps}",
        )

    def _trained(self, checkpoint: Path) -> None:
        old = self._model.training
        self._model.training = replace(
            old, phase="done", words="The new model is ready", checkpoint=checkpoint
        )

    def _failed(self, error: BaseException) -> None:
        stopped = self._trainer is not None and self._trainer.stopped
        words = "Stopped; nothing was changed" if stopped else in_words(error).words
        phase: TrainingPhase = "stopped" if stopped else "failed"
        self._model.training = replace(self._model.training, phase=phase, words=words)
