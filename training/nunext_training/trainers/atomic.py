"""The trainer of the head of atomic points: around a model that is frozen.

The true reply to a window is read once, as in supervised fine-tuning. The state before each x is
what the head guesses from; the states after x and after y, of the same pass, are what the model
itself would have said of y and the category.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from napari_nunext.core.codec import TOKENS_PER_POINT
from nunext_training.method.losses import gaussian_targets
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import TrainingArguments

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.task import Task
    from nunext_training.data.windows import Example
    from nunext_training.recipes.sections import LossOptions
    from nunext_training.recipes.stage_sections import AtomicOptions
    from nunext_training.runs.context import RunContext


@dataclass(frozen=True, eq=False, slots=True)
class PointStates:
    """The points of B replies, P places for each, and the model's states around them."""

    there: Tensor
    """Shape (B, P), bool: whether there is a point in this place."""
    before: Tensor
    """Shape (B, P, width): from which x is said."""
    at_x: Tensor
    """As `before`: from which y is said."""
    at_y: Tensor
    """As `before`: from which the category is said."""
    x: Tensor
    """Shape (B, P): true bins; any, where there is no point."""
    y: Tensor
    """As `x`."""
    after: Tensor
    """Shape (B, P): the tokens after the points."""


def point_states(states: Tensor, reply_ids: Tensor, codec: Codec) -> PointStates:
    """The points in replies and the states around them.

    Parameters
    ----------
    states : Tensor, shape (B, R, width)
        ``states[:, t]`` is where the model says ``reply_ids[:, t]``: the state one token before.
    reply_ids : Tensor of int, shape (B, R)
        True replies, without latent tokens, padded on the right by what is no coordinate.
    codec : Codec
    """
    # The comma after the last point is not written: the end stands there, or padding.
    points = (reply_ids.shape[1] + 1) // TOKENS_PER_POINT
    missing = max(0, points * TOKENS_PER_POINT - reply_ids.shape[1])
    ids = functional.pad(reply_ids, (0, missing), value=codec.end_id)
    around = functional.pad(states, (0, 0, 0, missing))
    length, shape = points * TOKENS_PER_POINT, (len(ids), points, TOKENS_PER_POINT)
    ids = ids[:, :length].reshape(shape)
    around = around[:, :length].reshape(*shape, states.shape[-1])
    bins = ids - codec.coordinate_start_id
    there = ((bins[..., :2] >= 0) & (bins[..., :2] < codec.bins)).all(dim=-1)
    x, y = (bins[..., i].masked_fill(~there, 0) for i in range(2))
    before, at_x, at_y = around.unbind(dim=2)
    return PointStates(there, before, at_x, at_y, x, y, ids[..., 2])


def guess_losses(
    scores: tuple[Tensor, Tensor | None], targets: tuple[Tensor, Tensor | None]
) -> Tensor:
    """Cross-entropy of the guesses of each point: of y, plus of the category.

    Parameters
    ----------
    scores : tuple of Tensor
        Logits of y, shape (B, P, K), and of the category, shape (B, P, C), or None.
    targets : tuple of Tensor
        Distributions, likewise; a row of zeros, where nobody knows the category, costs nothing.

    Returns
    -------
    Tensor, shape (B, P)
    """
    losses = [
        -(target * functional.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
        for logits, target in zip(scores, targets, strict=True)
        if logits is not None and target is not None
    ]
    return torch.stack(losses).sum(dim=0)


def mean_of_windows(losses: Tensor, there: Tensor) -> Tensor:
    """Average over the points of a window, as Eq. 8 over tokens, then over windows with points.

    0, with a gradient of zeros, where no window has any.
    """
    per_window = (losses * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    return per_window.sum() / there.any(dim=1).sum().clamp(min=1)


class AtomicTrainer(TaskTrainer):
    """Teach a head to guess what its model says.

    Parameters
    ----------
    head : AtomicHead
    args, task, run
        As `TaskTrainer`.
    parent : LoadedCheckpoint
        The frozen model.
    options : AtomicOptions
    loss : LossOptions
        Where the truth is the teacher, how it is softened (Eq. 7).
    """

    def __init__(
        self,
        head: nn.Module,
        args: TrainingArguments,
        task: Task[Example],
        run: RunContext,
        *,
        parent: LoadedCheckpoint,
        options: AtomicOptions,
        loss: LossOptions,
    ) -> None:
        super().__init__(head, args, task, run)
        model: Any = parent.model
        self._frozen = model.to(args.device).requires_grad_(False)
        self._codec = parent.description.codec
        self._prompt_length = len(parent.windows.prompt_ids)
        self._image_places = parent.windows.image_places.to(args.device)
        self._teacher = options.teacher
        sigma = loss.sigma_bins if loss.supervision == "soft" else None
        self._true_targets = _true_targets(self._codec, sigma).to(args.device)

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Mean over the points of a window, then over the windows that have any."""
        image, points = self._read(inputs)
        scores = model(image, points.before, points.x, points.y)
        return mean_of_windows(guess_losses(scores, self._targets(points)), points.there), scores

    @torch.no_grad()
    def _read(self, inputs: dict[str, Tensor]) -> tuple[Tensor, PointStates]:
        """States of the image tokens, shape (B, T, width), and those around the points."""
        output = self._frozen.base_model(
            **{name: value for name, value in inputs.items() if name != "labels"},
            use_cache=False,
        )
        states, length = output.last_hidden_state.float(), self._prompt_length
        image = states[:, self._image_places]
        return image, point_states(
            states[:, length - 1 : -1], inputs["input_ids"][:, length:], self._codec
        )

    @torch.no_grad()
    def _targets(self, points: PointStates) -> tuple[Tensor, Tensor | None]:
        """Distributions over the bins of y, and over the categories where there are any."""
        codec = self._codec
        category_ids = torch.tensor(codec.category_ids, device=points.after.device)
        if self._teacher == "truth":
            known = (points.after[..., None] == category_ids).float()
            return self._true_targets[points.y], known if codec.has_categories else None
        first = codec.coordinate_start_id
        bins = torch.arange(first, first + codec.bins, device=points.after.device)
        categories = self._said(points.at_y, category_ids) if codec.has_categories else None
        return self._said(points.at_x, bins), categories

    def _said(self, states: Tensor, ids: Tensor) -> Tensor:
        """What the model says of some tokens, as the grammar has it: they share all of it."""
        head: Any = self._frozen.get_output_embeddings()
        bias = getattr(head, "bias", None)
        scores = functional.linear(
            states.to(head.weight.dtype), head.weight[ids], None if bias is None else bias[ids]
        )
        return scores.float().softmax(dim=-1)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        self.accelerator.unwrap_model(self.model).save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.accelerator.unwrap_model(self.model).read(Path(resume_from_checkpoint))


def _true_targets(codec: Codec, sigma_bins: float | None) -> Tensor:
    """What the truth teaches of each bin, shape (K, K): Eq. 7, or the bin alone."""
    return torch.eye(codec.bins) if sigma_bins is None else gaussian_targets(codec.bins, sigma_bins)
