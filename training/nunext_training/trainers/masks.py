"""The trainer of a segmenter, with PromptNucSeg's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.nn import functional
from transformers import SamModel

from nunext_training.method.mask_losses import dice_losses, focal_losses, hard_ious
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import TrainingArguments

    from nunext_training.data.prompts import Prompted
    from nunext_training.data.task import Task
    from nunext_training.recipes.stage_sections import SegmenterOptions
    from nunext_training.runs.context import RunContext


class SegmenterTrainer(TaskTrainer):
    """Fine-tune a SAM to draw a nucleus from one point.

    Parameters
    ----------
    model : SamModel
        Its prompt encoder is frozen already.
    args, task, run
        As `TaskTrainer`.
    options : SegmenterOptions
    """

    saved_as = SamModel
    figures = (*TaskTrainer.figures, "pq")

    def __init__(
        self,
        model: SamModel,
        args: TrainingArguments,
        task: Task[Prompted],
        run: RunContext,
        *,
        options: SegmenterOptions,
    ) -> None:
        super().__init__(model, args, task, run)
        self._options = options

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Mean loss of the prompts."""
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
        return loss, outputs


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
