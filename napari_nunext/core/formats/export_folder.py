"""Reading an export folder back, with everything in it checked.

Checked are the files against their hashes in the manifest, and each record against its image and
the manifest: a record that passes can be trained on as it stands.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from napari_nunext.core.errors import MALFORMED, InputError, RecordError
from napari_nunext.core.formats.answer_records import (
    ANSWERS_FILE,
    FOR_TRAINERS,
    AnswerRecord,
    JudgedAnswerRecord,
)
from napari_nunext.core.formats.json_text import parse_json
from napari_nunext.core.formats.records import (
    MANIFEST_FILE,
    PREFERENCES_FILE,
    RFT_FILE,
    SFT_FILE,
    Manifest,
    PreferenceRecord,
    RftRecord,
    SftRecord,
)
from napari_nunext.core.geometry import Box, points_at
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_nunext.core.formats.records import JudgedPoint, RecordNucleus

    Record: TypeAlias = SftRecord | RftRecord | PreferenceRecord | AnswerRecord | JudgedAnswerRecord
    R = TypeVar("R", bound=Record)

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Export:
    """What an export folder holds, checked."""

    folder: Path
    manifest: Manifest
    sft: tuple[SftRecord, ...]
    rft: tuple[RftRecord, ...]
    preferences: tuple[PreferenceRecord, ...]
    answers: tuple[JudgedAnswerRecord, ...] = ()
    answers_for_trainers: Mapping[str, tuple[AnswerRecord, ...]] = field(default_factory=dict)
    """What trainers learn from them, by the file's name without suffix (`FOR_TRAINERS`)."""
    problems: tuple[str, ...] = ()
    """One sentence for each thing that was left out; empty after a strict reading."""
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Line of each record, by the name of its file and its id."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records of each file that do not hold."""

    def image_path(self, record: Record) -> Path:
        """The file of a record's image."""
        return self.folder / record.images[0]

    @property
    def words(self) -> str:
        """What it holds; a phrase."""
        images = f"{counted(len(self.sft), 'image')} with "
        nuclei = nuclei_in_words(sum(len(record.nuclei) for record in self.sft))
        answers = f" and {counted(len(self.answers), 'answer')}" if self.answers else ""
        return f"{images}{nuclei}{answers}"


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, by its manifest."""
    return (folder / MANIFEST_FILE).is_file()


def read_export(folder: Path, *, strict: bool = True) -> Export:
    """Read and check an export.

    Parameters
    ----------
    folder : Path
        The folder with ``manifest.json``.
    strict : bool
        Stop at the first thing that does not hold. Otherwise it is left out, and `Export.problems`
        says so: records whose image is missing or changed, that lie outside it, or whose category
        is unknown. A manifest that does not hold always stops.

    Raises
    ------
    RecordError
        Naming the file and, for a record, the line.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    reader = _Reader(folder, manifest, strict)
    return Export(
        folder,
        manifest,
        sft=tuple(reader.records(SFT_FILE, SftRecord.from_json)),
        rft=tuple(reader.records(RFT_FILE, RftRecord.from_json)),
        preferences=tuple(reader.records(PREFERENCES_FILE, PreferenceRecord.from_json)),
        answers=tuple(reader.records(ANSWERS_FILE, JudgedAnswerRecord.from_json)),
        answers_for_trainers={
            name: tuple(reader.records(f"{name}.jsonl", kind.from_json))
            for name, kind in FOR_TRAINERS.items()
        },
        problems=tuple(reader.problems),
        lines=reader.lines,
        left_out=reader.left_out,
    )


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises
    ------
    RecordError
        If the folder is not an export, or its manifest is malformed or of another schema.
    """
    path = folder / MANIFEST_FILE
    try:
        data = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecordError(
            f"{folder.name} is not an export: it has no {MANIFEST_FILE}. Choose the folder that an "
            "export made."
        ) from error
    except OSError as error:
        raise RecordError(f"{MANIFEST_FILE} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RecordError(f"{MANIFEST_FILE} is not JSON ({error}). Export again.") from error
    if not isinstance(data, dict):
        raise RecordError(f"{MANIFEST_FILE} is not a JSON object. Export again.")
    return Manifest.from_json(data)


def png_size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG in pixels, from its header alone.

    Raises
    ------
    RecordError
        If the file cannot be read or is not a PNG.
    """
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read ({error.strerror}).") from error
    if len(head) < 24 or head[:8] != _PNG_MAGIC or head[12:16] != b"IHDR":
        raise RecordError(f"{path.name} is not a PNG; the images of an export are.")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


class _Reader:
    """Checks files once and records one by one; collects or raises what does not hold."""

    def __init__(self, folder: Path, manifest: Manifest, strict: bool) -> None:
        self.folder = folder
        self.manifest = manifest
        self.strict = strict
        self.problems: list[str] = []
        self.lines: dict[tuple[str, str], int] = {}
        self.left_out: Counter[str] = Counter()
        self.categories = _category_names(manifest)
        self.intact = {name for name in manifest.files if self._is_intact(name)}
        self.sizes: dict[str, tuple[int, int]] = {}

    def records(self, name: str, parse: Callable[[dict[str, Any]], R]) -> Iterator[R]:
        """The records of a JSON Lines file that hold; none where the export has no such file."""
        path = self.folder / name
        if name not in self.manifest.files:
            if path.exists():
                self._problem(f"{name} is not in {MANIFEST_FILE}; it was added afterwards.")
            return
        if not path.is_file():
            return  # told when its hash was checked
        seen: set[str] = set()
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    record = parse(parse_json(line))
                    self._check(record, seen)
                except MALFORMED as error:
                    self._problem(f"{name} line {number}: {_words(error)}", error)
                    self.left_out[name] += 1
                    continue
                seen.add(record.id)
                self.lines[name, record.id] = number
                yield record

    def _check(self, record: Record, seen: set[str]) -> None:
        if record.id in seen:
            raise RecordError(f"record {record.id} stands twice.")
        image = record.images[0]
        if image not in self.intact:
            raise RecordError(f"its image {image} is missing, changed, or not in {MANIFEST_FILE}.")
        nuclei: Sequence[RecordNucleus] = ()
        if isinstance(record, SftRecord):
            nuclei = (*record.nuclei, *record.rejected)
        elif isinstance(record, RftRecord):
            nuclei = record.solution
            if record.rollout is not None:
                self._check_inside(record.rollout.points, image)
        elif isinstance(record, AnswerRecord):
            self._check_boxes(record, image)
        self._check_inside(nuclei, image)
        unknown = sorted({n.category for n in nuclei} - self.categories)
        if unknown:
            raise RecordError(
                f"category {', '.join(unknown)} is not in {MANIFEST_FILE}; it knows "
                f"{', '.join(sorted(self.categories)) or 'none'}."
            )

    def _image_box(self, image: str) -> Box:
        if image not in self.sizes:
            self.sizes[image] = png_size(self.folder / image)
        return Box.of_image(*self.sizes[image])

    def _check_boxes(self, record: AnswerRecord, image: str) -> None:
        whole = self._image_box(image)
        for each in record.boxes_px:
            if each.box.clipped_to(whole) != each.box:
                raise RecordError(
                    f"box {each.box.as_tuple()} reaches beyond {image} ({whole.width:g} x "
                    f"{whole.height:g} px)."
                )

    def _check_inside(self, points: Sequence[RecordNucleus | JudgedPoint], image: str) -> None:
        whole = self._image_box(image)
        width_px, height_px = self.sizes[image]
        points_xy = points_at(points)
        outside = np.flatnonzero(~whole.contains(points_xy))
        if outside.size:
            x, y = points_xy[outside[0]]
            raise RecordError(
                f"{outside.size} points lie outside {image} ({width_px} x {height_px} px), the "
                f"first at ({x:g}, {y:g})."
            )

    def _is_intact(self, name: str) -> bool:
        path = self.folder / name
        if not _stays_inside(name):
            self._problem(f"{MANIFEST_FILE} names {name!r}, which is outside the export.")
        elif not path.is_file():
            self._problem(f"{name} is missing; {MANIFEST_FILE} names it. Export again.")
        elif file_sha256(path) != self.manifest.files[name]:
            self._problem(f"{name} was changed after the export: its SHA-256 differs.")
        else:
            return True
        return False

    def _problem(self, sentence: str, cause: Exception | None = None) -> None:
        if self.strict:
            raise RecordError(sentence) from cause
        self.problems.append(sentence)


def _category_names(manifest: Manifest) -> frozenset[str]:
    try:
        return frozenset(str(c["name"]) for c in manifest.categories)
    except MALFORMED as error:
        raise RecordError(
            f"The categories in {MANIFEST_FILE} have no names ({error!r}). Export again."
        ) from error


def _stays_inside(name: str) -> bool:
    """Whether a path of the manifest is relative, in POSIX form, and does not climb out."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and not set(name) & set("\\:\0")
    )


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"misses {error}"
    if isinstance(error, InputError):
        return str(error)
    return f"is not a record ({error})"
