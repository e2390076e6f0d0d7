"""What a project knows of: images, and what models said of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import is_image_id
from napari_nunext.core.image.source import ScaleSource
from napari_nunext.core.model_description import ModelDescription, run_in_one_form
from napari_nunext.core.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.shapes.masks import Mask

RunStatus: TypeAlias = Literal["running", "complete", "cancelled", "interrupted"]
WindowFinish: TypeAlias = Literal["end", "limit"]
"""How a window ended: by itself, or cut off at the most nuclei that the model lists."""
FINAL_STATUSES: tuple[RunStatus, ...] = ("complete", "cancelled", "interrupted")

MPP_SOURCES: tuple[ScaleSource, ...] = get_args(ScaleSource)
"""Where a scale comes from: the file's metadata, a person, or the default of the preferences."""


def check_mpp_source(source: str) -> str:
    """Return `source` if it is one of `MPP_SOURCES`, else raise `InputError`."""
    if source not in MPP_SOURCES:
        raise InputError(
            f"A scale comes from {source!r}; expected one of {', '.join(MPP_SOURCES)}."
        )
    return source


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image of the project, known by its content."""

    sha256: str
    """Its id (`napari_nunext.core.identity`): for a tile, the SHA-256 of its pixels, hex."""
    path: str
    """Where it was last opened. Files may move; the hash stays."""
    name: str
    width_px: int
    height_px: int
    mpp: float
    """Micrometres per level-0 pixel."""
    mpp_source: str
    """One of `MPP_SOURCES`."""
    patient: str | None = None
    """Key of training splits, or None where it is not known."""

    def __post_init__(self) -> None:
        if not is_image_id(self.sha256):
            raise InputError(
                f"Image hash {self.sha256!r} is not a SHA-256; expected 64 hex digits."
            )
        if self.width_px < 1 or self.height_px < 1:
            raise InputError(
                f"{self.name} is {self.width_px} x {self.height_px} px; expected at least 1 x 1."
            )
        check_mpp(self.mpp, self.name)
        check_mpp_source(self.mpp_source)

    @property
    def box(self) -> Box:
        """The whole image."""
        return Box.of_image(self.width_px, self.height_px)


@dataclass(frozen=True, slots=True)
class Origin:
    """What an export says of whose an image is, and on which side of a split it stands."""

    patient: str
    """Key of the split, as the export has it."""
    split: Split
    tissue: str | None = None
    """Organ or tissue, where it is known."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(f"Split {self.split!r} is unknown; expected {', '.join(SPLITS)}.")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Everything a prediction must remember of how it was made."""

    model: ModelDescription
    """In brief: figures and provenance stay with the checkpoint, which its hash names."""
    decoding: dict[str, Any]
    mpp: float
    """Micrometres per level-0 pixel that the run was told."""
    codec_version: int
    region: Box
    """What of the image was searched, level-0 px."""
    segmenter: ModelDescription | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Further provenance, as JSON values."""

    def __post_init__(self) -> None:
        check_mpp(self.mpp, "The run")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model.to_json(),
            "decoding": self.decoding,
            "mpp": self.mpp,
            "codec_version": self.codec_version,
            "region": list(self.region.as_tuple()),
            "segmenter": None if self.segmenter is None else self.segmenter.to_json(),
            "extra": self.extra,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunInfo:
        """Inverse of `to_json`; older runs by `run_in_one_form`."""
        data = run_in_one_form(data)
        segmenter = data["segmenter"]
        return cls(
            model=ModelDescription.from_json(data["model"]),
            decoding=dict(data["decoding"]),
            mpp=data["mpp"],
            codec_version=data["codec_version"],
            region=Box.from_sequence(data["region"]),
            segmenter=None if segmenter is None else ModelDescription.from_json(segmenter),
            extra=dict(data["extra"]),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a model over one image, and its immutable predictions."""

    run_id: str
    image_sha256: str
    info: RunInfo
    status: RunStatus
    annotator: str
    """Who started it."""
    started_utc: datetime
    nuclei: Predictions = field(default_factory=Predictions.of)
    """In the order the model gave them, with their masks where they have one."""
    hidden: frozenset[UUID] = frozenset()
    """Predictions the server took back at a seam: another sighting stands for that nucleus."""


@dataclass(frozen=True, slots=True)
class RunWindow:
    """What a run found in a window, once it is done with it."""

    number: int
    """Of the window in the run's plan, from 0."""
    nuclei: Predictions
    """All that was found there, whatever the seams made of it; their uids are those of
    `napari_nunext.core.uids.uids_in_windows`."""
    finish: WindowFinish = "end"


@dataclass(frozen=True, slots=True)
class RunFound:
    """What a run has found since it was last recorded."""

    windows: Sequence[RunWindow] = ()
    """Those that it is done with since."""
    hidden: Collection[UUID] = ()
    """Predictions that the server took back at a seam."""
    back: Collection[UUID] = ()
    """Predictions that it had taken back, and that stand again."""
    masks: Mapping[UUID, Mask] = field(default_factory=dict)
    """Of predictions that have none yet."""


def check_predictions(parts: Sequence[Predictions]) -> None:
    """Raise `InputError` unless all nuclei are what a model may say."""
    if not parts:
        return
    points_xy = np.concatenate([part.points_xy for part in parts])
    confidence = np.concatenate([part.confidence for part in parts])
    far = ~np.isfinite(points_xy).all(axis=1)
    if far.any():
        x_px, y_px = points_xy[far][0].tolist()
        raise InputError(f"A prediction lies at ({x_px}, {y_px}); expected finite pixels.")
    odd = (confidence < 0) | (confidence > 1)
    if odd.any():
        raise InputError(f"A prediction has confidence {confidence[odd][0]}; expected 0 to 1.")
    error_um = np.concatenate([part.position_error_um for part in parts])
    odd = (error_um < 0) | np.isinf(error_um)
    if odd.any():
        raise InputError(
            f"A prediction has a position error of {error_um[odd][0]} um; expected 0 or more."
        )
