"""What stands in front of a model card for the Hub's readers: all of it out of ``nunext.json``.

Tags, licence and whatever else a text says for itself stay as they are; task, data and figures are
written anew, so that there is one source of a figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.description import CheckpointDescription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.models.checkpoints.description import Description

_FENCE = "---\n"

_FIGURES = {
    "f1": ("f1", "F1"),
    "precision": ("precision", "Precision"),
    "recall": ("recall", "Recall"),
    "f1_mean_of_categories": ("f1", "F1, mean of categories"),
    "aji": ("aji", "AJI"),
    "pq": ("pq", "PQ"),
}
"""Of what a description states: the Hub's kind of metric, and its name for people."""

_OF_MASKS = ("aji", "pq")


def with_front_matter(card: str, description: Description) -> str:
    """The card with its front matter written anew from the description.

    Parameters
    ----------
    card : str
        Text that begins with front matter or without; what it says of other keys stays.
    description : CheckpointDescription or SegmenterDescription

    Raises
    ------
    InputError
        If the card's own front matter is not YAML between two lines of dashes.
    """
    said, text = split_card(card)
    said |= {"library_name": "transformers", "pipeline_tag": pipeline_tag(description)}
    if trained_on := _importers(description.provenance):
        said["datasets"] = trained_on
    results = eval_results(description) or None
    data = ModelCardData(model_name=description.name, eval_results=results, **said)
    return f"{_FENCE}{data.to_yaml()}\n{_FENCE}{text}"


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card; no front matter is an empty one.

    Raises
    ------
    InputError
        If what is in front is not YAML, or not a table.
    """
    card = card.replace("\r\n", "\n")
    if not card.startswith(_FENCE):
        return {}, card
    try:
        if f"\n{_FENCE}" not in card:
            raise ValueError("it has no end")
        read: Any = ModelCard(card, ignore_metadata_errors=True)
        said: dict[str, Any] = read.data.to_dict()
    except Exception as error:  # YAML's and the Hub's own
        raise InputError(
            f"The front matter of the model card cannot be read ({error}). Write it as YAML "
            "between two lines of three dashes."
        ) from error
    said.pop("model-index", None)
    text: str = read.text
    return said, text.removeprefix("\n")


def pipeline_tag(description: Description) -> str:
    """The Hub's name of what the model does."""
    detects = isinstance(description, CheckpointDescription)
    return "image-text-to-text" if detects else "mask-generation"


def eval_results(description: Description) -> list[EvalResult]:
    """The figures of a description, one for each metric and data set, as the Hub keeps them."""
    found = []
    for figures in description.metrics:
        sets = figures.get("data")
        name = str(sets[0].get("importer", "data")) if sets else "data"
        for key, (kind, words) in _FIGURES.items():
            if figures.get(key) is None:
                continue
            masks = key in _OF_MASKS
            found.append(
                EvalResult(
                    task_type="image-segmentation" if masks else "object-detection",
                    task_name="Masks of nuclei" if masks else "Nuclei as points",
                    dataset_type=name,
                    dataset_name=name,
                    dataset_split=str(figures.get("split", "val")),
                    metric_type=kind,
                    metric_name=f"{words}{_of_masks(figures) if masks else _of_points(figures)}",
                    metric_value=figures[key],
                )
            )
    return found


def _of_points(figures: Mapping[str, Any]) -> str:
    """How points were matched, and in which arithmetic, where it is known."""
    matched = f", {figures['matching']} matching" if "matching" in figures else ""
    within = f" within {figures['radius_um']:g} um" if "radius_um" in figures else ""
    return f"{matched}{within}{_arithmetic(figures)}"


def _of_masks(figures: Mapping[str, Any]) -> str:
    """At which points masks were drawn, and in which arithmetic, where it is known."""
    return f" {figures.get('points_of_masks', '')}".rstrip() + _arithmetic(figures)


def _arithmetic(figures: Mapping[str, Any]) -> str:
    return f", {figures['dtype']}" if "dtype" in figures else ""


def _importers(provenance: Mapping[str, Any]) -> list[str]:
    """Published sets that the weights were trained on, in the order in which they were given."""
    data = provenance.get("data") or ()
    return list(dict.fromkeys(str(d["importer"]) for d in data if "importer" in d))
