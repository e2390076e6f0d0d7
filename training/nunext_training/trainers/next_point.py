"""The trainer of supervised fine-tuning: `transformers.Trainer` with NuNext's loss.

Departures from the Trainer: windows come in their own order (each is a function of seed and index,
so nothing is shuffled), the loss is Eq. 2 or Eq. 8, the language head runs at predicted positions
only, validation also decodes whole images for F1, the best weights are kept, and a loss that is no
number stops training and leaves the batch behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback

from nunext_training.method.losses import IGNORED, gaussian_targets, reply_loss
from nunext_training.runs.folder import Best
from nunext_training.trainers.centre_map import centre_map, centre_map_loss
from nunext_training.trainers.run_keeping import Reporter, RunKeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn
    from transformers import PreTrainedModel, TrainingArguments

    from napari_nunext.core.codec import Codec
    from nunext_training.data.batches import Collator
    from nunext_training.data.windows import Example
    from nunext_training.recipes.sections import LossOptions
    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress
    from nunext_training.trainers.centre_map import CentreMapHead
    from nunext_training.trainers.heads import TrainingHead
    from nunext_training.trainers.last_output import LastOutput


class Windows(Protocol):
    """A map-style data set of examples."""

    def __len__(self) -> int:
        """Number of windows."""
        ...

    def __getitem__(self, index: int) -> Example:
        """The window at `index`; IndexError beyond the last."""
        ...


@dataclass(frozen=True, slots=True)
class CentreMap:
    """What the error of the map of centres is made with."""

    tokens: LastOutput
    """Of the vision tower, in raster order."""
    head: CentreMapHead
    weight: float
    sigma_px: float


@dataclass(frozen=True, slots=True)
class Validation:
    """What validation looks at."""

    windows: Windows
    """For the loss."""
    f1: Callable[[PreTrainedModel], float] | None
    """F1 of decoded images; None to go by the loss alone."""


class NextPointTrainer(RunKeeping):
    """Fine-tune a model to write the points of a window.

    Parameters
    ----------
    model : PreTrainedModel
    args : TrainingArguments
        See `nunext_training.stages.sft.training_arguments`.
    windows : Windows
        As many windows as training takes, in order.
    validation : Validation, optional
    collator : Collator
    codec : Codec
    loss : LossOptions
    run : RunFolder
    progress : Progress
    stop : callable
        Asked after every step; once it is True, the state is saved and training ends.
    heads : mapping
        Layers that serve training alone, by the names under which they join the model.
    centre_map : CentreMap, optional
        Adds the error of its head's map; the head is one of `heads`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        *,
        windows: Windows,
        validation: Validation | None,
        collator: Collator,
        codec: Codec,
        loss: LossOptions,
        run: RunFolder,
        progress: Progress,
        stop: Callable[[], bool],
        heads: Mapping[str, TrainingHead] | None = None,
        centre_map: CentreMap | None = None,
    ) -> None:
        self._heads = dict(heads or {})
        for name, head in self._heads.items():
            # Parts of the model, so that they are optimised, clipped and shared out with it.
            model.add_module(name, head)
        if validation is not None and args.world_size > 1:
            args.per_device_eval_batch_size = full_batch_size(
                len(validation.windows), args.per_device_eval_batch_size
            )
        super().__init__(
            model=model,
            args=args,
            train_dataset=windows,
            eval_dataset=None if validation is None else validation.windows,
            data_collator=collator,
        )
        # Ours is the mean of the batch's sequences: the Trainer averages accumulated batches.
        self.model_accepts_loss_kwargs = False
        self._windows = windows
        self._validation = validation
        self._codec = codec
        self._softmax_over = loss.softmax_over
        self._soft_targets = (
            gaussian_targets(codec.bins, loss.sigma_bins).to(self.args.device)
            if loss.supervision == "soft"
            else None
        )
        self._centre_map = centre_map
        self._run = run
        self._progress = progress
        self.remove_callback(PrinterCallback)
        self.add_callback(Reporter(run, progress, stop))

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self._windows)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Eq. 2 or Eq. 8 of a batch; raises `TrainingError` where it is no number."""
        labels = inputs["labels"]
        first = int((labels != IGNORED).any(dim=0).nonzero()[0])
        # The position before a token predicts it. The head is the dearest layer of a small model:
        # it skips the prompt.
        outputs = model(
            **{name: value for name, value in inputs.items() if name != "labels"},
            logits_to_keep=labels.shape[1] - first + 1,
            use_cache=False,
        )
        loss = reply_loss(
            outputs.logits[:, :-1],
            labels[:, first:],
            coordinate_start_id=self._codec.coordinate_start_id,
            bins=self._codec.bins,
            soft_targets=self._soft_targets,
            softmax_over=self._softmax_over,
        )
        if self._centre_map is not None and model.training:
            loss = loss + self._centre_map_loss(self._centre_map, labels[:, first:])
        if not torch.isfinite(loss):
            self._give_up(inputs, loss.item())
        return (loss, outputs) if return_outputs else loss

    def _centre_map_loss(self, options: CentreMap, replies: Tensor) -> Tensor:
        logits = options.head(options.tokens.take(), len(replies))
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

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's, and F1; keeps the weights if they are the best so far."""
        output = super().evaluation_loop(*args, **kwargs)
        metrics: dict[str, float] = output.metrics or {}
        f1 = None
        if self._validation is not None and self._validation.f1 is not None:
            f1 = self._validation.f1(self.whole_model())
            metrics["eval_f1"] = f1
        self._keep_best(Best(self.state.global_step, metrics["eval_loss"], f1))
        return output._replace(metrics=metrics)


def full_batch_size(items: int, at_most: int) -> int:
    """The largest size of batches, all of them full, that `items` can be cut into.

    Where several processes share a validation, accelerate fills its last batch with items that it
    has had before, and the mean of that batch would count them.
    """
    return max(size for size in range(1, at_most + 1) if items % size == 0)
