"""``nunext-train ask``: the command line of training answerers, and of scoring them."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.budget import BUDGET_TOKENS, PATCH_PX
from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.process.options import positive
from nunext_training.commands.asking import allocate, budgets, derive, rows, tables
from nunext_training.commands.asking.figures import RULES, by_rule, tell_figures
from nunext_training.commands.options import (
    add_stage,
    add_strict,
    given,
    optimiser_of,
    set_threads,
    train,
)
from nunext_training.runs.progress import counter, json_counter

if TYPE_CHECKING:
    import argparse

    from napari_nunext.models.answerers.about import TaughtThought

LEAST_OFTEN = 20
"""A word of an export that is there less often is left to its bytes (ours)."""
MOST_WORDS = 512
METHODS = {
    "sft": "on answers that are right, as they were said or as they were corrected",
    "grpo": "by the rewards of its own answers, where people said what is right",
    "dpo": "on pairs of answers, one of which people preferred",
    "kto": "on answers that people found good, or bad",
}


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    ask = commands.add_parser("ask", help="train a model that answers questions")
    methods = ask.add_subparsers(required=True, metavar="METHOD")
    for name, what in METHODS.items():
        method = methods.add_parser(name, help=what)
        add_stage(method, recipe="ask_small")
        method.add_argument("--batch-size", type=positive)
        method.add_argument("--budget", type=positive, help="image tokens of a picture, at most")
        method.add_argument(
            "--budgets", type=positive, nargs="+", help="draw the budget of training from these"
        )
        method.add_argument(
            "--thought",
            choices=("none", "prose", "points"),
            help="what an answer goes by: nothing, figures that it writes, nuclei that it is told "
            "(as the checkpoint was taught, else the recipe's)",
        )
        method.add_argument(
            "--rank", type=int, help="of the additions that are trained (LoRA); 0: all weights"
        )
        method.add_argument("--name", default="", help="of the new model (default: --out's)")
        method.add_argument(
            "--adapter", type=Path, metavar="DIR", help="additions to the checkpoint, to train on"
        )
        method.add_argument(
            "--keep",
            choices=("best", "last"),
            default="best",
            help="the weights that validate best; or the last, and the val split stays unseen",
        )
        method.set_defaults(run=_run, method=name, vllm=None)
        if name == "grpo":
            method.add_argument("--vllm", metavar="URL", help="a vLLM server that draws replies")
    _add_base(methods)
    allocate.add_parser(methods)
    budgets.add_parser(methods)
    scored = methods.add_parser("evaluate", help="put questions whose answers are known")
    scored.add_argument("--data", type=Path, nargs="+", required=True, metavar="EXPORT")
    who = scored.add_mutually_exclusive_group(required=True)
    who.add_argument("--checkpoint", type=Path, metavar="DIR")
    who.add_argument("--rule", choices=RULES, help="no model: what any has to beat")
    scored.add_argument(
        "--learn",
        type=Path,
        nargs="+",
        metavar="EXPORT",
        help="whose train split a rule learns from (default: that of --data)",
    )
    scored.add_argument("--adapter", type=Path, metavar="DIR", help="additions to the checkpoint")
    scored.add_argument(
        "--allocator", type=Path, metavar="DIR", help="chooses image tokens, --budget at most"
    )
    scored.add_argument(
        "--evidence",
        choices=("own", "shuffled"),
        default="own",
        help="tell one that reads nuclei those of the picture (default), or of another one",
    )
    scored.add_argument("--split", choices=SPLITS, default="test", help="(test)")
    scored.add_argument("--budget", type=positive, default=BUDGET_TOKENS, help="(256)")
    scored.add_argument("--max-tokens", type=positive, default=512, help="of an answer (512)")
    scored.add_argument("--temperature", type=float, default=0.0, help="0 (default): the likeliest")
    scored.add_argument("--seed", type=int, default=0)
    scored.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    scored.add_argument("--threads", type=positive, help="CPU threads (default: all)")
    scored.add_argument("--progress", choices=("bar", "jsonl"), default="bar")
    add_strict(scored)
    scored.set_defaults(run=_evaluate)
    derive.add_parser(methods)
    rows.add_parser(methods)
    tables.add_parser(methods)


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.models.answerers.about import taught_thought
    from nunext_training.stages.answers import AnswerJob, run_answers

    job = partial(
        AnswerJob,
        name=args.name,
        method=args.method,
        adapter=args.adapter,
        keep=args.keep,
        vllm=args.vllm,
    )
    # What reads nuclei and is taught without them would be worth nothing when it is told some.
    thought = args.thought or taught_thought(args.adapter or args.checkpoint)
    asked = given(budget=args.budget, budgets=args.budgets, thought=thought)
    additions = given(rank=args.rank)
    return train(args, run_answers, job, **optimiser_of(args), ask=asked, lora=additions)


def _add_base(methods: Any) -> None:
    base = methods.add_parser("base", help="make the base of a small answerer of a detector")
    base.add_argument(
        "--checkpoint", type=Path, required=True, metavar="DIR", help="or a bundled one's name"
    )
    base.add_argument("--out", type=Path, required=True, metavar="DIR")
    base.add_argument(
        "--words", type=Path, metavar="FILE", help="further words that are one token, one a line"
    )
    base.add_argument(
        "--data", type=Path, nargs="+", default=[], metavar="EXPORT", help="and its frequent words"
    )
    base.add_argument("--seed", type=int, default=0, help="of the new tokens' rows (0)")
    add_strict(base)
    base.set_defaults(run=_base)


def _base(args: argparse.Namespace) -> int:
    from napari_nunext.models.answerers.base import build_answer_base
    from napari_nunext.models.answerers.base_words import frequent_words
    from napari_nunext.places import BUNDLED_WEIGHTS
    from nunext_training.data.answers.texts import training_texts

    words = [] if args.words is None else _words_of(args.words)
    if args.data:
        texts = training_texts(args.data, strict=args.strict, allow_loss=args.allow_loss)
        words += frequent_words(texts, least=LEAST_OFTEN, most=MOST_WORDS)
    bundled = BUNDLED_WEIGHTS / args.checkpoint
    checkpoint = args.checkpoint if args.checkpoint.exists() else bundled
    if not checkpoint.is_dir():
        raise InputError(
            f"There is no checkpoint {args.checkpoint}. Name a detector's folder, or nunext-small."
        )
    new = build_answer_base(checkpoint, args.out, words=words, seed=args.seed)
    sys.stdout.write(f"{args.out}: {new} words are one token each\n")
    return 0


def _words_of(path: Path) -> list[str]:
    """Words of a list, each at the beginning of a text and within it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path.name} cannot be read as text ({error}). Expected UTF-8, a word a line."
        ) from error
    return [form for line in lines if (word := line.strip()) for form in (word, f" {word}")]


def _evaluate(args: argparse.Namespace) -> int:
    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.models.answerers.about import reads_nuclei, taught_allocation
    from napari_nunext.models.answerers.answerer import AnswerSampling
    from napari_nunext.models.answerers.folder import token_px
    from napari_nunext.models.answerers.loaded import load_answerer
    from nunext_training.data.answers import read_answers
    from nunext_training.evaluation.answering.agreement import Couples
    from nunext_training.evaluation.answering.answers import ask_all
    from nunext_training.evaluation.answering.choosing import rows_as_chosen

    set_threads(args.threads)
    if args.rule is not None:
        return by_rule(args)
    patch_px = token_px(args.checkpoint) or PATCH_PX
    read = partial(
        read_answers,
        args.data,
        budget=args.budget,
        patch_px=patch_px,
        strict=args.strict,
        allow_loss=args.allow_loss,
    )
    place = AnswererFolder("it", args.checkpoint, adapter=args.adapter, allocator=args.allocator)
    allocation = None if args.allocator is None else taught_allocation(args.allocator)
    reads = reads_nuclei(place)
    if args.evidence == "shuffled" and not reads:
        raise InputError(
            f"{args.checkpoint.name} reads no nuclei, so that none can be shuffled. Leave out "
            "--evidence, or name an answerer that was trained with --thought points."
        )
    thought: TaughtThought = "points" if reads else "prose"
    shuffled = args.seed if args.evidence == "shuffled" else None
    data = read("grpo", accepted=True, thought=thought, shuffled=shuffled)
    rows = getattr(data, args.split)
    couples = Couples.of(getattr(read("dpo"), args.split), getattr(read("kto"), args.split))
    if not rows and not couples:
        raise InputError(
            f"The {args.split} split of the exports has no question whose answer is known, and "
            "no answers of which readers prefer one. Choose "
            "another --split, or correct answers of more images and export again."
        )
    answerer = load_answerer(place)
    sampling = AnswerSampling(args.temperature, args.seed, args.max_tokens)
    count = counter if args.progress == "bar" else json_counter
    looks = [0] * len(rows)
    if allocation is not None:
        rows, looks = rows_as_chosen(
            answerer,
            allocation,
            lambda budget: getattr(data.at(budget), args.split),
            args.budget,
            patch_px=patch_px,
            tell=count("choice"),
        )
    tell = count("question")
    said = ask_all(answerer, rows, sampling, patch_px=patch_px, tell=tell, told_nuclei=reads)
    # What an allocator looks at is read as well.
    answered = [
        replace(each, image_tokens=each.image_tokens + look)
        for each, look in zip(said, looks, strict=True)
    ]
    asked = {
        "split": args.split,
        "budget": args.budget,
        "temperature": args.temperature,
        "evidence": args.evidence if reads else "none",
        "allocation": allocation and asdict(allocation),
    }
    tell_figures(args, answered, asked, data.origins, couples.score(answerer))
    return 0
