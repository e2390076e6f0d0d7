"""Runs of answerers that two processes share in `test_processes.py`, and one process does alone.

A folder has ``export``, ``answerer`` and ``table.jsonl``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from nunext_training.method.answer_rewards import ANSWER_REWARDS
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.stages.allocator import AllocatorJob, run_allocator
from nunext_training.stages.answers import AnswerJob, run_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ASK = {"budget": 4, "budgets": (1, 4), "rollouts": 2, "max_tokens": 6, "thought": "prose"}
LR = 1e-3


def runs(folder: Path, out: Path, *, batch_size: int) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Each by its name: what does it, given a `Progress`, and ``stop`` and ``resume``."""
    optimiser = {
        "steps": 2,
        "batch_size": batch_size,
        "lr": LR,
        "warmup_steps": 0,
        "train_vision": False,
    }
    ask = changed(
        load_recipe("ask_small"), optimiser=optimiser, validation={"every_steps": 1}, ask=ASK
    )
    additions = {"rank": 4}
    recipes = {
        "packed": ("sft", changed(ask, optimiser={"accumulation": 2})),
        "sft": ("sft", changed(ask, ask={"packed": False, "budgets": ()}, lora=additions)),
        "grpo": ("grpo", changed(ask, ask={"budgets": ()}, lora=additions)),
    }
    data, parent = (folder / "export",), folder / "answerer"
    for name, (method, recipe) in recipes.items():
        job = partial(AnswerJob, data, parent, out / name, recipe, method=method)
        yield name, partial(_run, run_answers, job)
    allocate = changed(
        load_recipe("allocate_small"),
        optimiser=optimiser,
        lora=additions,
        allocator={"look_tokens": 1, "rollouts": 8},
    )
    job = partial(
        AllocatorJob, data, parent, out / "allocate", allocate, table=folder / "table.jsonl"
    )
    yield "allocate", partial(_run, run_allocator, job)


def _run(
    run: Callable[..., Any], job: Callable[..., Any], progress: Any, *, resume: bool = False, **how
) -> Any:
    with rewarded_by_letters():
        return run(job(resume=resume), progress, **how)


def rewarded_by_letters() -> Any:
    """Within it, rewards differ: a random model says nothing that is right."""
    return patch.dict(ANSWER_REWARDS._known, {"format": different_letters})


def different_letters(seen: Any) -> float:
    """A reward that differs from reply to reply."""
    return len(set(seen.reply.answer)) / 10
