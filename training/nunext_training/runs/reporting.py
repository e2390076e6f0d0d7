"""Figures of a run for those who look at them elsewhere: TensorBoard, Weights & Biases, MLflow.

The Trainer has what tells them; here is said who lacks a package, and where files lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers.integrations import TensorBoardCallback

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.installed import installed

if TYPE_CHECKING:
    from transformers import Trainer

    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import RunFolder

_NAMES = {"tensorboard": "TensorBoard", "wandb": "Weights & Biases", "mlflow": "MLflow"}
"""What people call whom a recipe may report to, by the package that it takes."""


def check_reports(recipe: Recipe) -> None:
    """Raise `InputError` where the package that a recipe reports by is not installed."""
    if (package := recipe.report_to) in _NAMES:
        wanted = f"For recipe {recipe.name!r}, which reports to {_NAMES[package]}"
        installed(package, wanted, package, InputError)


def name_reports(trainer: Trainer, run: RunFolder) -> None:
    """Call a run as its checkpoint, wherever it is reported.

    What TensorBoard reads lies beside the checkpoint, in ``CHECKPOINT.tensorboard``, unless
    ``TENSORBOARD_LOGGING_DIR`` names another folder: the run's own goes when it is complete.
    """
    trainer.args.run_name = run.out.name
    callbacks: list[Any] = trainer.callback_handler.callbacks
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(run.out.with_name(f"{run.out.name}.tensorboard"))
