"""From a finished run to a checkpoint: what every stage writes into it."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_nunext import __version__
from napari_nunext.models.checkpoints.loading import finish_checkpoint, new_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from napari_nunext.models.checkpoints.description import (
        CheckpointDescription,
        SegmenterDescription,
    )
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import Best, RunFolder


@contextmanager
def new_checkpoint(
    run: RunFolder, description: CheckpointDescription | SegmenterDescription, parent: Path
) -> Iterator[Path]:
    """A folder to write weights into; then the checkpoint is complete, and the run's folder goes.

    The metrics of the run and the description are written into it as well, and the notice of the
    checkpoint `parent` that it was trained from.
    """
    with new_folder(run.out, parent=parent) as folder:
        yield folder
        shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
        finish_checkpoint(folder, description)
    run.remove()


def provenance_of(
    identity: Mapping[str, Any], recipe: Recipe, best: Best | None, *, method: str
) -> dict[str, Any]:
    """What a checkpoint says of the run that made it: the run's identity, and how it went."""
    steps = recipe.optimiser.steps
    return {
        **identity,
        "method": method,
        "steps": steps,
        "best_step": steps if best is None else best.step,
        "software": f"napari-nunext {__version__}",
        "trained_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def metrics_of(
    best: Best | None, identity: Mapping[str, Any], figures: Callable[[Best], dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Reference figures for a checkpoint's description; none where nothing was validated."""
    if best is None:
        return ()
    return ({"split": "val", "data": identity["data"], **figures(best)},)
