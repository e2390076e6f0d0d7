"""A head for atomic points: a checkpoint learns to say a point in one forward pass.

Beyond the paper. The checkpoint's model is frozen, and its files are copied as they are: without
the head it says what it always said. The head is taught to guess, from the state before a point and
the image, the y and the category that the model itself would say
(`napari_nunext.models.checkpoints.atomic_points`).

    nunext-train atomic --data export --checkpoint trained --out trained-atomic

At the end images are decoded with the head and without, and the checkpoint uses its head only where
that costs no F1 to speak of.

What was tried, and why the head looks at the image: docs/decisions/atomic-points.md.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from transformers import set_seed

from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE, AtomicPoints
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.recipes.recipe import changed
from nunext_training.stages.arguments import training_arguments
from nunext_training.stages.publishing import new_checkpoint, provenance_of
from nunext_training.stages.stage import Job, Stage, run_stage
from nunext_training.tasks.points import PointsTask, decoded_images
from nunext_training.trainers.atomic import AtomicTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import RunFolder


class AtomicStage(Stage[Job]):
    """Teach a head what its model says; the job's checkpoint is a detector's.

    It may be quantised, and a head that it has is left behind.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._parent = load_checkpoint(job.checkpoint)
        self._data = self.read_data(self._parent.description.codec.category_names)
        self.identity["recipe"]["atomic"] = asdict(job.recipe.atomic)
        set_seed(job.recipe.seed)  # every run of this recipe begins with the same head
        self.model = AtomicHead.beginning(self._parent.model, self._parent.description.codec)

    def trainer(self, run: RunContext) -> AtomicTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        by_loss = changed(self.recipe, validation={"images": 0})  # images are decoded at the end
        task = PointsTask(self._parent, by_loss, self._data)
        args = training_arguments(self.recipe, run.folder, validates=task.validation is not None)
        return AtomicTrainer(
            *(self.model, args, task, run),
            parent=self._parent,
            options=self.recipe.atomic,
            loss=self.recipe.loss,
        )

    def publish(self, run: RunFolder) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        recipe, parent = self.recipe, self._parent
        weights = run.best_weights or run.last_weights
        head = AtomicHead.load(weights, parent.model, parent.description.codec)
        atomic = AtomicPoints(used=True, tolerance_um=recipe.atomic.tolerance_um)
        with_head = replace(
            parent, description=replace(parent.description, atomic=atomic), atomic_head=head
        )
        images = decoded_images(self._data.val, recipe.validation)
        measured = _measured(parent, with_head, images, recipe)
        if (
            measured is None
            or measured["f1_autoregressive"] - measured["f1"] > recipe.atomic.f1_loss
        ):
            atomic = replace(atomic, used=False)
        provenance = provenance_of(self.identity, recipe, run.best(), method="atomic")
        description = replace(
            _without_head(parent.description),
            name=run.out.name,
            atomic=atomic,
            provenance=parent.description.provenance
            | {"atomic": provenance | {"measured": measured}},
        )
        with new_checkpoint(run, description, self.job.checkpoint) as folder:
            shutil.copytree(
                parent.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*")
            )
            (folder / HEAD_FILE).parent.mkdir(exist_ok=True)
            shutil.copyfile(weights / HEAD_FILE, folder / HEAD_FILE)


run_atomic = partial(run_stage, AtomicStage)
"""``run_atomic(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""


def _without_head(description: CheckpointDescription) -> CheckpointDescription:
    """A checkpoint's description, less what it says of a head that it had before."""
    kept = {key: value for key, value in description.provenance.items() if key != "atomic"}
    return replace(description, atomic=None, provenance=kept)


def _measured(
    parent: LoadedCheckpoint,
    with_head: LoadedCheckpoint,
    images: Sequence[LabelledImage],
    recipe: Recipe,
) -> dict[str, Any] | None:
    """F1 of decoded images with the head and without; None where there are none."""
    if not images:
        return None
    alone = replace(parent, description=replace(parent.description, atomic=None), atomic_head=None)
    radius_um = recipe.validation.radius_um

    def f1(checkpoint: LoadedCheckpoint) -> float:
        detector = NextPointDetector.from_loaded(checkpoint)
        evaluation = evaluate_detector(
            detector, images, radius_um=radius_um, method=VALIDATION_MATCHING, data={}
        )
        return evaluation.report.overall.f1

    return {
        "f1": f1(with_head),
        "f1_autoregressive": f1(alone),
        "images_decoded": len(images),
        "radius_um": radius_um,
        "matching": VALIDATION_MATCHING,
    }
