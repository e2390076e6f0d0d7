"""The trainer of a segmenter, with PromptNucSeg's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.models.sam.segmenter import PIXEL_CENTRE, in_window, outline_prompts
from napari_nunext.models.sam.trunk_sam import AnySam
from nunext_training.data.prompts import correcting_click
from nunext_training.method.mask_losses import dice_losses, focal_losses, hard_ious
from nunext_training.trainers.last_output import LastOutput
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import SamModel, TrainingArguments

    from nunext_training.data.prompts import Prompted
    from nunext_training.data.task import Task
    from nunext_training.recipes.stage_sections import SegmenterOptions
    from nunext_training.runs.context import RunContext
    from nunext_training.trainers.task_trainer import SlowerPart


class SegmenterTrainer(TaskTrainer):
    """Fine-tune a SAM to draw a nucleus from one point, and to follow who corrects what it drew.

    Parameters
    ----------
    model : SamModel
        Its prompt encoder is frozen already.
    args, task, run
        As `TaskTrainer`.
    options : SegmenterOptions
    slower : SlowerPart, optional
        As `TaskTrainer`.
    """

    saved_as = AnySam
    figures = (*TaskTrainer.figures, "pq")

    def __init__(
        self,
        model: SamModel,
        args: TrainingArguments,
        task: Task[Prompted],
        run: RunContext,
        *,
        options: SegmenterOptions,
        slower: SlowerPart | None = None,
    ) -> None:
        # Corrections alone run the part that reads outlines, and one mask of SAM's four is taught.
        args.ddp_find_unused_parameters = True
        super().__init__(model, args, task, run, slower=slower)
        self._options = options
        # `get_image_embeddings` would keep gradients from the encoder, and processes that share
        # weights know of what went through the whole model alone.
        self._embeddings = LastOutput(model.vision_encoder, "last_hidden_state")

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Mean loss of the prompts; where outlines are told, of those of every turn."""
        points, positive = inputs["input_points"], inputs["input_labels"]
        turns = points.shape[2] if self._options.outlines else 1
        asked = slice(1) if turns > 1 else slice(None)
        outputs = model(
            inputs["pixels"],
            input_points=points[:, :, asked],
            input_labels=positive[:, :, asked],
            multimask_output=False,
        )
        embeddings = self._embeddings.take()
        loss = self._loss(outputs.pred_masks, outputs.iou_scores, inputs)
        if turns > 1:
            further = self._corrected(model, inputs, embeddings, outputs.pred_masks)
            loss = (loss + sum(further)) / turns
        return loss, outputs

    def _corrected(
        self, model: nn.Module, inputs: dict[str, Tensor], embeddings: Tensor, masks: Tensor
    ) -> list[Tensor]:
        """Losses of further clicks, each where the mask that was drawn is wrong."""
        config = self.accelerator.unwrap_model(model).config
        points, positive = inputs["input_points"].clone(), inputs["input_labels"].clone()
        batch, prompts, clicks, _ = points.shape
        size = tuple(inputs["labels"].shape[1:])
        # SAM takes one outline for each image: each prompt has the image for itself.
        alone = embeddings.repeat_interleave(prompts, 0)
        losses = []
        for turn in range(1, clicks):
            drawn = in_window(masks.detach().flatten(0, 1).float(), size)
            outlines = drawn[:, 0] > 0
            _click(points, positive, outlines.view(batch, prompts, *size), inputs, turn)
            outputs = model(
                image_embeddings=alone,
                input_points=points[:, :, : turn + 1].flatten(0, 1)[:, None],
                input_labels=positive[:, :, : turn + 1].flatten(0, 1)[:, None],
                input_masks=outline_prompts(outlines, config),
                multimask_output=False,
            )
            masks = outputs.pred_masks.unflatten(0, (batch, prompts))[:, :, 0]
            scores = outputs.iou_scores.unflatten(0, (batch, prompts))[:, :, 0]
            losses.append(self._loss(masks, scores, inputs))
        return losses

    def _loss(self, masks: Tensor, scores: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return prompt_loss(
            masks[:, :, 0].float(),
            scores[:, :, 0].float(),
            inputs["labels"],
            inputs["chosen"],
            self._options,
        )


def _click(
    points: Tensor, positive: Tensor, outlines: Tensor, inputs: dict[str, Tensor], turn: int
) -> None:
    """Put the clicks of a turn where the outlines are wrong; where none is, they stay by chance."""
    drawn, labels = outlines.cpu().numpy(), inputs["labels"].cpu().numpy()
    chosen = inputs["chosen"].tolist()
    for i, asked in enumerate(chosen):
        for j, label in enumerate(asked):
            by_chance = points[i, j, turn].cpu().numpy() + PIXEL_CENTRE
            click = correcting_click(drawn[i, j], labels[i] == label, by_chance) if label else None
            if click is not None:
                points[i, j, turn] = points.new_tensor(click[0] - PIXEL_CENTRE)
                positive[i, j, turn] = int(click[1])


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
    logits = in_window(mask_logits, size)
    flat = logits.flatten(0, 1)
    truth = (labels[:, None] == chosen[:, :, None, None]).flatten(0, 1).float()
    iou_errors = (iou_scores.flatten() - hard_ious(flat.detach(), truth)) ** 2
    losses = (
        options.focal_weight * focal_losses(flat, truth)
        + options.dice_weight * dice_losses(flat, truth)
        + options.iou_weight * iou_errors
    )
    return (losses * asked).sum() / asked.sum().clamp(min=1)
