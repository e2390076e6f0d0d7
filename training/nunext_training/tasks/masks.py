"""The mask of a nucleus from clicks on it, as PromptNucSeg learns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nunext.models.sam.segmenter import PIXEL_CENTRE, SamSegmenter, sam_pixels
from nunext_training.data.painting import paint_masks
from nunext_training.data.prompts import PromptedWindows
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_segmenter
from nunext_training.runs import processes
from nunext_training.tasks.points import decoded_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    from napari_nunext.models.checkpoints.description import SegmenterDescription
    from nunext_training.data.prompts import Prompted
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe


@dataclass(frozen=True)
class PromptCollator:
    """Windows with prompts to a batch for a SAM."""

    images: SamImageProcessorPil

    def __call__(self, items: Sequence[Prompted]) -> dict[str, Tensor]:
        """Inputs of the model, the nuclei that are asked for, and ``labels``."""
        points = np.stack([i.points_xy for i in items]) - PIXEL_CENTRE
        return {
            "pixels": sam_pixels(self.images, [i.rgb for i in items]),
            "input_points": torch.from_numpy(points).float(),
            "input_labels": torch.from_numpy(np.stack([i.positive for i in items])).long(),
            "chosen": torch.from_numpy(np.stack([i.chosen for i in items])),
            "labels": torch.from_numpy(np.stack([i.labels for i in items])),
        }


class MasksTask:
    """Prompts in windows at random places; panoptic quality of images that are drawn whole.

    Parameters
    ----------
    parent : SegmenterDescription
        Gives the windows and their scale.
    images : SamImageProcessorPil
    recipe : Recipe
    data : TrainingData
        Every nucleus has a mask.
    """

    def __init__(
        self,
        parent: SegmenterDescription,
        images: SamImageProcessorPil,
        recipe: Recipe,
        data: TrainingData,
    ) -> None:
        self._parent = parent
        self._recipe = recipe
        self._train = data.train
        self._spec = WindowSpec(parent.window_px, parent.mpp)
        self._drawn = decoded_images(data.val, recipe.validation)
        self.encode = PromptCollator(images)
        self.validation = (
            self._prompted(GridWindows(data.val, self._spec, paint_masks)) if data.val else None
        )

    def examples(self, count: int) -> PromptedWindows:
        """See `nunext_training.data.task.Task`."""
        windows = RandomWindows(
            self._train,
            self._spec,
            self._recipe.windows,
            length=count,
            seed=self._recipe.seed,
            painter=paint_masks,
        )
        return self._prompted(windows, clicks=self._recipe.segmenter.clicks)

    def score(self, model: Any) -> dict[str, float]:
        """Panoptic quality of the images that are drawn, from their true centroids."""
        if not self._drawn:
            return {}
        segmenter = SamSegmenter.from_model(model, self.encode.images, self._parent)
        shares = [
            report.pq * report.images
            for image in processes.my_share(self._drawn)
            if (report := evaluate_segmenter(segmenter, [image], data={}).instances) is not None
        ]
        total, count = processes.total([sum(shares), len(shares)])
        return {"pq": total / count if count else 0.0}

    def _prompted(
        self, windows: RandomWindows | GridWindows, *, clicks: int = 0
    ) -> PromptedWindows:
        options = self._recipe.segmenter
        return PromptedWindows(
            windows,
            prompts=options.prompts,
            jitter=options.jitter,
            seed=self._recipe.seed,
            clicks=clicks,
            batch=self._recipe.optimiser.batch_size * processes.count(),
        )
