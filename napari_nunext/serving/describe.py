"""Models as callers are told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.models.detector import DetectorInfo
from napari_nunext.serving.protocol import CategoryInfo, ModelInfo

if TYPE_CHECKING:
    from napari_nunext.models.catalog import CatalogEntry


def describe(entry: CatalogEntry, *, default: bool) -> ModelInfo:
    """What is told of a model, whether it can be served or not."""
    info = entry.info
    if info is None:
        return ModelInfo(
            id=entry.id,
            name=entry.id,
            kind=entry.kind,
            family="unknown",
            checkpoint_sha256=None,
            problem=entry.problem,
        )
    detector = info if isinstance(info, DetectorInfo) else None
    return ModelInfo(
        id=entry.id,
        name=info.name,
        kind=entry.kind,
        family=info.family,
        checkpoint_sha256=info.checkpoint_sha256,
        categories=[
            CategoryInfo(name=c.name, color=c.color)
            for c in (detector.categories if detector else ())
        ],
        mpp=info.mpp,
        window_px=info.window_px,
        parameters=info.parameters,
        prompt=detector.prompt if detector else None,
        metrics=list(info.metrics),
        provenance=info.provenance,
        problem=entry.problem,
        default=default,
    )
