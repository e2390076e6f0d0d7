"""The runs of an ablation on disk: each once, in the order of the table, seed after seed.

    OUT/ablation.json           what the ablation is: only the very same goes on in this folder
    OUT/start/                  the common start, where it was trained here
    OUT/start.json              its figures
    OUT/seed-S/ROW/             the checkpoint of a row (``ROW.training`` until it is complete)
    OUT/seed-S/ROW.json         its figures
    OUT/report.json, .md, .html the table of what is there so far

A run that is complete is not run again, and one that was cut off goes on from its last save.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import FILE_NAME, checkpoint_sha256
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.segmenter import SamSegmenter
from nunext_training.ablation.plan import (
    START,
    TABLE_5,
    Run,
    plan,
    recipe_of,
    recipe_of_start,
    with_parents,
)
from nunext_training.ablation.report import write_ablation
from nunext_training.data.held_out import held_out
from nunext_training.data.labelled import rename_as_asked
from nunext_training.data.painting import foreground_painter
from nunext_training.data.sources import read_sources, read_whole
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.runs.files import write_json
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.tasks.prompted_masks import PromptedMasks
from nunext_training.trainers.covt import check_latents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nunext_training.data.held_out import HeldOut
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.progress import Progress

IDENTITY_FILE = "ablation.json"
_BUILT = "built"


@dataclass(frozen=True, slots=True)
class AblationJob:
    """What to compare, on what, and where to."""

    data: tuple[Path, ...]
    """Exports."""
    out: Path
    recipe: Recipe
    checkpoint: Path | None = None
    """The common start; None builds a small one and teaches it."""
    segmenter: Path | None = None
    """A SAM: judge of the chain of visual thought, and draughtsman of the task-guided reward."""
    variants: tuple[str, ...] = tuple(variant.name for variant in TABLE_5)
    """Rows of the table; those that they go on from are run as well."""
    only_seeds: tuple[int, ...] = ()
    """Run these seeds alone, where other processes run the others; empty: all."""
    strict: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)
    allow_loss: bool = False
    """Go on where more than half of the regions would be left out."""


class Teller(Protocol):
    """Told the name of each run before it begins, and how many are complete of how many."""

    def __call__(self, name: str, done: int, of: int) -> None:
        """See the class."""
        ...


def run_ablation(
    job: AblationJob,
    progress: Progress,
    *,
    tell: Teller = lambda name, done, of: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run what is missing, and write the table.

    Parameters
    ----------
    job : AblationJob
    progress : Progress
        Told of the steps of each run.
    tell : Teller
    stop : callable
        Asked after every step and between runs. Once it is True, the state is saved; the same job
        goes on.

    Returns
    -------
    bool
        Whether all runs are complete. The report has what is there either way.

    Raises
    ------
    InputError
        If data, start, segmenter or recipe do not fit, or `job.out` holds another ablation.
    TrainingError
        If the loss of a run is no longer a number.
    """
    images = _images(job)
    options = job.recipe.ablation
    held = held_out(images, choose=options.validations > 0).at_most(options.images)
    _check(job, images)
    _open(job)
    runs = _Runs(job, held, progress, stop)
    planned = list(plan(job.variants, job.recipe))
    mine = _mine(job, planned)
    complete = True
    for done, run in enumerate(mine):
        tell(run.name, done, len(mine))
        complete = not stop() and runs.train(run) and not stop()
        if not complete:
            break
        runs.measure(run)
    found = {run: figures for run in planned if (figures := runs.figures(run)) is not None}
    write_ablation(job.out, found, with_parents(job.variants), job.recipe, held)
    return complete


def _images(job: AblationJob) -> tuple[LabelledImage, ...]:
    sources = read_whole(job.data, strict=job.strict, allow_loss=job.allow_loss)
    return rename_as_asked([i for source in sources for i in source.images], job.renames)


def _mine(job: AblationJob, planned: list[Run]) -> list[Run]:
    """The runs of this process."""
    seeds = {run.seed for run in planned}
    unknown = [seed for seed in job.only_seeds if seed not in seeds]
    if unknown:
        raise InputError(
            f"Seed {unknown[0]} is none of the ablation's; expected some of "
            f"{', '.join(str(seed) for seed in seeds if seed is not None)}."
        )
    if job.only_seeds and job.checkpoint is None and not (job.out / START / FILE_NAME).is_file():
        raise InputError(
            f"The start is not there yet, and only one process may teach it. Run with --variants "
            f"{START} first, or name a --checkpoint."
        )
    return [run for run in planned if not job.only_seeds or run.seed in (None, *job.only_seeds)]


def _check(job: AblationJob, images: tuple[LabelledImage, ...]) -> None:
    """Complain now of what would fail after hours."""
    needing = [v.name for v in with_parents(job.variants) if v.needs_segmenter]
    if not needing:
        return
    if job.segmenter is None:
        raise InputError(
            f"The variants {', '.join(needing)} need a SAM, and none is given. Name one with "
            "--segmenter, or choose others with --variants."
        )
    covt, options = job.recipe.covt, job.recipe.ablation
    foreground_painter(images, covt.target, covt.radius_um)
    name, latents = "The start", tuple(range(options.latents))
    window_px, mpp = options.window_px, options.mpp
    if job.checkpoint is not None:
        start = read_description(job.checkpoint)
        name, latents = start.name, start.codec.latent_ids
        window_px, mpp = start.window_px, start.mpp
    check_latents(latents, name)
    if "tgr" in needing:
        PromptedMasks(SamSegmenter(job.segmenter, device="cpu"), window_px, mpp)


def _open(job: AblationJob) -> None:
    """Begin the ablation, or find it begun; raise `InputError` where it is another one."""
    size = asdict(job.recipe.ablation)
    del size["seeds"]  # more may be added later
    identity = {
        "recipe": job.recipe.to_json() | {"ablation": size},
        "data": [source.origin for source in read_sources(job.data, strict=job.strict)],
        "start_sha256": None if job.checkpoint is None else checkpoint_sha256(job.checkpoint),
        "segmenter_sha256": None if job.segmenter is None else checkpoint_sha256(job.segmenter),
    }
    path = job.out / IDENTITY_FILE
    if not path.is_file():
        if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
            raise InputError(f"{job.out} exists and holds no ablation. Name another --out folder.")
        job.out.mkdir(parents=True, exist_ok=True)
        write_json(path, identity)
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    different = sorted(key for key in identity if known.get(key) != identity[key])
    if different:
        raise InputError(
            f"The ablation in {job.out} had another {', '.join(different)}. Go on with its own "
            "options, or name another --out folder."
        )


class _Runs:
    """Train and measure, each once."""

    def __init__(
        self, job: AblationJob, held: HeldOut, progress: Progress, stop: Callable[[], bool]
    ) -> None:
        self._job = job
        self._held = held
        self._progress = progress
        self._stop = stop

    def checkpoint(self, run: Run) -> Path:
        """Where the checkpoint of a run is, or will be."""
        given = self._job.checkpoint
        return given if run.parent is None and given is not None else self._job.out / run.name

    def train(self, run: Run) -> bool:
        """Make the checkpoint of a run where it is missing; whether it is there."""
        out = self.checkpoint(run)
        there = (out / FILE_NAME).is_file()
        if run.parent is None or run.seed is None:
            return there or self._teach_start(out)
        parent = self.checkpoint(run.parent)
        if there:
            self._check_parent(out, parent)
            return True
        sam = self._job.segmenter if run.variant.needs_segmenter else None
        options = self._options(out, parent, recipe_of(run.variant, self._job.recipe, run.seed))
        if run.variant.is_tuned_by_rewards:
            trained = run_rft(RftJob(**options, segmenter=sam), self._progress, stop=self._stop)
        else:
            trained = run_sft(SftJob(**options, covt=sam), self._progress, stop=self._stop)
        return trained is not None

    def _teach_start(self, out: Path) -> bool:
        options, built = self._job.recipe.ablation, self._job.out / _BUILT
        if not (built / FILE_NAME).is_file():
            build_checkpoint(
                built,
                size=options.preset,
                latents=options.latents,
                window_px=options.window_px,
                mpp=options.mpp,
                seed=self._job.recipe.seed,
            )
        job = SftJob(**self._options(out, built, recipe_of_start(self._job.recipe)))
        return run_sft(job, self._progress, stop=self._stop) is not None

    def _options(self, out: Path, parent: Path, recipe: Recipe) -> dict[str, Any]:
        return {
            "data": self._job.data,
            "checkpoint": parent,
            "out": out,
            "recipe": recipe,
            "resume": True,
            "strict": self._job.strict,
            "allow_loss": self._job.allow_loss,
            "renames": self._job.renames,
            "left_out": self._held.patients,
        }

    def _check_parent(self, out: Path, parent: Path) -> None:
        said = read_description(out).provenance.get("parent_sha256")
        if said != checkpoint_sha256(parent):
            raise InputError(
                f"{out} went on from another checkpoint than {parent}. Remove it, to have it "
                "trained again."
            )

    def measure(self, run: Run) -> None:
        """Score a run's checkpoint where that is missing."""
        checkpoint, known = self.checkpoint(run), self.figures(run)
        if known and known["subject"]["checkpoint_sha256"] == checkpoint_sha256(checkpoint):
            return
        evaluation = evaluate_detector(
            NextPointDetector(checkpoint),
            self._held.images,
            radius_um=self._job.recipe.validation.radius_um,
            method=VALIDATION_MATCHING,
            data={"split": self._held.what},
        )
        write_json(self._figures_path(run), evaluation.to_json())

    def figures(self, run: Run) -> dict[str, Any] | None:
        """The evaluation of a run, as `Evaluation.to_json`; None where it is missing."""
        path = self._figures_path(run)
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _figures_path(self, run: Run) -> Path:
        return self._job.out / f"{run.name}.json"
