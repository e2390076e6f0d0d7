"""What a model is and what it reached, in the few lines of a tooltip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nunext.serving.protocol import ModelInfo


FOLDER = "folder"
"""What a model says of data that has no name."""


def model_tip(model: ModelInfo) -> str:
    """What the model is; where it cannot be used, why."""
    if model.problem is not None:
        return model.problem
    lines = [_kind(model)]
    names = [category.name for category in model.categories]
    if names:
        lines.append("Finds " + ", ".join(names))
    lines += [_figure(figures) for figures in model.metrics if figures.get("f1") is not None]
    return "\n".join(lines)


def trained_on(model: ModelInfo) -> str:
    """The data sets that a model says it was trained on; empty where it does not name them all."""
    data = model.provenance.get("data")
    if not isinstance(data, list) or not all(isinstance(d, dict) for d in data):
        return ""
    names = list(dict.fromkeys(str(d.get("importer", "")) for d in data))
    return " and ".join(names) if all(name not in ("", FOLDER) for name in names) else ""


def _kind(model: ModelInfo) -> str:
    weights = model.parameters
    parts = [
        model.family,
        "" if weights is None else f"{_rounded(weights)} weights",
        f"made for {model.mpp or '?'} um/px",
    ]
    return ", ".join(part for part in parts if part)


def _rounded(count: int) -> str:
    """With the two digits that matter: 458 thousand, 3.6 million, 3.1 billion."""
    for size, word in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.2g} {word}" if count < 100 * size else f"{count // size} {word}"
    return str(count)


def _figure(figures: dict[str, Any]) -> str:
    """One reference figure, with what makes it comparable."""
    told = f"F1 {figures['f1']:.2f} on {_data(figures)}"
    if figures.get("radius_um") is not None:
        told += f", within {figures['radius_um']:g} um"
    if figures.get("f1_classical") is not None:
        told += f" (classical {figures['f1_classical']:.2f})"
    return told


def _data(figures: dict[str, Any]) -> str:
    data, split = figures.get("data"), figures.get("split")
    if isinstance(data, list):
        known = [str(d["importer"]) for d in data if isinstance(d, dict) and "importer" in d]
        data = " and ".join(known) or "its own data"
    return f"{data or 'its own data'}" + ("" if split is None else f", {split}")
