"""A small answerer: what questions of one picture cost together, and rewards beside a GRPO step.

The base is made of the bundled detector, whose new words are random: what weights say does not
change what a token costs. Pictures are drawn tissue, with seven questions each; figures are of
process time of one thread. Both ways of answering take turns, and the median of each counts.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks._harness import Claim, report
from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.prompts import Question
from napari_nunext.models.answerers.answerer import AnswerSampling
from napari_nunext.models.answerers.base import build_answer_base
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.answerers.together import answer_together
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.synthetic import synthesise
from nunext_training.data.answers import read_answers
from nunext_training.data.importers.questions.base import AnsweredImage, KnownAnswer
from nunext_training.data.importers.questions.writing import write_questions
from nunext_training.evaluation.answering import answers as evaluation
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.stages import answers as answers_stage
from nunext_training.stages.answers import AnswerJob, run_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari_nunext.models.answerers.loaded import LoadedAnswerer

PICTURES = 6
SIDE_PX = 128
QUESTIONS = (
    "Which category dominates?",
    "How many lymphocytes are there?",
    "Are there at least 4 lymphocytes?",
    "Are there at least 8 stromal nuclei?",
    "Where are most lymphocytes?",
    "How many stromal nuclei are there?",
)
MOST_TOKENS = 8
"""Of a reply: as many as an answer in words has."""
REPEATS = 5
STEPS = 4
PROMPTS, ROLLOUTS = 4, 8


@dataclass
class Stopwatch:
    """Process time of each step of a run, and of the rewards in it."""

    steps_s: list[float] = field(default_factory=list)
    rewards_s: list[float] = field(default_factory=list)
    _since: float = 0.0
    _rewards: float = 0.0

    def start(self, **said: object) -> None:
        """A run begins."""
        self._since = time.process_time()

    def step(self, **said: object) -> None:
        """A step is over."""
        now = time.process_time()
        self.steps_s.append(now - self._since)
        self.rewards_s.append(self._rewards)
        self._since, self._rewards = now, 0.0

    def doing(self, *, what: str) -> None:
        """What is no step counts for the next one."""

    def validation(self, **said: object) -> None:
        """Nothing is validated."""

    def tested(self, results: object) -> None:
        """Nothing is tested."""

    def done(self, **said: object) -> None:
        """A run is over."""

    def timed(self, make: Callable[[str], Any]) -> Callable[[str], Any]:
        """What makes reward functions whose time counts."""

        def made(name: str) -> Any:
            reward = make(name)

            def timed_reward(*args: Any, **columns: Any) -> Any:
                began = time.process_time()
                found = reward(*args, **columns)
                self._rewards += time.process_time() - began
                return found

            timed_reward.__name__ = name
            return timed_reward

        return made


def export(folder: Path) -> Path:
    """Pictures of drawn tissue with their questions; what is right does not matter here."""

    def pictures() -> list[AnsweredImage]:
        return [
            AnsweredImage(
                name=f"tissue-{i}",
                rgb=synthesise(np.random.default_rng(i), height_px=SIDE_PX, width_px=SIDE_PX).rgb,
                split="train",
                answers=tuple(KnownAnswer(Question("question", q), "3") for q in QUESTIONS),
            )
            for i in range(PICTURES)
        ]

    write_questions([pictures], folder, origin="drawn", mpp=0.5, mpp_source="assumed")
    return folder


def shared(answerer: LoadedAnswerer, rows: list[dict[str, Any]]) -> tuple[float, float, list[str]]:
    """By how much questions are answered sooner together, the share of equal replies, details."""
    ratios, equal = [], []
    sampling = AnswerSampling(max_tokens=MOST_TOKENS)
    for first in range(0, len(rows), len(QUESTIONS)):
        group = rows[first : first + len(QUESTIONS)]
        rgb = np.asarray(group[0]["images"][0].open())
        system, prompts = ([row["prompt"][at]["content"] for row in group] for at in (0, 1))
        asked = answerer, rgb, prompts, system[0], sampling
        times: dict[str, list[float]] = {"together": [], "alone": []}
        for _ in range(REPEATS):
            began = time.process_time()
            together = answer_together(*asked)
            between = time.process_time()
            alone = [answer_together(answerer, rgb, [p], system[0], sampling) for p in prompts]
            times["together"].append(between - began)
            times["alone"].append(time.process_time() - between)
        said = evaluation.answer_by_turns(*asked)
        equal += [
            one.text == each[0].text == turn.text
            for one, each, turn in zip(together, alone, said, strict=True)
        ]
        ratios.append(statistics.median(times["alone"]) / statistics.median(times["together"]))
    return statistics.median(ratios), float(np.mean(equal)), [f"{ratio:.2f}" for ratio in ratios]


def rewards(base: Path, data: Path, out: Path) -> Stopwatch:
    """A few steps of GRPO, timed; the first, in which much is made, is left out."""
    recipe = changed(
        load_recipe("ask_small"),
        optimiser={"steps": STEPS, "batch_size": PROMPTS * ROLLOUTS, "warmup_steps": 0},
        ask={"rollouts": ROLLOUTS, "max_tokens": MOST_TOKENS},
    )
    watch = Stopwatch()
    stage: Any = answers_stage
    untimed = stage.reward_function
    stage.reward_function = watch.timed(untimed)
    try:
        run_answers(AnswerJob((data,), base, out, recipe, method="grpo"), watch)
    finally:
        stage.reward_function = untimed
    return watch


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base, data = folder / "base", export(folder / "data")
        build_answer_base(BUNDLED_WEIGHTS / "nunext-small", base)
        answerer = load_answerer(AnswererFolder("base", base), "float32")
        rows = read_answers([data], "grpo", budget=64, patch_px=8, strict=True).train
        ratio, equal, ratios = shared(answerer, list(rows))
        watch = rewards(base, data, folder / "grpo")
    step_s = statistics.median(watch.steps_s[1:])
    share = statistics.median(watch.rewards_s[1:]) / step_s
    report(
        "bilateral",
        [
            Claim("bilateral.prefill_shared", ratio, goal=2.0, better="higher"),
            Claim("bilateral.tokens_equal", equal, goal=0.99, better="higher"),
            Claim("bilateral.rewards_share", share, goal=0.01, better="lower"),
        ],
        details={
            "questions_of_a_picture": len(QUESTIONS),
            "alone_over_together": ratios,
            "grpo_step_cpu_s": watch.steps_s,
            "grpo_prompts_and_rollouts": [PROMPTS, ROLLOUTS],
        },
    )


if __name__ == "__main__":
    main()
