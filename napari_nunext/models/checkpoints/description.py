"""What a checkpoint says of itself, and whether to believe it.

A checkpoint is a Hugging Face folder, loadable as it is, with ``nunext.json`` beside the weights. A
detector's description names the tokens that its points are written in; a segmenter's only its
windows. Everything here reads JSON and file sizes: torch and transformers are not imported.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import CalibrationError, CheckpointError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.model_description import ModelDescription, said_in
from napari_nunext.core.nuclei import UNCATEGORISED, Category, default_categories
from napari_nunext.core.scores.calibration import CALIBRATED, CONFIDENCE, Calibration
from napari_nunext.core.scores.position_error import PositionCalibration
from napari_nunext.models.checkpoints.atomic_points import AtomicPoints, check_head_file
from napari_nunext.models.checkpoints.integrity import (
    FILE_NAME,
    check_token_ids,
    check_weight_files,
    read_json,
)
from napari_nunext.models.checkpoints.second_look import (
    CATEGORIES,
    FIRST_LOOK,
    SecondLook,
    check_look_file,
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
class CheckpointDescription(DetectorInfo):
    """A detector's ``nunext.json``: what it is, and the tokens that its points are written in.

    Parameters
    ----------
    name, family, mpp, halo_um, image_tokens, parameters, metrics
        As `DetectorInfo`.
    codec : Codec
        How points become tokens; also carries the window's side and the category names.
    max_points : int
        A window is cut off after this many.
    prompt : str
        The instruction.
    named_prompts : tuple of str
        Categories that it has learned to be asked for alone, in place of "nucleus".
    taught_on_dab : tuple of str
        Categories beside positive and negative that it was taught on immunohistochemistry.
    categories : tuple of Category
        Empty for a checkpoint without categories, otherwise named as in the codec.
    provenance : dict
        Recipe, hashes of the data, SHA-256 of the parent checkpoint, steps.
    atomic : AtomicPoints, optional
        None without a head for them.
    second_look : SecondLook, optional
        None where categories are those that the model writes.
    calibration : Calibration, optional
        None where nobody measured what its confidence means.
    position_calibration : PositionCalibration, optional
        None where nobody measured how far off its points are.
    """

    _: KW_ONLY
    categories: tuple[Category, ...] = ()
    window_px: int = field(init=False)
    prompt: str = NUCLEUS_INSTRUCTION
    codec: Codec
    max_points: int
    atomic: AtomicPoints | None = None
    second_look: SecondLook | None = None
    calibration: Calibration | None = None
    position_calibration: PositionCalibration | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_px", self.codec.window_px)
        _check_scale(self.mpp)
        window_um = self.window_px * self.mpp
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
        if not set(self.named_prompts) <= set(names):
            raise CheckpointError(
                f"The prompts {self.named_prompts} name categories that the checkpoint does not "
                f"know; expected some of {names}."
            )
        if self.second_look is not None:
            self.second_look.check(self.codec)

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        positions = self.position_calibration
        return (
            _in_file(self)
            | {
                "codec": self.codec.to_json(),
                "halo_um": self.halo_um,
                "image_tokens": self.image_tokens,
                "max_points": self.max_points,
                "atomic": None if self.atomic is None else self.atomic.to_json(),
                "calibration": None if self.calibration is None else self.calibration.to_json(),
            }
            | ({} if positions is None else {"position_calibration": positions.to_json()})
            | ({} if self.second_look is None else {"second_look": self.second_look.to_json()})
        )

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
                **_from_file(data, "categories", "instruction"),
                codec=Codec.from_json(data["codec"]),
                halo_um=float(data["halo_um"]),
                image_tokens=int(data["image_tokens"]),
                max_points=int(data["max_points"]),
                atomic=AtomicPoints.from_json(data.get("atomic")),
                second_look=SecondLook.from_json(data.get("second_look")),
                calibration=Calibration.from_json(data.get("calibration")),
                position_calibration=PositionCalibration.from_json(
                    data.get("position_calibration")
                ),
            )

        return _read_as("detector", data, read)

    def info(self, checkpoint_sha256: str | None, **decoding: Any) -> DetectorInfo:
        """What a caller of the detector must know.

        Who looks at categories a second time says so in `decoding`.
        """
        known = self.said() | {
            "categories": self.categories or default_categories([UNCATEGORISED]),
            "checkpoint_sha256": checkpoint_sha256,
        }
        meaning = {} if self.calibration is None else {CONFIDENCE: CALIBRATED}
        looks = {} if self.second_look is None else {CATEGORIES: FIRST_LOOK}
        return DetectorInfo(
            **known,
            halo_um=self.halo_um,
            image_tokens=self.image_tokens,
            decoding={"max_points": self.max_points} | meaning | looks | decoding,
        )


@dataclass(frozen=True, slots=True)
class SegmenterDescription(SegmenterInfo):
    """A segmenter's ``nunext.json``."""

    def __post_init__(self) -> None:
        _check_scale(self.mpp)
        if self.window_px < 2:
            raise CheckpointError(f"window_px is {self.window_px}; expected 2 or more.")

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        return _in_file(self) | ({"reads_outlines": True} if self.reads_outlines else {})

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SegmenterDescription:
        """Inverse of `to_json`; raises `CheckpointError` as the detector's does."""

        def read() -> SegmenterDescription:
            return cls(
                **_from_file(data, "window_px"),
                window_px=int(data["window_px"]),
                reads_outlines=bool(data.get("reads_outlines", False)),
            )

        return _read_as("segmenter", data, read)

    def info(self, checkpoint_sha256: str | None) -> SegmenterInfo:
        """What a caller of the segmenter must know."""
        return SegmenterInfo(
            **self.said() | {"checkpoint_sha256": checkpoint_sha256},
            reads_outlines=self.reads_outlines,
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
        if description.second_look is not None:
            check_look_file(folder, description.second_look)
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


def _in_file(model: ModelDescription) -> dict[str, Any]:
    """What ``nunext.json`` says of any model. Id and hash are given by whoever looks at it."""
    data = {"schema_version": SCHEMA_VERSION} | ModelDescription.to_json(model)
    del data["id"], data["checkpoint_sha256"]
    data["instruction"] = data.pop("prompt")  # the file's word for it from the first
    return data


def _from_file(data: dict[str, Any], *needed: str) -> dict[str, Any]:
    """Inverse of `_in_file`; windows have a side of their own."""
    for name in ("mpp", "parameters", "metrics", "provenance", *needed):
        data[name]
    read = said_in(data | {"prompt": data.get("instruction")})
    return {name: value for name, value in read.items() if name not in _GIVEN}


_GIVEN = ("id", "checkpoint_sha256", "window_px")


def _check_scale(mpp: float) -> None:
    try:
        check_mpp(mpp, "The checkpoint")
    except CalibrationError as error:
        raise CheckpointError(str(error)) from error
