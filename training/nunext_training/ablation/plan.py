"""The plan of an ablation: NuNext's Table 5 as runs that go on from one another.

Every row with a module of reinforcement fine-tuning goes on from the row with the same supervised
modules, so that rows share what they have in common, and a row differs from its neighbour in one
module alone. Runs of one seed see the same windows.

Ours: the runs are short and start from one checkpoint; the first row is that start itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from nunext_training.recipes.recipe import changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nunext_training.recipes.recipe import Recipe

START = "start"


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the table."""

    name: str
    """Also of its folder."""
    modules: tuple[str, ...]
    """Of `nunext_training.method.modules.MODULES`."""
    parent: str | None
    """The row whose checkpoint it goes on from; None for the start."""
    beside: str | None
    """The row that it is compared with: it lacks one module that this one has."""
    published: float
    """The paper's F1."""

    @property
    def published_gain(self) -> float | None:
        """The paper's F1 above that of the row beside; None for the start."""
        return None if self.beside is None else self.published - _BY_NAME[self.beside].published

    @property
    def is_tuned_by_rewards(self) -> bool:
        """Whether its last stage is reinforcement fine-tuning."""
        return "GRPO" in self.modules

    @property
    def needs_segmenter(self) -> bool:
        """Whether a SAM judges it, or draws for its reward."""
        return "TGR" in self.modules or ("CoVT" in self.modules and not self.is_tuned_by_rewards)


_SUPERVISED = ("NSFT", "SASS", "CoVT")

TABLE_5 = (
    Variant(START, (), None, None, 0.587),
    Variant("nsft", ("NSFT",), START, START, 0.812),
    Variant("sass", ("NSFT", "SASS"), START, "nsft", 0.819),
    Variant("covt", _SUPERVISED, START, "sass", 0.822),
    Variant("nsft-grpo", ("NSFT", "GRPO"), "nsft", "nsft", 0.830),
    Variant("grpo", (*_SUPERVISED, "GRPO"), "covt", "covt", 0.835),
    Variant("lvgf", (*_SUPERVISED, "GRPO", "LVGF"), "covt", "grpo", 0.837),
    Variant("fgas", (*_SUPERVISED, "GRPO", "FGAS"), "covt", "grpo", 0.838),
    Variant("lvgf-fgas", (*_SUPERVISED, "GRPO", "LVGF", "FGAS"), "covt", "lvgf", 0.840),
    Variant("tgr", (*_SUPERVISED, "GRPO", "LVGF", "FGAS", "TGR"), "covt", "lvgf-fgas", 0.842),
)
"""The rows of the paper, in its order."""

_BY_NAME = {variant.name: variant for variant in TABLE_5}


def with_parents(names: Sequence[str]) -> tuple[Variant, ...]:
    """The named rows and those that they go on from, in the order of the table.

    Raises
    ------
    InputError
        If there is no such row.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in _BY_NAME:
            raise InputError(
                f"There is no variant {name!r}; expected some of {', '.join(_BY_NAME)}."
            )
        above: str | None = name
        while above is not None:
            wanted.add(above)
            above = _BY_NAME[above].parent
    return tuple(variant for variant in TABLE_5 if variant.name in wanted)


@dataclass(frozen=True, slots=True)
class Run:
    """One row with one seed; the start has none."""

    variant: Variant
    seed: int | None

    @property
    def name(self) -> str:
        """For people; also the path of its checkpoint below the ablation's folder."""
        return self.variant.name if self.seed is None else f"seed-{self.seed}/{self.variant.name}"

    @property
    def parent(self) -> Run | None:
        """The run whose checkpoint it goes on from; None for the start."""
        return self._same_seed(self.variant.parent)

    @property
    def beside(self) -> Run | None:
        """The run that it is compared with; None for the start."""
        return self._same_seed(self.variant.beside)

    def _same_seed(self, name: str | None) -> Run | None:
        return None if name is None else Run(_BY_NAME[name], None if name == START else self.seed)


def plan(names: Sequence[str], recipe: Recipe) -> Iterator[Run]:
    """The start, then all rows of one seed before the next: a table as soon as there can be one."""
    variants = with_parents(names)
    yield Run(_BY_NAME[START], None)
    for number in range(recipe.ablation.seeds):
        for variant in variants:
            if variant.name != START:
                yield Run(variant, recipe.seed + number)


def recipe_of(variant: Variant, recipe: Recipe, seed: int) -> Recipe:
    """The recipe of a row's own stage: its modules on, the others off, and the ablation's size."""
    options, on = recipe.ablation, variant.modules
    if variant.is_tuned_by_rewards:
        iterations = recipe.rft.iterations
        pace = -(-_pace(options.rft_steps, options.validations) // iterations) * iterations
        rft = {
            "steps": options.rft_steps,
            "validate_every": pace,
            "filter_groups": "LVGF" in on,
            "shape_advantages": "FGAS" in on,
            "task_guided": "TGR" in on,
            "panoptic_truth": recipe.covt.target,
        }
        return changed(recipe, seed=seed, rft=rft)
    supervised = _supervised(recipe, options.sft_steps, options.sft_lr, soft="SASS" in on)
    return changed(supervised, seed=seed)


def recipe_of_start(recipe: Recipe) -> Recipe:
    """How a start is taught: naively, and for longer."""
    options = recipe.ablation
    return _supervised(recipe, options.start_steps, options.start_lr, soft=False)


def _supervised(recipe: Recipe, steps: int, lr: float, *, soft: bool) -> Recipe:
    return changed(
        recipe,
        loss={"supervision": "soft" if soft else "naive"},
        optimiser={"steps": steps, "lr": lr, "warmup_steps": steps // 20},
        validation={"every_steps": _pace(steps, recipe.ablation.validations)},
    )


def _pace(steps: int, times: int) -> int:
    """Steps from one look to the next."""
    return max(1, steps // max(1, times))
