"""What a checkpoint says of itself, and whether to believe it.

A checkpoint is a Hugging Face folder, loadable as it is, with ``nunext.json`` beside the weights. A
detector's description names the tokens that its points are written in; a segmenter's only its
windows. Everything here reads JSON and file sizes: torch and transformers are not imported.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_nunext.core.answers import NUCLEUS_INSTRUCTION
from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import CalibrationError, CheckpointError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.nuclei import UNCATEGORISED, Category, default_categories
from napari_nunext.models.checkpoints.atomic_points import AtomicPoints, check_head_file
from napari_nunext.models.checkpoints.integrity import (
    FILE_NAME,
    check_token_ids,
    check_weight_files,
    read_json,
)
from napari_nunext.models.detector import DetectorInfo
from napari_nunext.models.segmenter import SegmenterInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 1
"""Version of ``nunext.json``; another one is refused."""

SMALLEST_NUCLEUS_UM2 = 16.0
"""Area that `default_max_points` grants each nucleus; lymphocytes in a dense follicle need more."""


@dataclass(frozen=True, slots=True)
class CheckpointDescription:
    """A detector's ``nunext.json``.

    Parameters
    ----------
    name : str
        For people.
    family : str
        Key of `napari_nunext.models.families`.
    codec : Codec
        How points become tokens; also carries the window's side and the category names.
    mpp : float
        Micrometres per pixel of the windows.
    halo_um : float
        How far from a window's edge its nuclei can be trusted.
    image_tokens : int
        Visual tokens that one window costs.
    max_points : int
        A window is cut off after this many.
    instruction : str
        The prompt.
    categories : tuple of Category
        Empty for a checkpoint without categories, otherwise named as in the codec.
    parameters : int
        Number of weights.
    metrics : tuple of dict
        Reference figures, each with the data it was measured on.
    provenance : dict
        Recipe, hashes of the data, SHA-256 of the parent checkpoint, steps.
    atomic : AtomicPoints, optional
        None without a head for them.
    """

    name: str
    family: str
    codec: Codec
    mpp: float
    halo_um: float
    image_tokens: int
    max_points: int
    instruction: str = NUCLEUS_INSTRUCTION
    categories: tuple[Category, ...] = ()
    parameters: int | None = None
    metrics: tuple[dict[str, Any], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    atomic: AtomicPoints | None = None

    def __post_init__(self) -> None:
        _check_scale(self.mpp)
        window_um = self.codec.window_px * self.mpp
        if not 0 <= 2 * self.halo_um < window_um:
            raise CheckpointError(
                f"A halo of {self.halo_um:g} um leaves no core in a window of {window_um:g} um; "
                "expected less than half of it."
            )
        if self.max_points < 1:
            raise CheckpointError(f"max_points is {self.max_points}; expected 1 or more.")
        names = tuple(c.name for c in self.categories)
        if names != self.codec.category_names:
            raise CheckpointError(
                f"The categories {names} differ from the codec's {self.codec.category_names}; "
                "expected the same names in the same order."
            )

    @property
    def window_px(self) -> int:
        """Side of the window."""
        return self.codec.window_px

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "detector",
            "name": self.name,
            "family": self.family,
            "codec": self.codec.to_json(),
            "mpp": self.mpp,
            "halo_um": self.halo_um,
            "image_tokens": self.image_tokens,
            "max_points": self.max_points,
            "instruction": self.instruction,
            "categories": [{"name": c.name, "color": list(c.color)} for c in self.categories],
            "parameters": self.parameters,
            "metrics": list(self.metrics),
            "provenance": self.provenance,
            "atomic": None if self.atomic is None else self.atomic.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CheckpointDescription:
        """Inverse of `to_json`.

        Raises
        ------
        CheckpointError
            If the schema or codec version is foreign, or a field is missing or malformed.
        """

        def read() -> CheckpointDescription:
            return cls(
                name=str(data["name"]),
                family=str(data["family"]),
                codec=Codec.from_json(data["codec"]),
                mpp=float(data["mpp"]),
                halo_um=float(data["halo_um"]),
                image_tokens=int(data["image_tokens"]),
                max_points=int(data["max_points"]),
                instruction=str(data["instruction"]),
                categories=tuple(_category(c) for c in data["categories"]),
                parameters=_count(data["parameters"]),
                metrics=tuple(dict(m) for m in data["metrics"]),
                provenance=dict(data["provenance"]),
                atomic=AtomicPoints.from_json(data.get("atomic")),
            )

        return _read_as("detector", data, read)

    def info(self, checkpoint_sha256: str | None, **decoding: Any) -> DetectorInfo:
        """What a caller of the detector must know."""
        return DetectorInfo(
            name=self.name,
            family=self.family,
            categories=self.categories or default_categories([UNCATEGORISED]),
            mpp=self.mpp,
            window_px=self.window_px,
            halo_um=self.halo_um,
            image_tokens=self.image_tokens,
            checkpoint_sha256=checkpoint_sha256,
            prompt=self.instruction,
            decoding={"max_points": self.max_points} | decoding,
            parameters=self.parameters,
            metrics=self.metrics,
            provenance=self.provenance,
        )


@dataclass(frozen=True, slots=True)
class SegmenterDescription:
    """A segmenter's ``nunext.json``; fields as in `CheckpointDescription`."""

    name: str
    family: str
    mpp: float
    window_px: int
    parameters: int | None = None
    metrics: tuple[dict[str, Any], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_scale(self.mpp)
        if self.window_px < 2:
            raise CheckpointError(f"window_px is {self.window_px}; expected 2 or more.")

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "segmenter",
            "name": self.name,
            "family": self.family,
            "mpp": self.mpp,
            "window_px": self.window_px,
            "parameters": self.parameters,
            "metrics": list(self.metrics),
            "provenance": self.provenance,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SegmenterDescription:
        """Inverse of `to_json`; raises `CheckpointError` as the detector's does."""

        def read() -> SegmenterDescription:
            return cls(
                name=str(data["name"]),
                family=str(data["family"]),
                mpp=float(data["mpp"]),
                window_px=int(data["window_px"]),
                parameters=_count(data["parameters"]),
                metrics=tuple(dict(m) for m in data["metrics"]),
                provenance=dict(data["provenance"]),
            )

        return _read_as("segmenter", data, read)

    def info(self, checkpoint_sha256: str | None) -> SegmenterInfo:
        """What a caller of the segmenter must know."""
        return SegmenterInfo(
            name=self.name,
            family=self.family,
            mpp=self.mpp,
            window_px=self.window_px,
            checkpoint_sha256=checkpoint_sha256,
            parameters=self.parameters,
            metrics=self.metrics,
            provenance=self.provenance,
        )


Description: TypeAlias = CheckpointDescription | SegmenterDescription


def default_max_points(window_px: int, mpp: float) -> int:
    """How many nuclei fit a window when each has `SMALLEST_NUCLEUS_UM2`; at least 16."""
    return max(16, math.ceil((window_px * mpp) ** 2 / SMALLEST_NUCLEUS_UM2))


def describe(folder: Path) -> Description:
    """Description of the checkpoint in `folder`, detector or segmenter, after checking the folder.

    Raises
    ------
    CheckpointError
        If there is no ``nunext.json``, if it is malformed or of a foreign schema or codec version,
        if weights are missing or pickled, or if the tokenizer's ids are not the codec's.
    """
    data = read_json(
        folder / FILE_NAME,
        missing=f"{folder.name} is not a NuNext checkpoint: it has no {FILE_NAME}. Choose a folder "
        "made by nunext-train.",
    )
    description: Description
    if data.get("kind") == "segmenter":
        description = SegmenterDescription.from_json(data)
    else:
        description = CheckpointDescription.from_json(data)
    check_weight_files(folder)
    if isinstance(description, CheckpointDescription):
        check_token_ids(folder, description.codec)
        if description.atomic is not None:
            check_head_file(folder)
    return description


def read_description(folder: Path) -> CheckpointDescription:
    """Description of the detector in `folder`; raises `CheckpointError` as `describe` does."""
    description = describe(folder)
    if not isinstance(description, CheckpointDescription):
        raise CheckpointError(f"{folder.name} is a segmenter; expected a detector's checkpoint.")
    return description


def read_segmenter_description(folder: Path) -> SegmenterDescription:
    """Description of the segmenter in `folder`; raises `CheckpointError` as `describe` does."""
    description = describe(folder)
    if not isinstance(description, SegmenterDescription):
        raise CheckpointError(f"{folder.name} is a detector; expected a segmenter's checkpoint.")
    return description


def write_description(folder: Path, description: Description) -> None:
    """Write ``nunext.json`` into `folder`, replacing an earlier one in one step."""
    text = json.dumps(description.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    part = folder / (FILE_NAME + ".part")
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / FILE_NAME)


def _read_as(kind: str, data: dict[str, Any], read: Callable[[], Any]) -> Any:
    """Check version and kind, then `read`, telling what is malformed."""
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{FILE_NAME} has schema version {version}; this version of napari-nunext reads "
            f"version {SCHEMA_VERSION}. Use a matching release, or export the checkpoint again."
        )
    if data.get("kind") != kind:
        raise CheckpointError(f"{FILE_NAME} describes a {data.get('kind')}; expected a {kind}.")
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{FILE_NAME} is malformed ({error!r}). Export the checkpoint again."
        ) from error


def _category(data: dict[str, Any]) -> Category:
    red, green, blue = (int(v) for v in data["color"])
    return Category(str(data["name"]), (red, green, blue))


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


def _check_scale(mpp: float) -> None:
    try:
        check_mpp(mpp, "The checkpoint")
    except CalibrationError as error:
        raise CheckpointError(str(error)) from error
