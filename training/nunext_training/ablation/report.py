"""An ablation as ``report.json``, ``report.md`` and one self-contained ``report.html``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nunext_training.ablation.plan import Run
from nunext_training.data.labelled import nuclei_count
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.evaluation.tables import AblationRow, Table, seeds_table
from nunext_training.reports.drawings import Axis, plot
from nunext_training.reports.pages import html_table, markdown, page
from nunext_training.runs.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nunext_training.ablation.plan import Variant
    from nunext_training.data.held_out import HeldOut
    from nunext_training.evaluation.tables import Cell
    from nunext_training.recipes.recipe import Recipe

    Figures = Mapping[Run, dict[str, Any]]

TITLE = "Ablation"


def write_ablation(
    folder: Path,
    figures: Figures,
    variants: Sequence[Variant],
    recipe: Recipe,
    held: HeldOut,
) -> None:
    """Write the three files into `folder`.

    Parameters
    ----------
    folder : Path
    figures : mapping of Run to dict
        The evaluations that there are, as `Evaluation.to_json`.
    variants : sequence of Variant
        The rows of the table; one without figures has dashes.
    recipe : Recipe
        Of the ablation.
    held : HeldOut
        What the evaluations are of.
    """
    f1 = {run: float(found["overall"]["f1"]) for run, found in figures.items()}
    hungarian = {
        run: float(found["other_matching"]["overall"]["f1"])
        for run, found in figures.items()
        if found.get("other_matching")
    }
    rows = [_row(variant, f1, hungarian) for variant in variants]
    tables = [seeds_table(rows), _seed_by_seed(variants, figures)]
    notes = _notes(recipe, held)
    write_json(
        folder / "report.json",
        {
            "notes": notes,
            "tables": [table.to_json() for table in tables],
            "runs": [
                {
                    "run": run.name,
                    "seed": run.seed,
                    "modules": list(run.variant.modules),
                    "from": None if run.parent is None else run.parent.name,
                    **found,
                }
                for run, found in figures.items()
            ],
        },
    )
    write_text(folder / "report.md", markdown(TITLE, notes, tables))
    parts = [
        *(html_table(table) for table in tables),
        f'<div class="plots">{_plot(variants, f1)}</div>',
    ]
    write_text(folder / "report.html", page(TITLE, notes, parts))


def _row(variant: Variant, f1: Mapping[Run, float], hungarian: Mapping[Run, float]) -> AblationRow:
    runs = [run for run in f1 if run.variant == variant]
    return AblationRow(
        variant.modules,
        tuple(f1[run] for run in runs),
        _gains(runs, f1),
        variant.published,
        variant.published_gain,
        tuple(hungarian[run] for run in runs if run in hungarian),
        _gains(runs, hungarian),
    )


def _gains(runs: Sequence[Run], f1: Mapping[Run, float]) -> tuple[float, ...]:
    pairs = [(run, run.beside) for run in runs]
    return tuple(
        f1[run] - f1[other]
        for run, other in pairs
        if run in f1 and other is not None and other in f1
    )


def _seed_by_seed(variants: Sequence[Variant], figures: Figures) -> Table:
    seeds = sorted({run.seed for run in figures if run.seed is not None})
    return Table(
        None,
        "Seed by seed",
        (
            "Run",
            "Variant",
            "goes on from",
            "beside",
            *(f"F1 ({VALIDATION_MATCHING}), seed {s}" for s in seeds),
            "Precision",
            "Recall",
        ),
        tuple(
            (
                str(i),
                variant.name,
                variant.parent or "",
                variant.beside or "",
                *(_overall(figures, variant, seed, "f1") for seed in seeds),
                _mean(figures, variant, "precision"),
                _mean(figures, variant, "recall"),
            )
            for i, variant in enumerate(variants, start=1)
        ),
    )


def _overall(figures: Figures, variant: Variant, seed: int, figure: str) -> Cell:
    """The figure of a row with a seed; that of the start is the same with any."""
    found = figures.get(Run(variant, None if variant.parent is None else seed))
    return None if found is None else float(found["overall"][figure])


def _mean(figures: Figures, variant: Variant, figure: str) -> Cell:
    values = [f["overall"][figure] for run, f in figures.items() if run.variant == variant]
    return sum(values) / len(values) if values else None


def _notes(recipe: Recipe, held: HeldOut) -> list[str]:
    options, rft, covt = recipe.ablation, recipe.rft, recipe.covt
    truth = "true masks" if covt.target == "masks" else f"discs of {covt.radius_um:g} um"
    return [
        f"F1 of {len(held.images)} images with {nuclei_count(held.images)} nuclei, from which no "
        f"run learned: {held.what}. {VALIDATION_MATCHING.capitalize()} matching within "
        f"{recipe.validation.radius_um:g} um, one to one.",
        "Mean and standard deviation (of samples) over n seeds. A seed decides windows and "
        "rollouts; the start is the same for all. Gain: F1 above that of the row beside, which "
        "lacks one module, seed by seed.",
        f"Supervised rows: {options.sft_steps} steps of {recipe.optimiser.batch_size} windows. "
        f"Rows with GRPO: {options.rft_steps} steps of {rft.windows_per_step} windows with "
        f"{rft.rollouts} replies each.",
        f"Nuclei are {truth} where CoVT and TGR compare masks.",
        "Run 1 is the common start. The paper's F1 are of a model of three billion weights, on its "
        "own data: compare their order and distances, not their height.",
    ]


def _plot(variants: Sequence[Variant], f1: Mapping[Run, float]) -> str:
    number = {variant: float(i) for i, variant in enumerate(variants, start=1)}
    low, high = min(f1.values(), default=0.0), max(f1.values(), default=1.0)
    return plot(
        "F1 of each run, one dot a seed",
        Axis("run", 1.0, float(max(len(variants), 2))),
        Axis("F1", low, high),
        [(number[run.variant], value) for run, value in f1.items()],
        line=False,
        diagonal=False,
    )
