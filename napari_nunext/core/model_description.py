"""What a model is: said once, in one form, from its checkpoint to the record of what it found.

``nunext.json``, the catalogue, the wire, the runs of a project and the records of an export all
hold a `ModelDescription`. What one of them adds (tokens, a problem, the run's region) stands beside
it.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

from napari_nunext.core.nuclei import Category

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["detector", "segmenter"]

NOT_KEPT = "unknown"
"""Family of a model that was recorded before families were."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A detector or a segmenter, as everybody is told of it."""

    name: str
    """For people."""
    family: str
    """``"classical"``, ``"qwen2_5_vl"``, ``"sam"``, ..."""
    _: KW_ONLY
    categories: tuple[Category, ...] = ()
    """What a detector tells apart."""
    mpp: float | None = None
    """Micrometres per pixel of its windows; None where nobody knows yet."""
    window_px: int | None = None
    kind: Kind
    id: str = ""
    """What requests name it by; empty before a catalogue has listed it."""
    checkpoint_sha256: str | None = None
    """Content hash of the checkpoint; None for what has no weights."""
    parameters: int | None = None
    prompt: str | None = None
    named_prompts: tuple[str, ...] = ()
    """Categories that it has learned to be asked for alone; see `napari_nunext.core.naming`."""
    taught_on_dab: tuple[str, ...] = ()
    """Categories beside positive and negative that it was taught on images like
    immunohistochemistry; see `napari_nunext.core.stains.telling`."""
    metrics: tuple[dict[str, Any], ...] = ()
    """Reference figures with the data they were measured on."""
    provenance: dict[str, Any] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """The fields of every description, whatever this one has besides, as they are."""
        return {f.name: getattr(self, f.name) for f in fields(ModelDescription)}

    def made_by(self, decoding: Mapping[str, Any]) -> dict[str, str]:
        """What files of its nuclei say: its name, its checkpoint, the arithmetic of the search."""
        said = {"model": self.name}
        if self.checkpoint_sha256 is not None:
            said["checkpoint"] = self.checkpoint_sha256
        if "dtype" in decoding:
            said["arithmetic"] = str(decoding["dtype"])
        return said

    def brief(self) -> ModelDescription:
        """Who it is, without figures and provenance: these stay with the checkpoint."""
        return replace(plain(self), metrics=(), provenance={})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        data = self.said()
        data["categories"] = [category.to_json() for category in self.categories]
        data["metrics"] = list(self.metrics)
        for name in _LATER:
            data[name] = list(data[name])
            if not data[name]:
                del data[name]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_json`; what is not there has its default."""
        return cls(**said_in(data))


def plain(model: ModelDescription) -> ModelDescription:
    """The description alone of one that says more."""
    return ModelDescription(**model.said())


def said_in(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a description, read from JSON that may hold more.

    Raises
    ------
    KeyError, TypeError, ValueError
        If one is missing or malformed.
    """
    known = {f.name for f in fields(ModelDescription)}
    read = {name: data[name] for name in known & (data.keys() | {"name", "family", "kind"})}
    if read["kind"] not in get_args(Kind):
        raise ValueError(f"a {read['kind']} is no kind of model")
    for name, convert in _CONVERT.items():
        if name not in read:
            continue
        if read[name] is not None:
            read[name] = convert(read[name])
        elif name not in _MAY_BE_NULL:
            raise ValueError(f"{name} is null")
    return read


def run_in_one_form(data: dict[str, Any]) -> dict[str, Any]:
    """What a run says of itself, with its model and segmenter as descriptions.

    Older projects and exports named both field by field (``model_id``, ``segmenter_sha256``); those
    of today are returned as they are.
    """
    if "model_id" not in data:
        return data
    rest = dict(data)
    model = {"id": rest.pop("model_id"), "name": rest.pop("model_name")}
    model |= {"kind": "detector", "family": NOT_KEPT}
    model |= {key: rest.pop(key) for key in ("checkpoint_sha256", "prompt", "window_px")}
    id_, sha256 = rest.pop("segmenter_id", None), rest.pop("segmenter_sha256", None)
    segmenter = {"id": id_, "name": id_, "kind": "segmenter", "family": NOT_KEPT}
    segmenter |= {"checkpoint_sha256": sha256}
    return {"extra": {}, "model": model, "segmenter": segmenter if id_ else None} | rest


def model_and_run(source: dict[str, Any]) -> tuple[ModelDescription | None, dict[str, Any]]:
    """Of a record's source, the model that was corrected and how it had searched.

    Older exports had both in one.
    """
    model, run = dict(source["model"]), dict(source.get("run", {}))
    if "model_id" in model:
        run = run_in_one_form(model)
        model = run.pop("model")
    return ModelDescription.from_json(model) if model else None, run


_LATER = ("named_prompts", "taught_on_dab")
"""Names that are not said where there are none: as it was before there were such fields."""

_CONVERT: dict[str, Any] = {
    "name": str,
    "family": str,
    "id": str,
    "checkpoint_sha256": str,
    "categories": lambda values: tuple(map(Category.from_json, values)),
    "mpp": float,
    "window_px": int,
    "parameters": int,
    "prompt": str,
    **{name: lambda values: tuple(map(str, values)) for name in _LATER},
    "metrics": lambda values: tuple(dict(m) for m in values),
    "provenance": dict,
}
_MAY_BE_NULL = {f.name for f in fields(ModelDescription) if f.default is None}
