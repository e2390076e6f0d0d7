"""From a performer and a table of its rewards to an allocator of image tokens.

"Bilateral pathology reasoning" (arXiv 2505.15687): a second set of additions to the same model, by
GRPO with Eq. 10; the performer stays as it is.

    nunext-train ask table --data export --checkpoint answerer --out rewards.jsonl
    nunext-train ask allocate --data export --table rewards.jsonl --checkpoint answerer --out few

Make the table of pictures that the performer has not learnt from: on its own, more tokens look
better than they are.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import get_peft_model

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.about import ABOUT_FILE
from napari_nunext.models.answerers.folder import token_px
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.checkpoints.loading import new_folder, without_renaming_warnings
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.reward_table import read_table
from nunext_training.recipes.recipe import changed
from nunext_training.runs.files import write_json
from nunext_training.stages.answers import additions, forget_place
from nunext_training.stages.arguments import training_arguments
from nunext_training.stages.publishing import provenance_of
from nunext_training.stages.stage import Job, Stage, run_stage
from nunext_training.tasks.allocation import Allocations
from nunext_training.tasks.packed_answers import PackedAnswers
from nunext_training.trainers.answers.allocator import AllocatorTrainer
from nunext_training.trainers.lora import ADAPTER_FILE

if TYPE_CHECKING:
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import RunFolder


@dataclass(frozen=True, slots=True)
class AllocatorJob(Job):
    """A job of training an allocator."""

    table: Path = Path()
    """Of the performer's rewards; `nunext_training.data.answers.reward_table`."""
    adapter: Path | None = None
    """Additions of the performer, where it has any."""


class AllocatorStage(Stage[AllocatorJob]):
    """Teach an allocator. Parameters and errors are those of `Stage`."""

    def __init__(self, job: AllocatorJob) -> None:
        super().__init__(job)
        recipe = self.recipe
        if recipe.lora.rank == 0:
            raise InputError("An allocator is additions to its performer; lora.rank is to be > 0.")
        self._table = table = read_table(job.table)
        table.of.check_performer(job.checkpoint, job.adapter, job.table.name)
        place = AnswererFolder("parent", job.checkpoint, adapter=job.adapter)
        self._parent = load_answerer(place, "float32")
        self.model = self._parent.model
        self._data = read_answers(
            job.data,
            "grpo",
            budget=recipe.allocator.look_tokens,
            patch_px=token_px(job.checkpoint) or PATCH_PX,
            strict=job.strict,
            thought="none",
            allow_loss=job.allow_loss,
            left_out=job.left_out,
        )
        self.identity = {
            "recipe": recipe.to_json() | {"allocator": asdict(recipe.allocator)},
            "data": list(self._data.origins),
            "parent_sha256": table.of.performer_sha256,
            "table": table.of.to_json() | {"questions": len(table.questions)},
            "method": "allocate",
        }

    def trainer(self, run: RunContext) -> AllocatorTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        with without_renaming_warnings():
            model: Any = get_peft_model(self.model, additions(self.recipe))
        return AllocatorTrainer(
            options=self.recipe.allocator,
            model=model,
            args=training_arguments(self.recipe, run.folder, validates=False),
            task=self.task(),
            run=run,
        )

    def task(self) -> Allocations:
        """The questions of the table."""
        # The pictures have their size already: the processor is not to choose another one.
        self._parent.processor.image_processor.do_resize = False
        packed = changed(self.recipe, ask={"packed": True, "budgets": (), "thought": "none"})
        encoder = PackedAnswers(self._parent, replace(self._data, val=()), packed)
        return Allocations(self._parent, encoder, self._data, self._table, self.recipe)

    def publish(self, run: RunFolder) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        options = self.recipe.allocator
        provenance = provenance_of(self.identity, self.recipe, None, method="allocate")
        with new_folder(run.out, parent=self.job.checkpoint) as folder:
            for name in (ADAPTER_FILE, "adapter_model.safetensors"):
                shutil.copyfile(run.last_weights / name, folder / name)
            forget_place(folder, self.job.checkpoint.name)
            shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
            about = {
                "name": self.job.name or run.out.name,
                "menu": list(self._table.of.budgets),
                "look_tokens": options.look_tokens,
                "mu": options.mu,
                "provenance": provenance,
            }
            write_json(folder / ABOUT_FILE, about)
        run.remove()


run_allocator = partial(run_stage, AllocatorStage)
"""``run_allocator(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""
