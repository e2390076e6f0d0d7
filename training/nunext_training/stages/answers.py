"""From judged answers and an answerer to a better answerer.

"Bilateral pathology reasoning" (arXiv 2505.15687), the performer: supervised fine-tuning, then GRPO
with the rewards of its tasks; beside them DPO and KTO, which learn from what people prefer and
rate. The parent is a folder of a vision-language model, as transformers saves it.

    nunext-train ask sft --data export --checkpoint qwen2.5-vl-7b --out answerer --recipe ask_7b
    napari-nunext serve --answerer "mine=qwen2.5-vl-7b,adapter=answerer"

With LoRA, additions are published, unmerged, so that several may stand on one base; without, the
whole folder.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset  # type: ignore[import-untyped]
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText
from trl import DPOConfig, GRPOConfig, KTOConfig, SFTConfig

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.answerers.about import ABOUT_FILE, new_tokens
from napari_nunext.models.answerers.folder import token_px
from napari_nunext.models.answerers.loaded import load_answerer, save_answerer
from napari_nunext.models.answerers.together import can_share
from napari_nunext.models.checkpoints.integrity import check_adapter_files, checkpoint_sha256
from napari_nunext.models.checkpoints.loading import (
    load_weights,
    new_folder,
    without_renaming_warnings,
)
from nunext_training.data.answers import (
    FILES,
    AnswerData,
    AnswerMethod,
    ShownPicture,
    read_answers,
)
from nunext_training.data.answers.order import shown_in_turn
from nunext_training.runs import processes
from nunext_training.runs.files import write_json
from nunext_training.stages.arguments import (
    activation_checkpointing,
    training_arguments,
    training_options,
)
from nunext_training.stages.publishing import metrics_of, provenance_of
from nunext_training.stages.stage import Job, Keep, Stage, run_stage
from nunext_training.tasks.packed_answers import PackedAnswers
from nunext_training.trainers.answers import TRAINERS, PackedSftTrainer, reward_function
from nunext_training.trainers.answers.vllm import VllmAnswers
from nunext_training.trainers.lora import ADAPTER_FILE
from nunext_training.trainers.vllm_rollouts import check_vllm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nunext_training.recipes.ask_sections import AskOptions
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import RunFolder
    from nunext_training.trainers.answers import AnswerTrainer

ADAPTED = r".*\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"
"""Linear layers of the language model, as the families that we know name them."""
VISION = ("visual", "vision", "image")
"""What stands in the names of parts that look at pictures."""


@dataclass(frozen=True, slots=True)
class AnswerJob(Job):
    """A job of training an answerer."""

    method: AnswerMethod = "sft"
    adapter: Path | None = None
    """Additions to the checkpoint: they are trained further, and the checkpoint stays as it is."""
    keep: Keep = "best"
    """The weights that validate best, or the last ones, so that the val split stays unseen."""
    vllm: str | None = None
    """Address of a vLLM server that draws the replies of GRPO; None leaves it to the model."""


class AnswerStage(Stage[AnswerJob]):
    """Teach an answerer. Parameters and errors are those of `Stage`."""

    def __init__(self, job: AnswerJob) -> None:
        super().__init__(job)
        options = self.recipe.ask
        if job.renames:
            raise InputError("--rename is of categories of nuclei, and answers have none.")
        if job.method == "grpo":
            _check_groups(self.recipe)
        self._parent = load_answerer(AnswererFolder("parent", job.checkpoint), "float32")
        self.model = self._parent.model
        if job.adapter is not None:
            self.model = adapted(self.model, job.checkpoint, job.adapter)
        self._data: AnswerData = read_answers(
            job.data,
            job.method,
            budget=options.budget,
            patch_px=token_px(job.checkpoint) or PATCH_PX,
            strict=job.strict,
            thought=options.thought,
            allow_loss=job.allow_loss,
            left_out=job.left_out,
            views=options.views,
            seed=self.recipe.seed,
        )
        if not self._data.train:
            raise InputError(
                f"No answer can be trained on: {FILES[job.method]}.jsonl of the exports has none "
                "in the training split. Rate or correct answers of more images, and export again."
            )
        self.identity = {
            "recipe": self.recipe.to_json() | {"ask": _as_json(options)},
            "data": list(self._data.origins),
            "parent_sha256": checkpoint_sha256(job.checkpoint),
            "method": job.method,
        }
        if job.adapter is not None:
            self.identity["adapter_sha256"] = checkpoint_sha256(job.adapter)
        if job.keep == "last":
            self.identity["kept"] = "last"
        self._server = _server(job)
        if self._server is not None:
            self.identity["rollouts_from"] = "vllm"

    def trainer(self, run: RunContext) -> AnswerTrainer | PackedSftTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        job, recipe, processor = self.job, self.recipe, self._parent.processor
        lora = None if job.adapter else _lora(recipe, new_tokens(job.checkpoint))
        # The pictures have their size already: the processor is not to choose another one.
        processor.image_processor.do_resize = False
        if job.adapter is None:
            for name, weight in self.model.named_parameters():
                is_vision = any(part in name for part in VISION)
                weight.requires_grad_(recipe.optimiser.train_vision or not is_vision)
        if recipe.ask.packed and job.method == "sft":
            return self._packed_trainer(run, lora)
        # GRPO looks at its own replies, which takes as long as training: it keeps the last weights.
        validates = bool(self._data.val) and job.method != "grpo" and job.keep == "best"
        more: dict[str, Any] = {}
        if job.method == "grpo":
            # Replies follow their prompts; TRL pads so itself, and asks its processor to as well.
            processor.tokenizer.padding_side = "left"
            more["server"] = self._server
            more["packed"] = recipe.ask.packed and can_share(self._parent)
            more["reward_funcs"] = list(map(reward_function, recipe.ask.rewards))
        trainer: AnswerTrainer = TRAINERS[job.method](
            run=run,
            model=self.model,
            args=_CONFIGS[job.method](recipe, run.folder, validates=validates),
            train_dataset=_dataset(self._data.train).select(self._order()),
            eval_dataset=_dataset(self._data.val) if validates else None,
            processing_class=processor,
            peft_config=lora,
            **more,
        )
        return trainer

    def _order(self) -> NDArray[np.int64]:
        """Rows of the whole run, step after step, whatever the processes that share it."""
        optimiser = self.recipe.optimiser
        rows = optimiser.batch_size * optimiser.accumulation
        if self.job.method == "grpo":
            rows //= self.recipe.ask.rollouts
        count = optimiser.steps * processes.count() * rows
        return shown_in_turn(len(self._data.train), count, self.recipe.seed)

    def _packed_trainer(self, run: RunContext, lora: LoraConfig | None) -> PackedSftTrainer:
        task = PackedAnswers(self._parent, self._data, self.recipe)
        validates = task.validation is not None and self.job.keep == "best"
        arguments = training_arguments(self.recipe, run.folder, validates=validates)
        arguments.per_device_eval_batch_size = 1  # see `_sft`
        with without_renaming_warnings():
            model: Any = self.model if lora is None else get_peft_model(self.model, lora)
        return PackedSftTrainer(model, arguments, task, run)

    def close(self) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        if self._server is not None:
            self._server.close()

    def publish(self, run: RunFolder) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        best = run.best()
        weights = run.best_weights or run.last_weights
        provenance = provenance_of(self.identity, self.recipe, best, method=self.job.method)
        figures = metrics_of(best, self.identity, lambda found: {"loss": found.loss})
        with new_folder(run.out, parent=self.job.checkpoint) as folder:
            if (weights / ADAPTER_FILE).is_file():
                for name in (ADAPTER_FILE, "adapter_model.safetensors"):
                    shutil.copyfile(weights / name, folder / name)
                forget_place(folder, self.job.checkpoint.name)
            else:
                model = load_weights(
                    AutoModelForImageTextToText,
                    weights,
                    device=torch.device("cpu"),
                    dtype=torch.float32,
                )
                save_answerer(folder, model, self._parent.processor)
            shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
            about = {
                "name": self.job.name or run.out.name,
                "thought": self.recipe.ask.thought,
                "budget": self.recipe.ask.budget,
                "metrics": list(figures),
            }
            write_json(folder / ABOUT_FILE, about | {"provenance": provenance})
        run.remove()


run_answers = partial(run_stage, AnswerStage)
"""``run_answers(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""


def _server(job: AnswerJob) -> VllmAnswers | None:
    """The server that draws replies, where one is named."""
    if job.vllm is None:
        return None
    if job.method != "grpo":
        raise InputError(f"ask {job.method} draws no replies. Leave out --vllm, or use ask grpo.")
    check_vllm()
    return VllmAnswers(job.vllm)


def _check_groups(recipe: Recipe) -> None:
    optimiser, rollouts = recipe.optimiser, recipe.ask.rollouts
    replies = optimiser.batch_size * optimiser.accumulation
    if replies % rollouts:
        raise InputError(
            f"optimiser.batch_size times accumulation is {replies}, and groups have {rollouts} "
            "replies (ask.rollouts); expected a multiple, so that a process has whole groups. "
            "Change --batch-size, or the recipe."
        )


def _as_json(options: AskOptions) -> dict[str, Any]:
    """The section of a recipe as a run is compared by it."""
    return asdict(options) | {"budgets": list(options.budgets)}


def _dataset(rows: Sequence[dict[str, Any]]) -> Any:
    """What TRL reads; each picture is opened when its row is."""
    kept = [
        {name: value for name, value in row.items() if name not in ("images", "evidence")}
        | {"shown": row["images"][0].to_json()}
        for row in rows
    ]
    return Dataset.from_list(kept).with_transform(_with_pictures)


def _with_pictures(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Rows with their pictures; datasets pickles what it calls, so that it holds nothing."""
    shown = batch.pop("shown")
    return batch | {"images": [[ShownPicture.from_json(each).open()] for each in shown]}


def adapted(model: Any, base: Path, adapter: Path) -> Any:
    """The model with additions that are trained further."""
    check_adapter_files(adapter)
    try:
        with without_renaming_warnings():
            found: Any = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The adapter {adapter.name} does not fit {base.name}. Name the model that it was "
            "trained on."
        ) from error
    # PEFT looks at its configuration when it saves, and asks the network where it finds none.
    found.peft_config["default"].base_model_name_or_path = str(base)
    return found


def forget_place(folder: Any, parent: str) -> None:
    """PEFT keeps the path of the parent, which is nobody's business."""
    path = folder / ADAPTER_FILE
    said = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, said | {"base_model_name_or_path": parent})


def _lora(recipe: Recipe, new_ids: Sequence[int]) -> LoraConfig | None:
    """Additions to the language model, and the rows of tokens that its base has never learnt."""
    return None if recipe.lora.rank == 0 else additions(recipe, new_ids)


def additions(recipe: Recipe, new_ids: Sequence[int] = ()) -> LoraConfig:
    """Additions of the recipe's rank to the language model.

    Parameters
    ----------
    recipe : Recipe
    new_ids : sequence of int
        Tokens whose rows of the embedding learn as well.
    """
    return LoraConfig(
        trainable_token_indices={"embed_tokens": list(new_ids)} if new_ids else None,
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,  # type: ignore[arg-type]  # any number will do
        lora_dropout=recipe.lora.dropout,
        target_modules=ADAPTED,
        exclude_modules=rf".*({'|'.join(VISION)}).*",
    )


def _options(recipe: Recipe, run: RunFolder, config: Any, *, validates: bool) -> dict[str, Any]:
    """What every configuration of TRL takes."""
    return {
        "output_dir": str(run.path),
        **training_options(recipe, validates=validates),
        **activation_checkpointing(config, on=recipe.optimiser.gradient_checkpointing),
    }


def _sft(recipe: Recipe, run: RunFolder, *, validates: bool) -> SFTConfig:
    # Image tokens must not be cut off, so nothing is. The loss is a mean over the tokens of a step,
    # which its processes share; validation's is one over questions, whoever has them and how many.
    options = _options(recipe, run, SFTConfig, validates=validates)
    options |= {"average_tokens_across_devices": True, "per_device_eval_batch_size": 1}
    return SFTConfig(max_length=None, **options)


def _dpo(recipe: Recipe, run: RunFolder, *, validates: bool) -> DPOConfig:
    return DPOConfig(
        max_length=None,
        beta=recipe.ask.beta,
        loss_type=["sigmoid", "sft"],
        loss_weights=[1.0, recipe.ask.supervised],
        **_options(recipe, run, DPOConfig, validates=validates),
    )


def _kto(recipe: Recipe, run: RunFolder, *, validates: bool) -> KTOConfig:
    return KTOConfig(
        max_length=None,
        beta=recipe.ask.beta,
        **_options(recipe, run, KTOConfig, validates=validates),
    )


def _grpo(recipe: Recipe, run: RunFolder, *, validates: bool) -> GRPOConfig:
    """``loss_type="grpo"`` is the per-sequence mean; a reward that does not apply is left out."""
    ask = recipe.ask
    return GRPOConfig(
        num_generations=ask.rollouts,
        max_completion_length=ask.max_tokens,
        temperature=ask.temperature,
        epsilon=ask.epsilon,
        beta=ask.kl,
        loss_type="grpo",
        shuffle_dataset=False,
        reward_weights=list(ask.rewards.values()),
        **_options(recipe, run, GRPOConfig, validates=validates),
    )


_CONFIGS = {"sft": _sft, "dpo": _dpo, "kto": _kto, "grpo": _grpo}
