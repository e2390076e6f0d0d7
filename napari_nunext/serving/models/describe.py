"""Models as callers are told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.model_description import ModelDescription
from napari_nunext.serving.protocol import ModelInfo

if TYPE_CHECKING:
    from napari_nunext.models.catalog import CatalogEntry


def describe(entry: CatalogEntry, *, default: bool) -> ModelInfo:
    """What is told of a model, whether it can be served or not.

    Of a plugin that was not loaded yet, that is its name and where it comes from; see `completed`.
    """
    origin = "unknown" if entry.offer is None else entry.offer.origin
    told = entry.info or ModelDescription(entry.id, origin, kind=entry.kind)
    return ModelInfo(
        **told.said() | {"id": entry.id},
        problem=entry.problem,
        passing=entry.passing,
        default=default and entry.info is not None,
    )


def completed(model: ModelInfo, info: ModelDescription) -> ModelInfo:
    """The description of a model that was loaded, where that was not known before."""
    if model.window_px is not None:
        return model
    return replace(model, **info.said() | {"id": model.id})
