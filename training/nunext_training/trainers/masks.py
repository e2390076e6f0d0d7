"""The trainer of a segmenter: `transformers.Trainer` with PromptNucSeg's loss.

Windows come in their own order; validation also draws whole images from their true centroids, and
the weights with the best panoptic quality there are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, SamModel

from napari_nunext.models.sam.segmenter import PIXEL_CENTRE, sam_pixels
from nunext_training.method.mask_losses import dice_losses, focal_losses, hard_ious
from nunext_training.runs.folder import Best
from nunext_training.trainers.run_keeping import Reporter, RunKeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn
    from transformers import TrainingArguments
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    from nunext_training.data.prompts import Prompted, PromptedWindows
    from nunext_training.recipes.stage_sections import SegmenterOptions
    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress

FIGURES = ("loss", "grad_norm", "learning_rate", "pq")


@dataclass(frozen=True, slots=True)
class MaskValidation:
    """What validation looks at."""

    windows: PromptedWindows
    """For the loss."""
    pq: Callable[[SamModel], float] | None
    """Panoptic quality of drawn images; None to go by the loss alone."""


class SegmenterTrainer(RunKeeping):
    """Fine-tune a SAM to draw a nucleus from one point.

    Parameters
    ----------
    model : SamModel
        Its prompt encoder is frozen already.
    args : TrainingArguments
    windows : PromptedWindows
        As many windows as training takes, in order.
    validation : MaskValidation, optional
    images : SamImageProcessorPil
    options : SegmenterOptions
    run : RunFolder
    progress : Progress
    stop : callable
        Asked after every step; once it is True, the state is saved and training ends.
    """

    saved_as = SamModel

    def __init__(
        self,
        model: SamModel,
        args: TrainingArguments,
        *,
        windows: PromptedWindows,
        validation: MaskValidation | None,
        images: SamImageProcessorPil,
        options: SegmenterOptions,
        run: RunFolder,
        progress: Progress,
        stop: Callable[[], bool],
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=windows,
            eval_dataset=None if validation is None else validation.windows,
            data_collator=self._collate,
        )
        self.model_accepts_loss_kwargs = False  # the loss is a mean: accumulated ones are averaged
        self._windows = windows
        self._validation = validation
        self._images = images
        self._options = options
        self._run = run
        self.remove_callback(PrinterCallback)
        self.add_callback(Reporter(run, progress, stop, FIGURES))

    def _collate(self, items: Sequence[Prompted]) -> dict[str, Tensor]:
        points = np.stack([i.points_xy for i in items]) - PIXEL_CENTRE
        return {
            "pixels": sam_pixels(self._images, [i.rgb for i in items]),
            "input_points": torch.from_numpy(points).float(),
            "input_labels": torch.from_numpy(np.stack([i.positive for i in items])).long(),
            "chosen": torch.from_numpy(np.stack([i.chosen for i in items])),
            "labels": torch.from_numpy(np.stack([i.labels for i in items])),
        }

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self._windows)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Mean loss of the prompts; raises `TrainingError` where it is no number."""
        outputs = model(
            inputs["pixels"],
            input_points=inputs["input_points"],
            input_labels=inputs["input_labels"],
            multimask_output=False,
        )
        loss = prompt_loss(
            outputs.pred_masks[:, :, 0].float(),
            outputs.iou_scores[:, :, 0].float(),
            inputs["labels"],
            inputs["chosen"],
            self._options,
        )
        if not torch.isfinite(loss):
            self._give_up(inputs, loss.item())
        return (loss, outputs) if return_outputs else loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's, and panoptic quality; keeps the weights if they are the best so far."""
        output = super().evaluation_loop(*args, **kwargs)
        metrics: dict[str, float] = output.metrics or {}
        pq = None
        if self._validation is not None and self._validation.pq is not None:
            pq = self._validation.pq(self.whole_model())
            metrics["eval_pq"] = pq
        self._keep_best(Best(self.state.global_step, metrics["eval_loss"], pq=pq))
        return output._replace(metrics=metrics)


def prompt_loss(
    mask_logits: Tensor,
    iou_scores: Tensor,
    labels: Tensor,
    chosen: Tensor,
    options: SegmenterOptions,
) -> Tensor:
    """PromptNucSeg's loss: focal, Dice, and the error of the IoU that SAM believes it has.

    The mean of the prompts that ask for a nucleus; 0, with a gradient of zeros, where none does.

    Parameters
    ----------
    mask_logits : Tensor, shape (B, P, h, w)
        Resampled to the size of the labels here, as it is when masks are served.
    iou_scores : Tensor, shape (B, P)
    labels : Tensor of int, shape (B, H, W)
    chosen : Tensor of int, shape (B, P)
        The label that each prompt asks for, or 0.
    options : SegmenterOptions
        Weights of the three parts.
    """
    size = tuple(labels.shape[1:])
    asked = (chosen > 0).flatten()
    logits = functional.interpolate(mask_logits, size, mode="bilinear", align_corners=False)
    flat = logits.flatten(0, 1)
    truth = (labels[:, None] == chosen[:, :, None, None]).flatten(0, 1).float()
    iou_errors = (iou_scores.flatten() - hard_ious(flat.detach(), truth)) ** 2
    losses = (
        options.focal_weight * focal_losses(flat, truth)
        + options.dice_weight * dice_losses(flat, truth)
        + options.iou_weight * iou_errors
    )
    return (losses * asked).sum() / asked.sum().clamp(min=1)
