"""Fine-tune a SAM to draw a nucleus from one point on it, as PromptNucSeg does.

The image encoder and the mask decoder learn, the prompt encoder is frozen; the loss of a prompt is
``20 focal + dice + (predicted IoU - IoU)^2``, and a mask is where logits are positive.

    nunext-train segmenter --data masked --checkpoint sam --out sam-on-nuclei

Ours: a fixed number of prompts in a window, centroids moved towards other points of the nucleus;
weights chosen by the panoptic quality of validation images drawn from their true centroids.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.loading import load_weights
from napari_nunext.models.devices import choose_device
from napari_nunext.models.sam.trunk_sam import AnySam
from nunext_training.data.painting import check_masks
from nunext_training.stages.arguments import training_arguments
from nunext_training.stages.publishing import metrics_of, new_checkpoint, provenance_of
from nunext_training.stages.stage import Job, Stage, run_stage
from nunext_training.tasks.masks import MasksTask
from nunext_training.trainers.masks import SegmenterTrainer
from nunext_training.trainers.task_trainer import slower_trunk

if TYPE_CHECKING:
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import Best, RunFolder

FROZEN = ("prompt_encoder", "shared_image_embedding")
"""Parts of a SAM that do not learn."""
READS_OUTLINES = "prompt_encoder.mask_embed"
"""But for this one, where outlines are told."""


class SegmenterStage(Stage[Job]):
    """Teach a SAM; the job's checkpoint is a segmenter's, and every nucleus has a mask."""

    model: Any

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        parent = read_segmenter_description(job.checkpoint)
        options = job.recipe.segmenter
        self._parent = replace(
            parent,
            mpp=options.mpp or parent.mpp,
            reads_outlines=parent.reads_outlines or (options.outlines and options.clicks > 0),
        )
        self._data = self.read_data()
        check_masks([*self._data.train, *self._data.val])
        self.model = load_weights(
            AnySam, job.checkpoint, device=choose_device(), dtype=torch.float32
        )
        for part in FROZEN:
            self.model.get_submodule(part).requires_grad_(False)
        if options.outlines:
            self.model.get_submodule(READS_OUTLINES).requires_grad_(True)
        self._images = SamImageProcessorPil.from_pretrained(job.checkpoint, local_files_only=True)

    def trainer(self, run: RunContext) -> SegmenterTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        task = MasksTask(self._parent, self._images, self.recipe, self._data)
        args = training_arguments(self.recipe, run.folder, validates=task.validation is not None)
        trunk = getattr(self.model.vision_encoder, "trunk", None)
        return SegmenterTrainer(
            *(self.model, args, task, run),
            options=self.recipe.segmenter,
            slower=slower_trunk(trunk, self.recipe.optimiser.trunk_lr_ratio),
        )

    def publish(self, run: RunFolder) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        best = run.best()
        model = load_weights(
            AnySam,
            run.best_weights or run.last_weights,
            device=torch.device("cpu"),
            dtype=getattr(torch, self.recipe.segmenter.weights),
        )
        description = replace(
            self._parent,
            name=run.out.name,
            metrics=metrics_of(best, self.identity, self._figures),
            provenance=provenance_of(self.identity, self.recipe, best, method="segmenter"),
        )
        with new_checkpoint(run, description, self.job.checkpoint) as folder:
            model.save_pretrained(folder)
            self._images.save_pretrained(folder)

    def _figures(self, best: Best) -> dict[str, Any]:
        return {
            "loss": best.loss,
            "pq": best.pq,
            "prompts": "true centroids",
            "images_drawn": self.recipe.validation.images,
        }


run_segmenter = partial(run_stage, SegmenterStage)
"""``run_segmenter(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""
