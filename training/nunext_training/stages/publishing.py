"""From the weights of a finished run to a checkpoint."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from napari_nunext import __version__
from napari_nunext.models.checkpoints.loading import finish_checkpoint, load_weights, new_folder
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.method.modules import modules_after
from nunext_training.trainers.centre_map import CentreMapHead
from nunext_training.trainers.covt import ThoughtHead
from nunext_training.trainers.lora import ADAPTER_FILE, merge_saved

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import Best, RunFolder

LAST = "last"
"""Folder of a run that holds the last weights, where none are the best."""


def publish(
    run: RunFolder,
    parent: LoadedCheckpoint,
    recipe: Recipe,
    identity: dict[str, Any],
    *,
    method: str = "sft",
    name: str = "",
) -> None:
    """Write the checkpoint of a run that is complete, and remove the run's folder.

    Parameters
    ----------
    run : RunFolder
        Holds the best weights, or, where nothing was validated, the last ones in `LAST`.
    parent : LoadedCheckpoint
        Gives the processor and the precision of the weights.
    recipe : Recipe
    identity : dict
        Of the run; begins the provenance.
    method : str
        How it was trained, for the provenance.
    name : str
        For people; the name of the folder where empty.
    """
    best = run.best()
    dtype = AutoConfig.from_pretrained(parent.folder, local_files_only=True).dtype
    weights = run.best_weights or run.path / LAST
    model = _trained_model(weights, parent.folder).to(dtype or torch.float32)
    provenance = provenance_of(identity, recipe, best, method=method)
    description = replace(
        parent.description,
        name=name or run.out.name,
        metrics=() if best is None else (_metrics(recipe, best, identity),),
        provenance=provenance
        | {"modules": modules_after(parent.description.provenance, provenance)},
    )
    with new_folder(run.out) as folder:
        model.save_pretrained(folder)
        parent.family.save_processor(parent.windows.processor, folder)
        shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
        for file in (ThoughtHead.file, CentreMapHead.file):
            if (weights / file).is_file():
                (folder / file).parent.mkdir()
                shutil.copyfile(weights / file, folder / file)
        finish_checkpoint(folder, description)
    run.remove()


def provenance_of(
    identity: dict[str, Any], recipe: Recipe, best: Best | None, *, method: str
) -> dict[str, Any]:
    """What a checkpoint says of the run that made it: the run's identity, and how it went."""
    steps = recipe.optimiser.steps
    return identity | {
        "method": method,
        "steps": steps,
        "best_step": steps if best is None else best.step,
        "software": f"napari-nunext {__version__}",
        "trained_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _trained_model(weights: Path, parent: Path) -> Any:
    """The model of a run in float32, whole, whether or not the run trained additions alone."""
    adapted = (weights / ADAPTER_FILE).is_file()
    model = load_weights(
        AutoModelForImageTextToText,
        parent if adapted else weights,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    return merge_saved(model, weights) if adapted else model


def _metrics(recipe: Recipe, best: Best, identity: dict[str, Any]) -> dict[str, Any]:
    """Reference figures for the checkpoint's description."""
    validation = recipe.validation
    objective = {"loss": best.loss} if best.reward is None else {"reward": best.reward}
    return {
        "split": "val",
        "data": identity["data"],
        **objective,
        "f1": best.f1,
        "images_decoded": validation.images,
        "radius_um": validation.radius_um,
        "matching": VALIDATION_MATCHING,
    }
