"""What the trainers of fine-tuning share: their run's folder, and who is told what happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoModelForImageTextToText, PrinterCallback, Trainer, TrainerCallback

from napari_nunext.models.checkpoints.loading import load_weights
from nunext_training.runs import processes
from nunext_training.runs.errors import TrainingError
from nunext_training.runs.reporting import name_reports
from nunext_training.runs.sharding import WholeCopy, is_sharded
from nunext_training.trainers.lora import ADAPTER_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import Best


class RunKeeping(Trainer):
    """A Trainer whose state, best weights and bad batches live in the folder of a run.

    It is also mixed in before a Trainer of another package, as `NextPointGrpoTrainer` does.

    Parameters
    ----------
    run : RunContext
    **options
        Of the Trainer.
    """

    saved_as: ClassVar[Any] = AutoModelForImageTextToText
    """The class that reads what this saved."""

    figures: Sequence[str] = ("loss", "grad_norm", "learning_rate")
    """What of a step and of a validation is kept, where it is known; see `Reporter`."""

    _whole_copy: WholeCopy | None = None

    def __init__(self, *, run: RunContext, **options: Any) -> None:
        super().__init__(**options)
        self._run = run.folder
        self.remove_callback(PrinterCallback)
        self.add_callback(Reporter(run, self.figures))
        name_reports(self, run.folder)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As the Trainer's; where weights are about to be spread, keeps a whole copy to decode."""
        if is_sharded(self.accelerator) and self._whole_copy is None:
            self._whole_copy = WholeCopy(self.model, self.accelerator)
        return super().train(*args, **kwargs)

    def whole_model(self) -> Any:
        """The model with the weights of now, all of them in this process.

        Where weights are spread, every process must ask at the same time.
        """
        model = self.accelerator.unwrap_model(self.model)
        return model if self._whole_copy is None else self._whole_copy.updated(model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if is_sharded(self.accelerator) or (Path(resume_from_checkpoint) / ADAPTER_FILE).is_file():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        # The Trainer would take the names in the file as they are. The Qwen-VL families are saved
        # under the names of earlier releases, so nothing would fit: a warning, and random weights.
        saved = load_weights(
            self.saved_as,
            Path(resume_from_checkpoint),
            device=torch.device("cpu"),
            dtype=torch.float32,
        )
        self.accelerator.unwrap_model(self.model).load_state_dict(saved.state_dict())

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._save_checkpoint(*args, **kwargs)
        # torch tells of a full disk by a RuntimeError; nothing is computed here.
        except (OSError, SafetensorError, RuntimeError) as error:
            raise TrainingError(
                f"The state after step {self.state.global_step} cannot be saved in "
                f"{self._run.path} ({error}). Make room, then go on with --resume from the save "
                "before it."
            ) from error

    def _give_up(self, inputs: Mapping[str, Tensor], loss: float) -> None:
        process = int(self.accelerator.process_index)
        path = self._run.path / f"bad_batch{f'-{process}' if process else ''}.safetensors"
        save_file({k: v.detach().cpu().contiguous() for k, v in inputs.items()}, path)
        step = self.state.global_step + 1
        path.with_suffix(".json").write_text(
            json.dumps({"step": step, "loss": repr(loss)}) + "\n", encoding="utf-8"
        )
        raise TrainingError(
            f"The loss of step {step} is {loss}. Its batch is saved in {path}; the state before is "
            "kept. Resume with a lower --lr in a new run, or look at the batch."
        )

    @property
    def has_no_best(self) -> bool:
        """Whether nothing has been validated in this run yet."""
        return processes.on_main(lambda: self._run.best() is None)

    def _keep_best(self, result: Best) -> None:
        if not processes.on_main(lambda: result.is_better_than(self._run.best())):
            return
        weights = self._run.path / "partial"
        self.save_model(str(weights))
        if self.is_world_process_zero():
            self._run.set_best(result, weights)


class Reporter(TrainerCallback):
    """Tell progress, keep metrics, and stop when asked.

    Parameters
    ----------
    run : RunContext
        Where it stops in one process, it stops in all of them.
    figures : sequence of str
        What of the trainer's log is kept: of a step under these names, of a validation under these
        names with ``eval_`` before them.
    """

    def __init__(self, run: RunContext, figures: Sequence[str]) -> None:
        self._run = run.folder
        self._progress = run.progress
        self._stop = run.stop
        self._figures = tuple(figures)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See `TrainerCallback`."""
        if state.is_world_process_zero:
            self._run.forget_after(state.global_step)
            self._progress.start(step=state.global_step, steps=state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """See `TrainerCallback`."""
        if processes.any_of(self._stop()):
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See `TrainerCallback`."""
        if not state.is_world_process_zero:
            return
        step, logs = state.global_step, kwargs["logs"]
        if "loss" in logs:
            kept = {k: float(logs[k]) for k in self._figures if k in logs}
            self._run.append_metrics({"event": "step", "step": step} | kept)
            self._progress.step(step=step, loss=float(logs["loss"]))
            if control.should_evaluate:
                self._progress.doing(what="validation")
        elif "eval_loss" in logs:
            f1, pq = logs.get("eval_f1"), logs.get("eval_pq")
            kept = {k: float(logs[f"eval_{k}"]) for k in self._figures if f"eval_{k}" in logs}
            self._run.append_metrics({"event": "validation", "step": step} | kept | {"f1": f1})
            self._progress.validation(step=step, loss=float(logs["eval_loss"]), f1=f1, pq=pq)


class ValidateFirst(TrainerCallback):
    """Measure what the checkpoint can do before it is trained."""

    def __init__(self, trainer: RunKeeping) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See `TrainerCallback`."""
        if state.global_step == 0 and self._trainer.has_no_best:
            self._trainer.evaluate()
