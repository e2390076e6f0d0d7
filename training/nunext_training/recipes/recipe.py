"""Recipes: every choice of a training run, in a TOML file.

The recipes of the package lie in its folder ``recipes`` and are known by name; any other is a path.
A key that is left out takes its default; a key that does not exist is an error. Keys, meanings and
bounds stand in `nunext_training.recipes.sections` and `nunext_training.recipes.stage_sections`;
``nunext-train recipes`` lists them.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, field, fields
from dataclasses import dataclass as plain
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass, is_pydantic_dataclass

from napari_nunext.core.errors import InputError
from nunext_training.recipes.ask_sections import AllocatorOptions, AskOptions
from nunext_training.recipes.bounds import CHECKED, Text, Whole, expected
from nunext_training.recipes.sections import (
    CentreMapOptions,
    KeepingOptions,
    LoraOptions,
    LossOptions,
    OptimiserOptions,
    ReportTo,
    ThoughtOptions,
    ValidationOptions,
    WindowOptions,
)
from nunext_training.recipes.stage_sections import (
    AblationOptions,
    AtomicOptions,
    RftOptions,
    SegmenterOptions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True, config=CHECKED)
class Recipe:
    """A training run, but for its data and checkpoint. `changed` makes another one of it."""

    name: Text = "default"
    """For messages and provenance; a file's own name is taken."""
    seed: Whole = 0
    """Of everything that is drawn by lot."""
    report_to: ReportTo = "nothing"
    """Who else is told the figures of a run, by its own package; metrics.jsonl has them anyway."""
    windows: WindowOptions = field(default_factory=WindowOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    centre_map: CentreMapOptions = field(default_factory=CentreMapOptions)
    covt: ThoughtOptions = field(default_factory=ThoughtOptions)
    lora: LoraOptions = field(default_factory=LoraOptions)
    keeping: KeepingOptions = field(default_factory=KeepingOptions)
    segmenter: SegmenterOptions = field(default_factory=SegmenterOptions)
    atomic: AtomicOptions = field(default_factory=AtomicOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    rft: RftOptions = field(default_factory=RftOptions)
    ask: AskOptions = field(default_factory=AskOptions)
    allocator: AllocatorOptions = field(default_factory=AllocatorOptions)
    ablation: AblationOptions = field(default_factory=AblationOptions)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; also what two runs are compared by.

        Without `ablation` and `report_to`, which are no part of what a run does, and `atomic`,
        `keeping`, `ask` and `allocator`, which are one stage's alone. Recipes without further
        rewards, and those that hold back no trunk, tell no outlines, name no category or draw all
        tokens at one temperature, are as they were before.
        """
        data = asdict(self)
        del data["ablation"], data["atomic"], data["ask"], data["allocator"], data["report_to"]
        del data["keeping"]
        if not self.rft.rewards:
            del data["rft"]["rewards"]
        if self.rft.coordinate_temperature == 1:
            del data["rft"]["coordinate_temperature"]
        if not self.segmenter.outlines:
            del data["segmenter"]["outlines"]
        if not self.windows.named_category_share:
            del data["windows"]["named_category_share"]
        if self.optimiser.trunk_lr_ratio == 1:
            del data["optimiser"]["trunk_lr_ratio"]
        data["windows"]["scale_range"] = list(self.windows.scale_range)
        return data


_RECIPE = TypeAdapter(Recipe)


@plain(frozen=True, slots=True)
class Key:
    """One choice of a recipe, as people look it up."""

    name: str
    """With its section: ``loss.sigma_bins``."""
    meaning: str
    default: Any
    expected: str


def recipe_keys() -> Iterator[Key]:
    """Every key of a recipe, in the order of the sections."""
    default = Recipe()
    for section in fields(default):
        value = getattr(default, section.name)
        if is_pydantic_dataclass(type(value)):
            for name, info in _infos(type(value)).items():
                yield _key(f"{section.name}.{name}", getattr(value, name), info)
        else:
            yield _key(section.name, value, _infos(Recipe)[section.name])


def _key(name: str, default: Any, info: FieldInfo) -> Key:
    return Key(name, " ".join((info.description or "").split()), default, expected(info))


def _infos(section: type) -> dict[str, FieldInfo]:
    infos: dict[str, FieldInfo] = section.__pydantic_fields__  # type: ignore[attr-defined]
    return infos


def recipe_names() -> tuple[str, ...]:
    """Names of the package's own recipes."""
    folder = resources.files("nunext_training") / "recipes"
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by its name in the package, or by its path.

    Raises
    ------
    InputError
        If there is no such recipe, or it does not hold together; names the key.
    """
    if name_or_path in recipe_names():
        text = (resources.files("nunext_training") / "recipes" / f"{name_or_path}.toml").read_text(
            encoding="utf-8"
        )
        return parse_recipe(text, name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"There is no recipe {name_or_path!r}; expected a TOML file or one of "
            f"{', '.join(recipe_names())}."
        )
    return parse_recipe(path.read_text(encoding="utf-8"), path.stem)


def parse_recipe(text: str, name: str) -> Recipe:
    """Read a recipe from TOML; `name` is for messages and provenance."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"Recipe {name!r} is not TOML: {error}.") from error
    return _checked({"name": name} | data, name)


def changed(recipe: Recipe, **changes: Any) -> Recipe:
    """A recipe with some of its choices replaced.

    Parameters
    ----------
    recipe : Recipe
    **changes
        A section's changes as a mapping, ``optimiser={"steps": 5}``; a key of no section by its
        value, ``seed=3``.

    Raises
    ------
    InputError
        If a choice is out of its bounds; names the key.
    """
    data = asdict(recipe)
    for key, change in changes.items():
        data[key] = data[key] | change if isinstance(change, dict) else change
    return _checked(data, recipe.name)


def _checked(data: Mapping[str, Any], name: str) -> Recipe:
    """The recipe of plain values, each within its bounds."""
    try:
        return _RECIPE.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        section, key = _place(first["loc"])
    whole = f"{section}.{key}" if key else section
    known = _infos(Recipe if key is None else type(getattr(Recipe(), section)))
    last = key or section
    if last not in known:
        raise InputError(f"Recipe {name!r} has no key {whole}; expected {', '.join(known)}.")
    kind = type(getattr(Recipe(), section))
    wanted = expected(known[last]) if key or not is_pydantic_dataclass(kind) else "a table"
    raise InputError(f"Recipe {name!r}: {whole} is {first['input']!r}; expected {wanted}.")


def _place(loc: tuple[int | str, ...]) -> tuple[str, str | None]:
    """Section and key of an error; what lies deeper is part of the key."""
    return str(loc[0]), str(loc[1]) if len(loc) > 1 else None
