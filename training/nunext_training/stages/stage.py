"""What the stages of training share: what a job is, and its way from a parent to a checkpoint."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.quantised import quantisation_of
from napari_nunext.models.families import submodule
from nunext_training.data.training_data import read_training_data
from nunext_training.runs import processes
from nunext_training.runs.folder import RunFolder
from nunext_training.stages.publishing import LAST, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, Trainer

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.recipes.sections import OptimiserOptions
    from nunext_training.runs.progress import Progress


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, on what, and where to."""

    data: tuple[Path, ...]
    """Exports."""
    checkpoint: Path
    out: Path
    recipe: Recipe
    resume: bool = False
    strict: bool = False
    """Stop at a record that does not hold or a category that the checkpoint does not know."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """New names of categories."""
    allow_loss: bool = False
    """Go on where more than half of the regions would be left out."""
    left_out: frozenset[str] = frozenset()
    """Patients whose images are neither trained nor validated on."""
    name: str = ""
    """What people call the new checkpoint; its folder's name where empty."""


def read_data(job: Job, category_names: Sequence[str] = ()) -> TrainingData:
    """What a job trains and validates on, in the categories of its parent; all without them."""
    return read_training_data(
        job.data,
        category_names,
        renames=job.renames,
        strict=job.strict,
        allow_loss=job.allow_loss,
        left_out=job.left_out,
    )


def identity_of(job: Job, recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    """What a run is known by, when it is resumed and in its checkpoint."""
    return {
        "recipe": recipe.to_json(),
        "data": list(data.origins),
        "parent_sha256": checkpoint_sha256(job.checkpoint),
    }


def run_stage(
    job: Job,
    recipe: Recipe,
    parent: LoadedCheckpoint,
    identity: dict[str, Any],
    make_trainer: Callable[[RunFolder], Trainer],
    progress: Progress,
    *,
    method: str = "sft",
) -> Path | None:
    """Train, and write the checkpoint.

    Parameters
    ----------
    job : Job
    recipe : Recipe
        As this stage takes it: its steps are those of the run.
    parent : LoadedCheckpoint
    identity : dict
        What a resumed run must agree in.
    make_trainer : callable
        Called with the run's folder, after seeding.
    progress : Progress
    method : str
        Goes into the checkpoint's provenance.

    Returns
    -------
    Path or None
        The checkpoint; None where training was stopped.
    """
    return run_training(
        job,
        recipe,
        identity,
        parent.model,
        make_trainer,
        lambda run, identity: publish(run, parent, recipe, identity, method=method, name=job.name),
        progress,
    )


def run_training(
    job: Job,
    recipe: Recipe,
    identity: dict[str, Any],
    model: torch.nn.Module,
    make_trainer: Callable[[RunFolder], Trainer],
    publish_run: Callable[[RunFolder, dict[str, Any]], None],
    progress: Progress,
) -> Path | None:
    """As `run_stage`, of any model; `publish_run` is told the run's folder and its identity."""
    if processes.count() > 1:
        # Another number would cut the windows into other batches.
        identity = identity | {"processes": processes.count()}
    parameters = sum(p.numel() for p in model.parameters())
    run = processes.on_main(lambda: _open(job, identity, parameters))
    set_seed(recipe.seed)
    trainer = make_trainer(run)
    state = processes.on_main(lambda: last_state(run.path)) if job.resume else None
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    if trainer.state.global_step < recipe.optimiser.steps:
        return None
    if processes.on_main(lambda: run.best() is None):
        trainer.save_model(str(run.path / LAST))

    def finish() -> None:
        loss_first, loss_last = run.loss_first_and_last()
        publish_run(run, identity)
        progress.done(checkpoint=job.out, loss_first=loss_first, loss_last=loss_last)

    processes.on_main(finish)
    return job.out


def _open(job: Job, identity: dict[str, Any], parameters: int) -> RunFolder:
    check_space(job.out, parameters)
    return RunFolder.open(job.out, identity, resume=job.resume)


def load_parent(folder: Path, optimiser: OptimiserOptions) -> LoadedCheckpoint:
    """The checkpoint to start from, its weights in float32; raises as `load_checkpoint` does.

    Raises
    ------
    InputError
        If its weights are quantised.
    """
    if (folder / "config.json").is_file() and quantisation_of(folder) is not None:
        raise InputError(
            f"{folder} is quantised: integers cannot be trained. Train the checkpoint that it was "
            "made from, and quantise what comes out."
        )
    attention = None if optimiser.attention == "auto" else optimiser.attention
    parent = load_checkpoint(folder, dtype=torch.float32, attention=attention)
    # A head for atomic points knows the weights of now alone: neither validation nor what comes
    # out is to use it.
    return replace(parent, description=replace(parent.description, atomic=None), atomic_head=None)


def prepare_model(parent: LoadedCheckpoint, optimiser: OptimiserOptions) -> None:
    """Freeze the vision tower, and trade time for memory, where the recipe says so."""
    if not optimiser.train_vision:
        submodule(parent.model, parent.family.vision_path).requires_grad_(False)
    if optimiser.gradient_checkpointing:
        checkpoint_activations(parent.model)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Trade time for memory; transformers renamed the method within the versions we support."""
    new_name = "activation_checkpointing_enable"
    getattr(model, new_name if hasattr(model, new_name) else "gradient_checkpointing_enable")()


BYTES_PER_PARAMETER = 36
"""On disk, at most: two states (weights, two moments), the best weights twice, the checkpoint."""


def check_space(out: Path, parameters: int) -> None:
    """Better now than at the first save."""
    folder = next(p for p in out.absolute().parents if p.is_dir())
    needed, free = parameters * BYTES_PER_PARAMETER, shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"Training needs about {needed / 1e9:.1f} GB in {folder}; {free / 1e9:.1f} GB are "
            "free. Make room, or name another --out folder."
        )


def last_state(folder: Path) -> Path | None:
    """The newest complete state of the trainer; it writes ``trainer_state.json`` last."""
    states = [p for p in folder.glob("checkpoint-*") if _is_json(p / "trainer_state.json")]
    return max(states, key=lambda p: int(p.name.removeprefix("checkpoint-")), default=None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
