"""What the trainers of tasks share: examples in their order, and weights that score best."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import SequentialSampler

from nunext_training.runs.folder import Best
from nunext_training.trainers.run_keeping import RunKeeping

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import TrainingArguments

    from nunext_training.data.task import Task
    from nunext_training.runs.context import RunContext


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
    """

    def __init__(
        self, model: nn.Module, args: TrainingArguments, task: Task[Any], run: RunContext
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
