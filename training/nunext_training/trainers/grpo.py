"""The trainer of reinforcement fine-tuning: TRL's GRPO with NuNext's rollouts and advantages.

From `trl.GRPOTrainer` come the clipped objective (Eq. 11, its per-sequence mean, no KL term), the
groups and their reuse. Departures from it: windows come in their own order, rollouts are decoded
under the codec's grammar, log-probabilities are those under that grammar, each token has its own
advantage (Eq. 12 and 18), validation decodes greedily, and run folder, resuming and bad batches are
as in supervised fine-tuning.

TRL's methods that are replaced here are private: `tests/training/test_rft.py` holds it to their
names and shapes, and the package pins its minor version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from datasets import Dataset  # type: ignore[import-untyped]
from trl import GRPOTrainer

from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.method.advantages import (
    advantages_in_groups,
    token_advantages,
    varied_groups,
)
from nunext_training.runs import processes
from nunext_training.runs.errors import TrainingError
from nunext_training.runs.folder import Best
from nunext_training.trainers.rollouts import (
    Rollouts,
    decode_windows,
    grammar_log_probabilities,
    rollout_batch,
    rollout_seed,
)
from nunext_training.trainers.run_keeping import RunKeeping, ValidateFirst
from nunext_training.trainers.vllm_rollouts import weight_sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedModel
    from trl import GRPOConfig

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.families.prompt import Prompt
    from nunext_training.data.task import Examples, RewardedTask
    from nunext_training.data.windows import Example
    from nunext_training.method.rewards import ScoredReply
    from nunext_training.recipes.stage_sections import RftOptions
    from nunext_training.runs.context import RunContext
    from nunext_training.trainers.vllm_rollouts import VllmServer

FIGURES = (
    "loss",
    "grad_norm",
    "learning_rate",
    "surrogate",
    "reward",
    "reward_std",
    "kept_groups",
    "verdicts",
    "failed_format",
    "reply_tokens",
    "entropy",
)
"""What ``metrics.jsonl`` keeps of a step or a validation, where it is known. ``loss`` is minus the
mean reward, ``surrogate`` the value of Eq. 11, whose gradient alone means something; ``verdicts``
counts the rollouts of people that joined."""


@dataclass(frozen=True, eq=False, slots=True)
class _JudgedReply:
    """What a model had said of a window of the batch, judged by people."""

    window: int
    token_ids: tuple[int, ...]
    scored: ScoredReply


def detection_reward(**columns: Any) -> list[float | None]:
    """Stand for the reward where TRL asks for a function; never called.

    Rewards come from the task's scorer, together with the matching that shapes advantages.
    """
    raise TrainingError("TRL asked for rewards by itself; install the version that is pinned.")


class NextPointGrpoTrainer(RunKeeping, GRPOTrainer):
    """Fine-tune a model by the rewards of what it writes.

    Parameters
    ----------
    checkpoint : LoadedCheckpoint
        Its model is trained.
    args : GRPOConfig
        See `nunext_training.stages.rft.grpo_config`.
    task : RewardedTask
    run : RunContext
    server : VllmServer, optional
        Decodes the rollouts in place of the model itself.
    options : RftOptions
    """

    _prompt: Prompt
    """The windows of the rollouts in use."""
    _window_of: Tensor
    """Which of them each row of a pass is about, shape (rows,)."""

    def __init__(
        self,
        checkpoint: LoadedCheckpoint,
        args: GRPOConfig,
        task: RewardedTask,
        run: RunContext,
        *,
        server: VllmServer | None = None,
        options: RftOptions,
    ) -> None:
        self._terms = tuple(options.reward_weights)
        self.figures = (*FIGURES, *_term_figures(self._terms))
        generations = -(-args.max_steps // options.iterations)
        windows = task.examples(generations * options.windows_per_step * args.world_size)
        places = Dataset.from_dict({"window": range(len(windows)), "prompt": [""] * len(windows)})
        super().__init__(
            run=replace(run, stop=self._stops(run.stop)),
            model=checkpoint.model,
            reward_funcs=[detection_reward],
            args=args,
            train_dataset=places,
            eval_dataset=None if task.validation is None else places.select([0]),
            processing_class=checkpoint.windows.processor,
        )
        self._checkpoint = checkpoint
        self._codec = checkpoint.description.codec
        self._windows = windows
        self._task = task
        self._scorer = task.scorer
        self._server = server
        self._sender: Any = None
        self._options = options
        self._sampling = Sampling(
            options.temperature,
            seeds=(),
            rollouts=options.rollouts,
            coordinate_temperature=options.coordinate_temperature,
        )
        """What rollouts are drawn by, but for the seeds of a step's windows."""
        self._last_reward = 0.0
        self.add_callback(ValidateFirst(self))

    def _stops(self, stop: Callable[[], bool]) -> Callable[[], bool]:
        """Stop only where new rollouts are due: those in use are not saved."""
        return lambda: self.state.global_step % self._options.iterations == 0 and stop()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what is saved here is a state, not a model for others."""

    # Rollouts

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Rows of windows, each as often as it has rollouts, to a batch of rollouts."""
        device, group_size = self.accelerator.device, self._options.rollouts
        indices = [row["window"] for row in inputs[::group_size]]
        examples = [self._windows[i] for i in indices]
        seeds = [rollout_seed(self.args.seed, i) for i in indices]
        sampling = replace(self._sampling, seeds=seeds)
        rollouts = self._sampled(examples, sampling)
        scored = [
            self._scorer.score(examples[i // group_size], reply)
            for i, reply in enumerate(rollouts.replies)
        ]
        judged = self._judged(examples)
        more = [(reply.window, reply.token_ids) for reply in judged]
        # TRL cuts the rows into passes of equal size: a row without advantage fills the last.
        spare = -(len(scored) + len(more)) % self._options.accumulation
        more += [(0, rollouts.replies[0])] * spare
        pad_id = self._checkpoint.windows.processor.tokenizer.pad_token_id
        batch = rollout_batch(rollouts, group_size, pad_id, more)
        self._prompt = rollouts.prompt
        lengths = [len(reply) for reply in (*rollouts.replies, *(reply for _, reply in more))]
        advantages = self._advantages(scored, judged, lengths)
        batch["advantages"] = torch.from_numpy(advantages).float().to(device)
        if self.num_iterations > 1:
            batch["old_per_token_logps"] = self._log_probabilities_of(batch)
        self._note("reply_tokens", np.array([len(reply) for reply in rollouts.replies]))
        return batch

    def _judged(self, examples: Sequence[Example]) -> list[_JudgedReply]:
        """What people judged in these windows.

        Other weights wrote it, under which its log-probabilities are not recorded: it is learned
        from as if the policy of now had drawn it.
        """
        found = [(i, self._scorer.score_verdicts(example)) for i, example in enumerate(examples)]
        judged = [_JudgedReply(i, *reply) for i, reply in found if reply is not None]
        count = torch.tensor(float(len(judged)), device=self.accelerator.device)
        self._metrics["train"]["verdicts"].append(float(self.accelerator.gather(count).sum()))
        return judged

    def _sampled(self, examples: Sequence[Example], sampling: Sampling) -> Rollouts:
        """Replies of the policy of now; raises `TrainingError` where what it says is no number."""
        windows, asked = [e.rgb for e in examples], [e.asked for e in examples]
        if self._server is not None:
            return self._sampled_by(self._server, windows, asked, sampling)
        model = self.whole_model()
        max_points = self._checkpoint.description.max_points
        try:
            return decode_windows(
                *(self._checkpoint, model, windows),
                max_points=max_points,
                sampling=sampling,
                asked=asked,
            )
        except FloatingPointError:
            self._give_up(self._checkpoint.windows(windows, asked=asked), float("nan"))
            raise

    def _sampled_by(
        self,
        server: VllmServer,
        windows: Sequence[NDArray[np.uint8]],
        asked: Sequence[Sequence[str]],
        sampling: Sampling,
    ) -> Rollouts:
        """Replies of a server that is sent the weights of now; each process asks for its own."""
        if self._sender is None:
            self._sender = weight_sender(
                self.model, self.accelerator, self.processing_class, server.url
            )
        self._sender.sync_weights()
        self.accelerator.wait_for_everyone()  # the main process sends
        replies = server.replies(
            *(windows, sampling),
            max_points=self._checkpoint.description.max_points,
            asked=asked,
        )
        prompt = self._checkpoint.windows(windows, self.accelerator.device, asked)
        return Rollouts(prompt, replies)

    def _advantages(
        self, sampled: Sequence[ScoredReply], judged: Sequence[_JudgedReply], lengths: Sequence[int]
    ) -> NDArray[np.float64]:
        """Eq. 12, filtering, and Eq. 18. Shape (rows, longest); rows beyond the replies are 0."""
        options = self._options
        scored = [*sampled, *(reply.scored for reply in judged)]
        rewards = np.array([s.reward for s in scored])
        window_of = np.arange(len(sampled)) // options.rollouts
        groups = np.concatenate([window_of, [reply.window for reply in judged]]).astype(int)
        min_std = options.min_std if options.filter_groups else 0.0
        kept = varied_groups([rewards[groups == group] for group in np.unique(groups)], min_std)
        kept_share = self._note("kept_groups", kept)
        by_group = rewards[: len(sampled)].reshape(-1, options.rollouts)
        self._note("reward", by_group)
        self._note("reward_std", by_group.std(axis=1))
        for name, figure in zip(self._terms, _term_figures(self._terms), strict=False):
            self._note(figure, np.array([s.terms.get(name, 0.0) for s in sampled]))
        self._note("failed_format", np.array([s.is_true_positive is None for s in sampled]))
        table = np.zeros((len(lengths), max(lengths)))
        shaped = token_advantages(
            scored,
            advantages_in_groups(rewards, groups, kept, kept_share, rows=len(lengths)),
            lengths[: len(scored)],
            options.beta if options.shape_advantages else 1.0,
        )
        table[: len(scored), : shaped.shape[1]] = shaped
        return table

    def _note(self, name: str, values: NDArray[Any]) -> float:
        """Mean over all processes, which is also a figure of the step."""
        local = torch.tensor(values.mean(dtype=np.float64), device=self.accelerator.device)
        mean = float(self.accelerator.gather(local).mean())
        self._metrics["train"][name].append(mean)
        return mean

    @torch.no_grad()
    def _log_probabilities_of(self, batch: dict[str, Tensor]) -> Tensor:
        """Those of the policy that drew the rollouts, in evaluation of as many rows at once."""
        self._window_of = batch["window"]
        log_p, _, _ = self._get_per_token_logps_and_entropies(
            self.model_wrapped,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].shape[1],
            batch_size=self.args.per_device_train_batch_size,
        )
        return log_p

    # The objective

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **unused: Any,
    ) -> tuple[Tensor, Tensor, None]:
        """Log-probabilities and entropies under the grammar, shape (N, `logits_to_keep`) each.

        The prompts are those of `_window_of`: TRL passes on the inputs of families that it knows.
        There are no experts, and so no third loss.
        """
        rows = len(input_ids)
        size = batch_size or rows
        parts = []
        for start in range(0, rows, size):
            some = slice(start, start + size)
            replies = input_ids[some, -logits_to_keep:]
            mask = attention_mask[some, -logits_to_keep:]
            whole = self._prompt.rows(self._window_of[some]).followed_by(replies, mask)
            out = model(**whole, logits_to_keep=logits_to_keep + 1, use_cache=False)
            logits = out.logits[:, :-1]
            parts.append(grammar_log_probabilities(logits, replies, self._codec, self._sampling))
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), None

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        """Eq. 11 of a batch; raises `TrainingError` where it is no number."""
        self._window_of = inputs["window"]
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
        if not torch.isfinite(loss):
            tensors = {k: v for k, v in inputs.items() if isinstance(v, torch.Tensor)}
            self._give_up(tensors | dict(self._prompt.rows(inputs["window"])), loss.item())
        return loss

    # Figures

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Decode validation greedily; keeps the weights if they are the best so far."""
        if self._task.validation is None:
            return {}
        model = self.whole_model()
        reward, *terms = self._greedy_rewards(model, self._task.validation)
        score = self._task.score(model)
        figures = {"eval_loss": -reward, "eval_reward": reward}
        named = zip(_term_figures(self._terms), terms, strict=False)
        figures |= {f"eval_{name}": value for name, value in named}
        figures |= {f"eval_{name}": value for name, value in score.items()}
        self.log(dict(figures))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, figures
        )
        self._keep_best(Best(self.state.global_step, -reward, reward=reward, **score))
        return figures

    def _greedy_rewards(self, model: PreTrainedModel, windows: Examples[Example]) -> list[float]:
        """Mean reward of the replies to windows, and the mean of each of its terms.

        Windows are decoded as when serving, each by one process.
        """
        totals = np.zeros(1 + len(self._terms))
        mine = processes.my_share(range(len(windows)))
        for start in range(0, len(mine), self.args.per_device_train_batch_size):
            stop = start + self.args.per_device_train_batch_size
            examples = [windows[i] for i in mine[start:stop]]
            replies = decode_windows(
                self._checkpoint,
                model,
                [example.rgb for example in examples],
                max_points=self._checkpoint.description.max_points,
            ).replies
            for example, reply in zip(examples, replies, strict=True):
                scored = self._scorer.score(example, reply)
                totals += [scored.reward, *(scored.terms.get(name, 0.0) for name in self._terms)]
        return [total / len(windows) for total in processes.total(totals.tolist())]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL's; the loss that is told is minus the reward."""
        if "loss" in logs:
            rewards = self._metrics["train"].get("reward")  # none where rollouts are used again
            if rewards:
                self._last_reward = rewards[-1]
            logs["surrogate"] = logs["loss"]
            logs["loss"] = -self._last_reward
        super().log(logs, start_time)


def _term_figures(terms: Sequence[str]) -> tuple[str, ...]:
    """What a log calls the terms of a reward; one alone is the reward itself."""
    return tuple(f"reward.{name}" for name in terms) if len(terms) > 1 else ()
