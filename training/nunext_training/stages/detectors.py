"""What the stages share that train a detector whole, or additions to it."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.loading import PARTS, load_checkpoint, load_weights
from napari_nunext.models.checkpoints.quantised import quantisation_of
from napari_nunext.models.checkpoints.second_look import LOOK_FILE
from napari_nunext.models.families import submodule
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.method.modules import modules_after
from nunext_training.stages.publishing import metrics_of, new_checkpoint, provenance_of
from nunext_training.stages.second_look import inherited_look
from nunext_training.stages.stage import Job, Stage
from nunext_training.tasks.naming import names_that_hold, names_to_learn, taught_on_dab
from nunext_training.trainers.centre_map import CentreMapHead
from nunext_training.trainers.covt import ThoughtHead
from nunext_training.trainers.lora import ADAPTER_FILE, merge_saved

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.recipes.sections import OptimiserOptions
    from nunext_training.runs.folder import Best, RunFolder

logger = logging.getLogger(__name__)

JobT = TypeVar("JobT", bound=Job)


class DetectorStage(Stage[JobT]):
    """A stage from a detector to a better one. Parameters and errors are those of `Stage`."""

    method: ClassVar[str]
    """How it trains, for the provenance."""
    taught_images: tuple[LabelledImage, ...] = ()
    """What it is trained on."""
    held_out_images: tuple[LabelledImage, ...] = ()
    """What is decoded to see what came of it."""

    def __init__(self, job: JobT, recipe: Recipe | None = None) -> None:
        super().__init__(job, recipe)
        self.parent = load_parent(job.checkpoint, self.recipe.optimiser)
        self.model = self.parent.model

    def prepare_model(self) -> None:
        """Freeze the vision tower, and trade time for memory, where the recipe says so."""
        optimiser, parent = self.recipe.optimiser, self.parent
        if not optimiser.train_vision:
            submodule(parent.model, parent.family.vision_path).requires_grad_(False)
        if optimiser.gradient_checkpointing:
            checkpoint_activations(parent.model)

    def publish(self, run: RunFolder) -> None:
        """See `Stage`."""
        parent, best = self.parent, run.best()
        dtype = AutoConfig.from_pretrained(parent.folder, local_files_only=True).dtype
        weights = run.best_weights or run.last_weights
        model = _trained_model(weights, parent.folder).to(dtype or torch.float32)
        provenance = provenance_of(self.identity, self.recipe, best, method=self.method)
        description = replace(
            parent.description,
            name=self.job.name or run.out.name,
            metrics=metrics_of(best, self.identity, self._figures),
            provenance=provenance
            | {"modules": modules_after(parent.description.provenance, provenance)},
        )
        known = description.codec.category_names
        on_dab = taught_on_dab(self.taught_images, known, before=description.taught_on_dab)
        description = replace(description, taught_on_dab=on_dab)
        child = replace(parent, description=description, model=model.to(parent.device).eval())
        description = replace(description, named_prompts=self._named_prompts(child))
        child = replace(child, description=description)
        look = inherited_look(parent.folder, child, self.held_out_images)
        description = replace(description, second_look=look)
        with new_checkpoint(run, description, self.job.checkpoint) as folder:
            model.save_pretrained(folder)
            parent.family.save_processor(parent.windows.processor, folder)
            for file in (ThoughtHead.file, CentreMapHead.file):
                if (weights / file).is_file():
                    (folder / file).parent.mkdir()
                    shutil.copyfile(weights / file, folder / file)
            if look is not None:
                (folder / LOOK_FILE).parent.mkdir()
                shutil.copyfile(parent.folder / LOOK_FILE, folder / LOOK_FILE)

    def _named_prompts(self, child: LoadedCheckpoint) -> tuple[str, ...]:
        """What it may be asked for alone: what it was taught so, where that holds.

        Where nothing was held out nobody knows, and it is asked for everything.
        """
        about = self.parent.description
        taught = self.taught_images
        if not self.recipe.windows.named_category_share:
            taught = tuple(image for image in taught if image.asked)
        learned = names_to_learn(taught, about.codec.category_names)
        names = {*about.named_prompts, *learned}
        taught_names = tuple(name for name in about.codec.category_names if name in names)
        if not taught_names:
            return ()
        asked = replace(child.description, named_prompts=taught_names)
        detector = NextPointDetector.from_loaded(replace(child, description=asked))
        held = names_that_hold(
            *(detector, self.held_out_images, taught_names),
            radius_um=self.recipe.validation.radius_um,
        )
        if lost := [name for name in taught_names if name not in held]:
            logger.warning(
                "%s: a search for everything finds as much or more, or nobody measured it. The "
                "checkpoint is not asked for these alone.",
                ", ".join(lost),
            )
        return held

    def _figures(self, best: Best) -> dict[str, Any]:
        validation = self.recipe.validation
        objective = {"loss": best.loss} if best.reward is None else {"reward": best.reward}
        return objective | {
            "f1": best.f1,
            "images_decoded": validation.images,
            "radius_um": validation.radius_um,
            "matching": VALIDATION_MATCHING,
        }


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
    # A head for atomic points and a second look know the weights of now: validation is not to use
    # them. Whether the look serves what comes out is asked at the end.
    without: dict[str, Any] = dict.fromkeys(PARTS)
    description = replace(parent.description, **without)
    return replace(parent, description=description, atomic_head=None, look_layer=None)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Trade time for memory; transformers renamed the method within the versions we support."""
    new_name = "activation_checkpointing_enable"
    getattr(model, new_name if hasattr(model, new_name) else "gradient_checkpointing_enable")()


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
