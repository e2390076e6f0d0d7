"""Models as callers are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.models.detector import DetectorInfo
from napari_nunext.serving.protocol import CategoryInfo, ModelInfo

if TYPE_CHECKING:
    from napari_nunext.models.catalog import CatalogEntry
    from napari_nunext.models.segmenter import SegmenterInfo


def describe(entry: CatalogEntry, *, default: bool) -> ModelInfo:
    """What is told of a model, whether it can be served or not.

    Of a plugin that was not loaded yet, that is its name and where it comes from; see `completed`.
    """
    bare = ModelInfo(
        id=entry.id,
        name=entry.id,
        kind=entry.kind,
        family="unknown" if entry.offer is None else entry.offer.origin,
        checkpoint_sha256=None,
        problem=entry.problem,
        passing=entry.passing,
        default=default and entry.info is not None,
    )
    return bare if entry.info is None else _told(bare, entry.info)


def completed(model: ModelInfo, info: DetectorInfo | SegmenterInfo) -> ModelInfo:
    """The description of a model that was loaded, where that was not known before."""
    return _told(model, info) if model.window_px is None else model


def _told(bare: ModelInfo, info: DetectorInfo | SegmenterInfo) -> ModelInfo:
    detector = info if isinstance(info, DetectorInfo) else None
    return bare.model_copy(
        update={
            "name": info.name,
            "family": info.family,
            "checkpoint_sha256": info.checkpoint_sha256,
            "categories": [
                CategoryInfo(name=c.name, color=c.color)
                for c in (detector.categories if detector else ())
            ],
            "mpp": info.mpp,
            "window_px": info.window_px,
            "parameters": info.parameters,
            "prompt": detector.prompt if detector else None,
            "metrics": list(info.metrics),
            "provenance": info.provenance,
        }
    )
