"""A stage: from data and a parent to a checkpoint. What a job is, and the way that all of them go.

A stage prepares (loads the parent, reads the data, complains of what does not fit), makes a trainer
for its run, and publishes what the run leaves. `run_stage` is the way: the run's folder, seeding,
resuming, stopping and telling are there alone.
"""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from transformers import set_seed

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from nunext_training.data.training_data import read_training_data
from nunext_training.runs import processes
from nunext_training.runs.context import RunContext
from nunext_training.runs.folder import RunFolder
from nunext_training.runs.reporting import check_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn
    from transformers import Trainer

    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.progress import Progress


Keep: TypeAlias = Literal["best", "last"]


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


JobT = TypeVar("JobT", bound=Job)


class Stage(ABC, Generic[JobT]):
    """One run of a stage. Making it prepares the run.

    Parameters
    ----------
    job : Job
    recipe : Recipe, optional
        As the stage takes it, its steps being those of the run; the job's when None.

    Raises
    ------
    InputError
        If data, checkpoint, recipe or folders do not fit.
    """

    model: nn.Module
    """What learns. A stage sets it while it prepares."""
    identity: dict[str, Any]
    """What a resumed run must agree in, JSON values; the beginning of the provenance."""

    def __init__(self, job: JobT, recipe: Recipe | None = None) -> None:
        self.job = job
        self.recipe = job.recipe if recipe is None else recipe
        check_reports(self.recipe)

    def read_data(self, category_names: Sequence[str] = ()) -> TrainingData:
        """What to train and validate on, in the parent's categories; in all without them.

        Begins `identity`.
        """
        job = self.job
        data = read_training_data(
            job.data,
            category_names,
            renames=job.renames,
            strict=job.strict,
            allow_loss=job.allow_loss,
            left_out=job.left_out,
        )
        self.identity = {
            "recipe": self.recipe.to_json(),
            "data": list(data.origins),
            "parent_sha256": checkpoint_sha256(job.checkpoint),
        }
        return data

    @abstractmethod
    def trainer(self, run: RunContext) -> Trainer:
        """What trains; made after seeding."""

    @abstractmethod
    def publish(self, run: RunFolder) -> None:
        """Write the checkpoint of a run that is complete, and remove the run's folder."""

    def close(self) -> None:
        """Let go of what was opened while preparing."""


def run_stage(
    stage: Callable[[JobT], Stage[JobT]],
    job: JobT,
    progress: Progress,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Path | None:
    """Train, and write the checkpoint.

    Parameters
    ----------
    stage : type of Stage
    job : Job
    progress : Progress
    stop : callable
        Asked after every step; once it is True, the state is saved for ``resume``.

    Returns
    -------
    Path or None
        The checkpoint; None where training was stopped.

    Raises
    ------
    InputError
        If data, checkpoint, recipe or folders do not fit.
    TrainingError
        If the loss is no longer a number.
    """
    processes.join()
    with closing(stage(job)) as prepared:
        return _train(prepared, progress, stop)


def _train(stage: Stage[JobT], progress: Progress, stop: Callable[[], bool]) -> Path | None:
    job, recipe = stage.job, stage.recipe
    if processes.count() > 1:
        # Another number would cut the windows into other batches.
        stage.identity["processes"] = processes.count()
    run = processes.on_main(lambda: _open(stage))
    set_seed(recipe.seed)
    trainer = stage.trainer(RunContext(run, progress, stop))
    state = processes.on_main(lambda: last_state(run.path)) if job.resume else None
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    if trainer.state.global_step < recipe.optimiser.steps:
        return None
    if processes.on_main(lambda: run.best() is None):
        trainer.save_model(str(run.last_weights))

    def finish() -> None:
        progress.doing(what="saving")
        loss_first, loss_last = run.loss_first_and_last()
        stage.publish(run)
        progress.done(checkpoint=job.out, loss_first=loss_first, loss_last=loss_last)

    processes.on_main(finish)
    return job.out


def _open(stage: Stage[JobT]) -> RunFolder:
    check_space(stage.job.out, sum(p.numel() for p in stage.model.parameters()))
    return RunFolder.open(stage.job.out, stage.identity, resume=stage.job.resume)


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
