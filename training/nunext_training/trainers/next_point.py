"""The trainer of supervised fine-tuning: `transformers.Trainer` with NuNext's loss.

Departures from `TaskTrainer`: the loss is Eq. 2 or Eq. 8, the language head runs at predicted
positions only, and layers that serve training alone are trained and saved beside the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunext_training.data.batches import EVERYTHING, KNOWN, REPLAYED, inputs_of, part_of
from nunext_training.method.losses import (
    IGNORED,
    distances,
    divergences,
    gaussian_targets,
    reply_loss,
)
from nunext_training.trainers.centre_map import centre_map, centre_map_loss
from nunext_training.trainers.keeping import WITHOUT_PARENT, by_window
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn
    from transformers import PreTrainedModel, TrainingArguments

    from napari_nunext.core.codec import Codec
    from nunext_training.data.task import Task
    from nunext_training.data.windows import Example
    from nunext_training.recipes.sections import LossOptions
    from nunext_training.runs.context import RunContext
    from nunext_training.trainers.centre_map import CentreMapHead
    from nunext_training.trainers.heads import TrainingHead
    from nunext_training.trainers.keeping import Keeping
    from nunext_training.trainers.last_output import LastOutput
    from nunext_training.trainers.task_trainer import SlowerPart


@dataclass(frozen=True, slots=True)
class CentreMap:
    """What the error of the map of centres is made with."""

    tokens: LastOutput
    """Of the vision tower, in raster order."""
    head: CentreMapHead
    weight: float
    sigma_px: float


class NextPointTrainer(TaskTrainer):
    """Fine-tune a model to write the points of a window.

    Parameters
    ----------
    model : PreTrainedModel
    args, task, run
        As `TaskTrainer`.
    codec : Codec
    loss : LossOptions
    heads : mapping
        Layers that serve training alone, by the names under which they join the model.
    centre_map : CentreMap, optional
        Adds the error of its head's map; the head is one of `heads`.
    slower : SlowerPart, optional
        As `TaskTrainer`.
    keeping : Keeping, optional
        What is done with windows that are replayed; by default they are learned as all others.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        task: Task[Example],
        run: RunContext,
        *,
        codec: Codec,
        loss: LossOptions,
        heads: Mapping[str, TrainingHead] | None = None,
        centre_map: CentreMap | None = None,
        slower: SlowerPart | None = None,
        keeping: Keeping = WITHOUT_PARENT,
    ) -> None:
        self._heads = dict(heads or {})
        for name, head in self._heads.items():
            # Parts of the model, so that they are optimised, clipped and shared out with it.
            model.add_module(name, head)
        super().__init__(model, args, task, run, slower=slower)
        self._codec = codec
        self._softmax_over = loss.softmax_over
        self._soft_targets = (
            gaussian_targets(codec.bins, loss.sigma_bins).to(self.args.device)
            if loss.supervision == "soft"
            else None
        )
        self._centre_map = centre_map
        self._keeping = keeping

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Eq. 2 or Eq. 8 of a batch, and the error of the map of centres where there is one."""
        labels = inputs["labels"]
        given: dict[str, Any] = inputs_of(inputs)
        del given["labels"]
        first = int((labels != IGNORED).any(dim=0).nonzero()[0])
        # The position before a token predicts it. The head is the dearest layer of a small model:
        # it skips the prompt.
        kept = labels.shape[1] - first + 1
        keeping, replayed = self._keeping, inputs.get(REPLAYED)
        part, theirs = part_of(inputs, REPLAYED), None
        if replayed is not None and keeping.parent is not None:
            # It goes first: with additions it is the same model, whose last output is looked at.
            theirs = keeping.parent.logits(part, kept)
        # What the parent sees comes before what the model makes of the same windows.
        seen = self._seen_by_parent(inputs)
        outputs = model(**given, logits_to_keep=kept, use_cache=False)
        logits, labels = outputs.logits[:, :-1], labels[:, first:]
        if replayed is None or keeping.learns_truth:
            loss = self._reply_loss(logits, labels)
        else:
            new = ~replayed
            loss = new.float().mean() * self._reply_loss(logits[new], labels[new])
        if theirs is not None:
            written = part["attention_mask"][:, 1 - kept :].bool()
            # Every token of a reply counts; a category that nobody has said, too.
            apart = divergences(logits[replayed], theirs[:, :-1], written)
            loss = loss + keeping.weight * apart.sum() / len(labels)
        if keeping.tokens is not None and seen:
            ours = by_window(keeping.tokens.take(), len(labels))
            far = sum(distances(ours[which], tokens).sum() for which, tokens in seen)
            loss = loss + keeping.seeing * far / len(labels)
        if self._centre_map is not None and model.training:
            loss = loss + self._centre_map_loss(self._centre_map, inputs.get(EVERYTHING, labels))
        return loss, outputs

    def _seen_by_parent(self, inputs: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Which windows, bool of shape (B,), and the parent's image tokens of these.

        Those that are replayed it was shown last; the new ones it is shown in colours it knows.
        """
        keeping = self._keeping
        if keeping.parent is None or keeping.tokens is None:
            return []
        seen = []
        for name in (REPLAYED, KNOWN):
            which = inputs.get(name)
            if which is not None:
                if name == KNOWN:
                    keeping.parent.logits(part_of(inputs, KNOWN), 1)
                seen.append((which, keeping.parent.image_tokens(int(which.sum()))))
        return seen

    def _reply_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not len(labels):
            return logits.sum()  # 0, which has a gradient: every window of the batch is replayed
        return reply_loss(
            logits,
            labels,
            coordinate_start_id=self._codec.coordinate_start_id,
            bins=self._codec.bins,
            soft_targets=self._soft_targets,
            softmax_over=self._softmax_over,
        )

    def _centre_map_loss(self, options: CentreMap, replies: Tensor) -> Tensor:
        logits = options.head(options.tokens.take(), len(replies))
        known = (replies != IGNORED).any(dim=1)
        if not known.all():  # of some windows only what was asked for is known
            logits, replies = logits[known], replies[known]
        if not len(replies):
            nothing: Tensor = logits.sum()  # 0, which has a gradient
            return nothing
        targets = centre_map(replies, self._codec, options.sigma_px)
        return options.weight * centre_map_loss(logits, targets)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        state = state_dict or self.accelerator.unwrap_model(self.model).state_dict()
        prefixes = tuple(f"{name}." for name in self._heads)
        super()._save(output_dir, {k: v for k, v in state.items() if not k.startswith(prefixes)})
        if self.args.should_save:
            for head in self._heads.values():
                head.save(Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        owner = self.accelerator.unwrap_model(self.model)
        for name in self._heads:
            delattr(owner, name)  # the weights in the folder are those of the model alone
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, head in self._heads.items():
            owner.add_module(name, head)
            head.load(Path(resume_from_checkpoint))
