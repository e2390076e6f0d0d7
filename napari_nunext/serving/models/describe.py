"""Models as callers are told of them: nobody hears where on this machine a file lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.sentences import without_folders
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
        **_for_callers(told) | {"id": entry.id},
        problem=entry.problem,
        passing=entry.passing,
        default=default and entry.info is not None,
    )


def completed(model: ModelInfo, info: ModelDescription) -> ModelInfo:
    """The description of a model that was loaded, where that was not known before."""
    if model.window_px is not None:
        return model
    return replace(model, **_for_callers(info) | {"id": model.id})


def _for_callers(info: ModelDescription) -> dict[str, Any]:
    said = info.said()
    return said | {name: _json_without_folders(said[name]) for name in ("metrics", "provenance")}


def _json_without_folders(value: Any) -> Any:
    """The same JSON, of each path of this machine only its last name.

    A value that is a path may hold spaces, which `without_folders` cannot know in a sentence.
    """
    if isinstance(value, dict):
        return {key: _json_without_folders(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_json_without_folders(each) for each in value)
    if isinstance(value, str):
        for path in (PurePosixPath(value), PureWindowsPath(value)):
            if path.is_absolute() or path.parts[:1] == ("~",):
                return path.name
        return without_folders(value)
    return value
