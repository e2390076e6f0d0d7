"""What a recipe says to a Trainer of transformers or of TRL."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

if TYPE_CHECKING:
    from napari_nunext.core.process.precision import Precision
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import RunFolder


def training_arguments(
    recipe: Recipe, run: RunFolder, *, validates: bool, workers: int = 0
) -> TrainingArguments:
    """The arguments of a `TaskTrainer`; `workers` are the processes that make examples."""
    return TrainingArguments(
        output_dir=str(run.path),
        dataloader_num_workers=workers,
        **training_options(recipe, validates=validates),
    )


def training_options(recipe: Recipe, *, validates: bool) -> dict[str, Any]:
    """Arguments that every stage's Trainer takes from the recipe."""
    optimiser, validation = recipe.optimiser, recipe.validation
    cuda = torch.cuda.is_available()
    return {
        "max_steps": optimiser.steps,
        "per_device_train_batch_size": optimiser.batch_size,
        "per_device_eval_batch_size": optimiser.batch_size,
        "gradient_accumulation_steps": optimiser.accumulation,
        "learning_rate": optimiser.lr,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": optimiser.min_lr_ratio},
        "warmup_steps": optimiser.warmup_steps,
        "weight_decay": optimiser.weight_decay,
        "adam_beta2": optimiser.beta2,
        "max_grad_norm": optimiser.max_grad_norm,
        "seed": recipe.seed,
        "use_cpu": not cuda,
        "bf16": _computes_in_bfloat16(optimiser.precision),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": [] if recipe.report_to == "nothing" else [recipe.report_to],
        "eval_strategy": "steps" if validates else "no",
        "eval_steps": validation.every_steps,
        "prediction_loss_only": True,
        "label_names": ["labels"],
        "save_strategy": "steps",
        "save_steps": validation.every_steps,
        "save_total_limit": 1,
        "remove_unused_columns": False,  # examples are not columns
        "dataloader_pin_memory": cuda,
        "average_tokens_across_devices": False,  # the loss is a mean of sequences
        "ddp_find_unused_parameters": False,  # every weight takes part in every step
    }


def activation_checkpointing(config: type[Any], *, on: bool) -> dict[str, bool]:
    """The option of TRL's `config` by its name: renamed within the versions that we support."""
    new_name, old_name = "activation_checkpointing", "gradient_checkpointing"
    known = {field.name for field in fields(config)}
    return {new_name if new_name in known else old_name: on}


def _computes_in_bfloat16(precision: Precision) -> bool:
    if precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"
