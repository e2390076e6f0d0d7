"""What a checkpoint says of itself, and whether to believe it.

A checkpoint is a Hugging Face folder, loadable as it is, with ``nunext.json`` beside the weights. A
detector's description names the tokens that its points are written in; a segmenter's only its
windows. Everything here reads JSON and file sizes: torch and transformers are not imported.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_nunext.core.answers import NUCLEUS_INSTRUCTION
from napari_nunext.core.codec import (
    SEPARATOR_TEXT,
    Codec,
    category_token,
    coordinate_token,
    latent_token,
)
from napari_nunext.core.errors import CalibrationError, CheckpointError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.json_text import parse_json
from napari_nunext.core.nuclei import UNCATEGORISED, Category, default_categories
from napari_nunext.models.atomic import AtomicPoints, check_head_file
from napari_nunext.models.detector import DetectorInfo
from napari_nunext.models.segmenter import SegmenterInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 1
"""Version of ``nunext.json``; another one is refused."""

FILE_NAME = "nunext.json"

SMALLEST_NUCLEUS_UM2 = 16.0
"""Area that `default_max_points` grants each nucleus; lymphocytes in a dense follicle need more."""

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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
    data = _read_json(
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


def check_weight_files(folder: Path) -> None:
    """Raise `CheckpointError` unless `folder` has its config and all its safetensors weights."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder.name} has no config.json. Copy the whole folder of the checkpoint."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(_read_json(index).get("weight_map", {}).values()))
        missing = [s for s in shards if not (folder / s).is_file()]
        if missing or not shards:
            raise CheckpointError(
                f"{folder.name} lacks {len(missing)} of {len(shards)} weight files"
                f"{f' (first: {missing[0]})' if missing else ''}. Copy the whole folder again."
            )
    elif not (folder / "model.safetensors").is_file():
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
        if pickled:
            raise CheckpointError(
                f"{folder.name} has only pickled weights ({pickled[0]}), which can run code when "
                "loaded and are refused. Export the checkpoint with safetensors."
            )
        raise CheckpointError(
            f"{folder.name} has no model.safetensors. Copy the whole folder of the checkpoint."
        )


def check_token_ids(folder: Path, codec: Codec) -> None:
    """Raise `CheckpointError` unless the tokenizer in `folder` has every token at the codec's id.

    A tokenizer that was changed or mixed up would otherwise turn every point into another one.
    """
    data = _read_json(
        folder / "tokenizer.json",
        missing=f"{folder.name} has no tokenizer.json. Copy the whole folder of the checkpoint.",
    )
    ids = dict(data.get("model", {}).get("vocab", {}))
    ids |= {token["content"]: token["id"] for token in data.get("added_tokens", [])}
    for text, expected in token_ids(codec).items():
        if ids.get(text) != expected:
            raise CheckpointError(
                f"{folder.name}: the tokenizer has {text!r} at {ids.get(text, 'no id')}, but "
                f"{FILE_NAME} says {expected}. Export the checkpoint again."
            )
    if codec.end_id not in ids.values():
        raise CheckpointError(
            f"{folder.name}: the end token {codec.end_id} of {FILE_NAME} is not in the tokenizer. "
            "Export the checkpoint again."
        )


def token_ids(codec: Codec) -> dict[str, int]:
    """Every token of the codec that has a fixed text, and the id it must have."""
    expected = {coordinate_token(i): codec.coordinate_start_id + i for i in range(codec.bins)}
    expected |= {latent_token(i): token for i, token in enumerate(codec.latent_ids)}
    expected |= {category_token(i): token for i, token in enumerate(codec.category_ids)}
    return expected | {SEPARATOR_TEXT: codec.separator_id}


_hashes: dict[str, tuple[int, int, str]] = {}


def checkpoint_sha256(folder: Path) -> str:
    """SHA-256 over the files of a checkpoint, hex.

    Hashed are, in the order of their relative paths, each file's path and the SHA-256 of its bytes.
    Hidden files, and whole hidden folders, do not count. Hashes of files are remembered for the
    life of the process while size and modification time stay.

    Raises
    ------
    CheckpointError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; expected a checkpoint.")
    digest = hashlib.sha256()
    files = {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}
    for relative in sorted(files, key=lambda p: p.as_posix()):
        if not any(part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{_cached_sha256(files[relative])}\n".encode())
    return digest.hexdigest()


def _cached_sha256(path: Path) -> str:
    stat, key = path.stat(), str(path.resolve())
    known = _hashes.get(key)
    if known is None or known[:2] != (stat.st_mtime_ns, stat.st_size):
        known = _hashes[key] = (stat.st_mtime_ns, stat.st_size, file_sha256(path))
    return known[2]


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


def _read_json(path: Path, *, missing: str | None = None) -> dict[str, Any]:
    try:
        data = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(missing or f"{path.name} is missing.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} of {path.parent.name} cannot be read ({error}). "
            "Copy the checkpoint again."
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path.name} of {path.parent.name} is not a JSON object.")
    return data


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
