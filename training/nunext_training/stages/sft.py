"""Supervised fine-tuning: from exports and a checkpoint to a better checkpoint.

NuNext, section 3.3: the model reads a window and the instruction, and is taught to write the
window's nuclei in raster order as coordinate tokens, with the naive next-token loss (Eq. 2) or
spatial-aware soft supervision (Eq. 7-8). Latent tokens, where a checkpoint has them, stand in the
prompt as they do at inference; with a SAM to judge them they are taught to think of the nuclei's
masks (`nunext_training.trainers.covt`, Eq. 9-10).

    nunext-train build --preset tiny --out start
    nunext-train sft --data export --checkpoint start --out trained --recipe tiny

Ours, because the paper does not say: every number of the recipes; windows at random places, turned,
mirrored, scaled and stained anew; a checkpoint chosen by the F1 of decoded validation images.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from napari_nunext.core.errors import InputError
from napari_nunext.models.families import submodule
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.data.painted.recoloured import ColoursOfHAndE
from nunext_training.evaluation.remembering import (
    EARLIER,
    FILE_NAME,
    NEW,
    BeforeAndAfter,
    before_and_after,
)
from nunext_training.runs.files import write_json
from nunext_training.runs.sharding import launched_sharded
from nunext_training.stages.arguments import training_arguments
from nunext_training.stages.detectors import DetectorStage
from nunext_training.stages.stage import Job, Keep, run_stage
from nunext_training.tasks.points import PointsTask, ThoughtTask, decoded_images
from nunext_training.tasks.replaying import earlier_tissue, held_out_of
from nunext_training.tasks.seeing import is_known_better
from nunext_training.trainers.centre_map import CentreMapHead
from nunext_training.trainers.covt import FrozenSam, ThoughtTrainer, check_latents, new_head
from nunext_training.trainers.keeping import FrozenParent, Keeping, unlearned_tokens
from nunext_training.trainers.last_output import LastOutput
from nunext_training.trainers.lora import add_lora
from nunext_training.trainers.next_point import CentreMap, NextPointTrainer
from nunext_training.trainers.task_trainer import slower_trunk

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.recipes.sections import CentreMapOptions, KeepingOptions
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import RunFolder


@dataclass(frozen=True, slots=True)
class SftJob(Job):
    """A job of supervised fine-tuning."""

    covt: Path | None = None
    """A SAM that judges the chain of visual thought; None trains without."""
    workers: int = 0
    """Processes that cut windows; 0 cuts them in this one. The windows are the same."""
    replay: tuple[Path, ...] = ()
    """Data sets of what the parent knew, for a recipe that replays some; drawn where empty."""
    tests: bool = True
    """Whether a run that replays ends with a test of parent and child, on both tissues."""
    keep: Keep = "best"
    """The weights that validate best, or the last ones: then nothing is validated, and the val
    split stays unseen, for figures that no choice has flattered."""


class SftStage(DetectorStage[SftJob]):
    """Teach a detector to write what people say is there."""

    method = "sft"

    def __init__(self, job: SftJob) -> None:
        super().__init__(job)
        self._sam = _sam(job.covt, self.parent)
        self._data = self.read_data(self.parent.description.codec.category_names)
        self._earlier = self._earlier_tissue()
        self.taught_images = (*self._data.train, *self._earlier)
        self._held_out = decoded_images(self._data.val, self.recipe.validation)
        if job.keep == "best":
            self.held_out_images = tuple(self._held_out)
        else:
            self._data = replace(self._data, val=())
            self.identity["kept"] = "last"
        if self._sam is not None:
            self.identity["covt_sam_sha256"] = self._sam.sha256

    def _earlier_tissue(self) -> tuple[LabelledImage, ...]:
        """What is replayed; none where the recipe does without."""
        keeping, about = self.recipe.keeping, self.parent.description
        if not keeping.replay:
            if self.job.replay:
                raise InputError(
                    f"Recipe {self.recipe.name!r} replays nothing, but --replay names data. Set "
                    "keeping.replay to a share of the windows, such as 0.5, or leave --replay out."
                )
            return ()
        earlier = earlier_tissue(
            *(self.job.replay, about.codec.category_names),
            mpp=about.mpp,
            tiles=keeping.tiles,
            window_px=about.window_px,
        )
        self.identity["recipe"]["keeping"] = asdict(keeping)
        self.identity["replayed"] = list(earlier.origins)
        return earlier.images

    def trainer(self, run: RunContext) -> NextPointTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        self._progress = run.progress
        recipe, parent, sam = self.recipe, self.parent, self._sam
        self.prepare_model()
        model = parent.model if recipe.lora.rank == 0 else add_lora(parent, recipe.lora)
        given, earlier = (parent, recipe, self._data), self._earlier
        colours = self._colours()
        task = (
            PointsTask(*given, earlier=earlier, colours=colours)
            if sam is None
            else ThoughtTask(*given, sam, earlier=earlier, colours=colours)
        )
        args = training_arguments(
            recipe, run.folder, validates=task.validation is not None, workers=self.job.workers
        )
        options: dict[str, Any] = {"codec": parent.description.codec, "loss": recipe.loss}
        options |= _centre_map(parent, recipe.centre_map)
        if earlier:
            sees = self._sees_other_colours(task, colours)
            options["keeping"] = _keeping(parent, model, recipe.keeping, sees=sees)
        stem = getattr(submodule(parent.model, parent.family.vision_path), "stem", None)
        options["slower"] = slower_trunk(stem, recipe.optimiser.trunk_lr_ratio)
        if sam is None:
            return NextPointTrainer(model, args, task, run, **options)
        return ThoughtTrainer(
            *(model, args, task, run),
            sam=sam,
            head=new_head(parent.model, sam, parent.folder),
            alpha=recipe.covt.alpha,
            **options,
        )

    def _colours(self) -> ColoursOfHAndE | None:
        """In which the parent is asked about the new tissue; None where the recipe does without."""
        keeping, train = self.recipe.keeping, self._data.train
        if not self._earlier or not (keeping.recoloured or keeping.seeing):
            return None
        few = train[:: math.ceil(len(train) / keeping.tiles)]
        each = math.ceil(keeping.tiles / len(few))
        return ColoursOfHAndE(few, each=each, seed=self.recipe.seed)

    def _sees_other_colours(self, task: PointsTask, colours: ColoursOfHAndE | None) -> bool:
        """Whether the tower learns to see the new tissue as the parent sees it in H&E's colours."""
        recipe, keeping = self.recipe, self.recipe.keeping
        learns = recipe.optimiser.train_vision and recipe.lora.rank == 0
        if colours is None or not (keeping.seeing and keeping.kl and learns):
            return False
        return is_known_better(
            self.parent, task.collator, colours, recipe.windows, seed=recipe.seed
        )

    def publish(self, run: RunFolder) -> None:
        """See `nunext_training.stages.stage.Stage`; then says what was learned and forgotten."""
        super().publish(run)
        if self._earlier and self.job.tests:
            tested = self._tested()
            write_json(run.out / FILE_NAME, [each.to_json() for each in tested])
            self._progress.tested(tested)

    def _tested(self) -> list[BeforeAndAfter]:
        """Parent and child as they are stored, on what neither was taught."""
        old, new = (
            NextPointDetector(folder, dtype=torch.float32)
            for folder in (self.job.checkpoint, self.job.out)
        )
        test = partial(before_and_after, old, new, radius_um=self.recipe.validation.radius_um)
        tested = [test(self._held_out, tissue=NEW)] if self._held_out else []
        earlier = held_out_of(self.job.replay, mpp=self.parent.description.mpp)
        tested.append(test(earlier.images, tissue=EARLIER, data=earlier.origins))
        return tested


run_sft = partial(run_stage, SftStage)
"""``run_sft(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""


def _sam(folder: Path | None, parent: LoadedCheckpoint) -> FrozenSam | None:
    if folder is None:
        return None
    check_latents(parent.description.codec.latent_ids, parent.description.name)
    if launched_sharded():
        raise InputError(
            "--covt needs whole weights on each device, but they are spread (FSDP or ZeRO-3). "
            "Launch with multi_gpu.yaml or zero2.yaml."
        )
    description = parent.description
    return FrozenSam(folder, parent.device, window_px=description.window_px, mpp=description.mpp)


def _keeping(
    parent: LoadedCheckpoint, model: Any, options: KeepingOptions, *, sees: bool
) -> Keeping:
    if not options.kl:
        return Keeping(options.truth)
    unlearned, path = unlearned_tokens(parent.description), parent.family.vision_path
    if not sees:
        return Keeping(options.truth, options.kl, FrozenParent(model, unlearned))
    frozen = FrozenParent(model, unlearned, vision_path=path)
    tokens = LastOutput(submodule(parent.model, path), "pooler_output")  # no part of the copy
    return Keeping(options.truth, options.kl, frozen, options.seeing, tokens)


def _centre_map(parent: LoadedCheckpoint, options: CentreMapOptions) -> dict[str, Any]:
    """The trainer's options for the map of centres; none where the recipe does without."""
    if options.weight == 0:
        return {}
    codec = parent.description.codec
    tower = submodule(parent.model, parent.family.vision_path)
    token_px = codec.window_px // math.isqrt(parent.description.image_tokens)
    # An image token has the width of the language model that reads it.
    embeddings: Any = parent.model.get_input_embeddings()
    head = CentreMapHead(embeddings.weight.shape[1], token_px).to(parent.device)
    head.load_if_there(parent.folder)
    tokens = LastOutput(tower, "pooler_output")
    return {
        "heads": {"centre_map_head": head},
        "centre_map": CentreMap(tokens, head, options.weight, options.sigma_px),
    }
