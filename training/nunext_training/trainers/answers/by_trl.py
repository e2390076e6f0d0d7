"""Trainers of answerers: TRL's, with the folder of a run.

TRL puts the picture into the prompt, masks it, samples replies, and has the losses of the paper and
of preferences. Ours are the rewards, and what a run keeps, tells and resumes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import SequentialSampler
from trl import DPOTrainer, GRPOTrainer, KTOTrainer, SFTTrainer

from napari_nunext.models.answerers.loaded import Drawn
from napari_nunext.models.checkpoints.loading import without_renaming_warnings
from napari_nunext.models.families import unwrapped
from napari_nunext.models.families.pictures import all_pictures, each_picture
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.data.answers import COLUMNS, seen_reply
from nunext_training.data.answers.packing import Tokens, pack
from nunext_training.method.answer_rewards import ANSWER_REWARDS
from nunext_training.runs.folder import Best
from nunext_training.trainers.answers.packed import packed_inputs, packed_likelihoods
from nunext_training.trainers.answers.vllm import AskedOfServer
from nunext_training.trainers.rollouts import rollout_seed
from nunext_training.trainers.run_keeping import RunKeeping
from nunext_training.trainers.vllm_rollouts import weight_sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from nunext_training.data.answers import AnswerMethod
    from nunext_training.runs.context import RunContext
    from nunext_training.trainers.answers.vllm import VllmAnswers


class AnswerTrainer(RunKeeping):
    """What all of them do: give up where a loss is no number, keep what validates best."""

    def __init__(self, *, run: RunContext, **options: Any) -> None:
        with without_renaming_warnings():
            super().__init__(run=run, **options)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL's."""
        with without_renaming_warnings():
            return super().train(*args, **kwargs)

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As TRL's; raises `TrainingError` where it is no number."""
        found = super().compute_loss(model, inputs, *args, **kwargs)
        loss = found[0] if isinstance(found, tuple) else found
        if not torch.isfinite(loss).all():
            tensors = {k: v for k, v in inputs.items() if isinstance(v, torch.Tensor)}
            self._give_up(tensors, float(loss.detach().mean()))
        return found

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As TRL's; keeps the weights if they are the best so far."""
        figures: dict[str, float] = super().evaluate(*args, **kwargs)
        if math.isfinite(loss := figures.get("eval_loss", math.nan)):
            self._keep_best(Best(self.state.global_step, loss))
        return figures

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what is saved here is a state, not a model for others."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Rows come in their order: the stage has shuffled them (`shown_in_turn`)."""
        rows: Any = self.train_dataset if dataset is None else dataset
        return SequentialSampler(rows)


class SftAnswerTrainer(AnswerTrainer, SFTTrainer):
    """Learn to say what was right. The loss is the mean over all tokens of a step."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # TRL sums the loss of the tokens itself, for models too that would take no count of them,
        # and without the count it would be a mean of the means of batches and processes.
        self.model_accepts_loss_kwargs = True


class DpoAnswerTrainer(AnswerTrainer, DPOTrainer):
    """Learn to prefer what people prefer."""


class KtoAnswerTrainer(AnswerTrainer, KTOTrainer):
    """Learn from replies that are good or bad, each by itself."""


class GrpoAnswerTrainer(AnswerTrainer, GRPOTrainer):
    """Learn from the rewards of one's own replies. The loss that is told is minus the reward."""

    figures = ("loss", "grad_norm", "learning_rate", "surrogate", "reward", "reward_std", "kl")

    def __init__(
        self,
        *,
        run: RunContext,
        packed: bool = False,
        server: VllmAnswers | None = None,
        **options: Any,
    ) -> None:
        super().__init__(run=run, **options)
        self._server = server
        self._sender: Any = None
        self._asked: list[dict[str, Any]] = []
        self._last_reward = 0.0
        self._packed = packed

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's own, by which each question comes as often as it has replies."""
        return GRPOTrainer._get_train_sampler(self, dataset)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Any:
        """As TRL's, which tells its generation nothing of the rows."""
        self._asked = inputs
        made: Any = super()
        return made._generate_and_score_completions(inputs)

    def _generate_single_turn(
        self, prompt_ids: list[Any], images: Any, *others: Any, **more: Any
    ) -> tuple[list[list[int]], None]:
        """As TRL's; the replies to a question are drawn by a number of its own.

        So they are the same in a run that was stopped, or that several processes share.
        """
        rollouts = int(self.num_generations or 1)
        seeds = self._seeds(len(prompt_ids) // rollouts)
        sampling = Sampling(self.temperature, seeds, rollouts)
        if self._server is not None:
            return self._drawn_by(self._server, prompt_ids, sampling), None
        model: Any = self.accelerator.unwrap_model(self.model_wrapped)
        drawn = Drawn(sampling, never=_seen_ids(model.config))
        model.generate = partial(model.generate, logits_processor=[drawn])
        try:
            made: Any = super()
            found: tuple[list[list[int]], None] = made._generate_single_turn(
                prompt_ids, images, *others, **more
            )
        finally:
            del model.generate
        return found

    def _drawn_by(
        self, server: VllmAnswers, prompt_ids: list[Any], sampling: Sampling
    ) -> list[list[int]]:
        """Replies of a server that is sent the weights of now; each process asks for its own."""
        if self._sender is None:
            self._sender = weight_sender(
                self.model, self.accelerator, self.processing_class, server.url
            )
        self._sender.sync_weights()
        self.accelerator.wait_for_everyone()  # the main process sends
        groups = range(0, len(prompt_ids), sampling.rollouts)
        return server.replies(
            [AskedOfServer.of(self._asked[at], prompt_ids[at]) for at in groups],
            sampling,
            max_tokens=int(self.max_completion_length or 1),
            ends=self.eos_token_ids,
            never=_seen_ids(self.accelerator.unwrap_model(self.model_wrapped).config),
        )

    def _seeds(self, groups: int) -> list[int]:
        """Of each group of this process, by its place in the whole run.

        Replies are drawn at the beginning of a step, and each process has neighbouring groups.
        """
        state = self.accelerator
        first = (self.state.global_step * state.num_processes + state.process_index) * groups
        return [rollout_seed(self.args.seed, place) for place in range(first, first + groups)]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **pictures: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """As TRL's; where it is `packed`, the replies to a prompt behind one prefill.

        The numbers are the same, and of eight short replies to a picture it is most of the work.
        """
        apart = each_picture(pictures)
        if not self._packed or compute_aux_loss or not apart:
            return super()._get_per_token_logps_and_entropies(  # type: ignore[no-any-return]
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **pictures,
            )
        base: Any = unwrapped(self.accelerator.unwrap_model(model))
        groups = groups_of(input_ids, attention_mask, logits_to_keep, apart)
        packed = [pack(group.replies) for group in groups]
        seen = all_pictures([group.picture for group in groups])
        inputs = packed_inputs(base, packed, seen, base.config.image_token_id)
        inputs = {name: tensor.to(input_ids.device) for name, tensor in inputs.items()}
        with self.accelerator.autocast():
            found = packed_likelihoods(model, inputs, self.temperature)
        rows = [
            (at, owner)
            for at, group in enumerate(groups)
            for owner in range(1, len(group.replies) + 1)
        ]
        likely, entropies = (_by_reply(values, inputs, rows, logits_to_keep) for values in found)
        return likely, entropies if compute_entropy else None, None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL's; the loss that is told is minus the reward."""
        if "loss" in logs:
            rewards = self._metrics["train"].get("reward")
            if rewards:
                self._last_reward = rewards[-1]
            logs["surrogate"] = logs["loss"]
            logs["loss"] = -self._last_reward
        super().log(logs, start_time)


def _seen_ids(config: Any) -> list[int]:
    """Tokens that stand for what is seen: in a reply they stand for nothing, and the model fails.

    A model that knows better than chance writes none, so that its likelihoods hardly tell.
    """
    stated = (getattr(config, f"{kind}_token_id", None) for kind in ("image", "video"))
    return [each for each in stated if each is not None]


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Replies to one prompt about one picture."""

    replies: list[Tokens]
    picture: Mapping[str, torch.Tensor]
    """What the model takes of it."""


def groups_of(
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    logits_to_keep: int,
    pictures: Sequence[Mapping[str, torch.Tensor]],
) -> list[Group]:
    """Neighbouring rows of TRL's that have the same prompt and picture, one picture a row."""
    groups: list[Group] = []
    before: torch.Tensor | None = None
    for row, (ids, mask) in enumerate(zip(input_ids, attention_mask.bool(), strict=True)):
        prompt, reply = (
            ids[part][mask[part]].cpu()
            for part in (slice(None, -logits_to_keep), slice(-logits_to_keep, None))
        )
        tokens = Tokens(prompt.numpy(), reply.numpy(), np.ones(len(reply), dtype=np.float32))
        is_same = (
            before is not None
            and torch.equal(prompt, before)
            and all(
                torch.equal(tensor, groups[-1].picture[name])
                for name, tensor in pictures[row].items()
            )
        )
        if is_same:
            groups[-1].replies.append(tokens)
        else:
            groups.append(Group([tokens], pictures[row]))
        before = prompt
    return groups


def _by_reply(
    values: torch.Tensor,
    inputs: Mapping[str, torch.Tensor],
    rows: Sequence[tuple[int, int]],
    length: int,
) -> torch.Tensor:
    """Values of packed tokens as one row a reply, shape (replies, length), 0 beyond its end."""
    owners, learnt = inputs["owners"][:, 1:], inputs["weights"][:, 1:] > 0
    said = [values[at][(owners[at] == owner) & learnt[at]] for at, owner in rows]
    return torch.stack([functional.pad(each, (0, length - len(each))) for each in said])


TRAINERS: Mapping[AnswerMethod, Any] = {
    "sft": SftAnswerTrainer,
    "dpo": DpoAnswerTrainer,
    "kto": KtoAnswerTrainer,
    "grpo": GrpoAnswerTrainer,
}


def reward_function(name: str) -> Callable[..., list[float | None]]:
    """One of `ANSWER_REWARDS` as TRL calls it: None for a row that it can say nothing of."""
    reward = ANSWER_REWARDS.get(name)

    def of_rows(completions: list[Any], **columns: Any) -> list[float | None]:
        rows = zip(completions, *(columns[each] for each in COLUMNS), strict=True)
        values = [reward(seen_reply(_text(said), *of_row)) for said, *of_row in rows]
        return [None if math.isnan(value) else float(value) for value in values]

    of_rows.__name__ = name
    return of_rows


def _text(completion: Any) -> str:
    """What a rollout says: TRL gives messages where the prompt was messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
