"""What the trainers of tasks share: examples in their order, and weights that score best."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import SequentialSampler

from napari_nunext.models.families.trunk import PublishedStages
from nunext_training.runs.folder import Best
from nunext_training.trainers.run_keeping import RunKeeping

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import TrainingArguments

    from nunext_training.data.task import Task
    from nunext_training.runs.context import RunContext


@dataclass(frozen=True, slots=True)
class SlowerPart:
    """Weights that know something already, and how much of the learning rate they get."""

    weights: tuple[nn.Parameter, ...]
    lr_ratio: float

    def part_from(self, optimizer: Any) -> None:
        """Move them into groups of their own, before a schedule reads the groups' rates."""
        slower = {id(weight) for weight in self.weights}
        groups = list(optimizer.param_groups)
        for group in groups:
            theirs = [weight for weight in group["params"] if id(weight) in slower]
            if theirs:
                group["params"] = [w for w in group["params"] if id(w) not in slower]
                rate = group["lr"] * self.lr_ratio
                optimizer.add_param_group({**group, "params": theirs, "lr": rate})


class TaskTrainer(RunKeeping):
    """Learn a task. A subclass says what the loss of a batch is.

    Examples come in their own order: each is a function of seed and index, so nothing is shuffled.

    Parameters
    ----------
    model : nn.Module
    args : TrainingArguments
        See `nunext_training.stages.arguments`.
    task : Task
    run : RunContext
    slower : SlowerPart, optional
        Weights that learn at a part of the rate.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        task: Task[Any],
        run: RunContext,
        *,
        slower: SlowerPart | None = None,
    ) -> None:
        validation = task.validation
        if validation is not None and args.world_size > 1:
            args.per_device_eval_batch_size = full_batch_size(
                len(validation), args.per_device_eval_batch_size
            )
        per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self._examples = task.examples(args.max_steps * per_step)
        super().__init__(
            run=run,
            model=model,
            args=args,
            train_dataset=self._examples,
            eval_dataset=validation,
            data_collator=task.encode,
        )
        self.model_accepts_loss_kwargs = False  # the loss is a mean: accumulated ones are averaged
        self._task = task
        self._slower = slower

    def create_optimizer(self, model: Any = None) -> Any:
        """As the Trainer's, in which the slower part has groups of its own."""
        optimizer = super().create_optimizer(model)
        if self._slower is not None:
            self._slower.part_from(optimizer)
        return optimizer

    @abstractmethod
    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """The loss of a batch, a scalar, and what the model put out."""

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """As the Trainer's, of `batch_loss`; raises `TrainingError` where it is no number."""
        loss, outputs = self.batch_loss(model, inputs)
        if not torch.isfinite(loss):
            self._give_up(inputs, loss.item())
        return (loss, outputs) if return_outputs else loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's, and the task's score; keeps the weights if they are the best so far."""
        output = super().evaluation_loop(*args, **kwargs)
        score = self._task.score(self.whole_model())
        metrics = (output.metrics or {}) | {f"eval_{name}": value for name, value in score.items()}
        self._keep_best(Best(self.state.global_step, metrics["eval_loss"], **score))
        return output._replace(metrics=metrics)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self._examples)


def full_batch_size(items: int, at_most: int) -> int:
    """The largest size of batches, all of them full, that `items` can be cut into.

    Where several processes share a validation, accelerate fills its last batch with items that it
    has had before, and the mean of that batch would count them.
    """
    return max(size for size in range(1, at_most + 1) if items % size == 0)


def slower_trunk(part: nn.Module | None, lr_ratio: float) -> SlowerPart | None:
    """The pretrained trunk that a part of a model is, if it is one, where it is held back."""
    if lr_ratio == 1 or not isinstance(part, PublishedStages):
        return None
    return SlowerPart(tuple(part.pretrained()), lr_ratio)
