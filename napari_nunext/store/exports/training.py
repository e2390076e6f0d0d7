"""Training data from a review: the folder that `napari_nunext.core.formats.records` describes.

Only regions that a person accepted go in, because only there does a missing point mean that there
is no nucleus; and only as long as their nuclei are those that the person saw or made, and nobody
has flagged the image (`FieldState.truth_regions`). Each becomes one image, cut at whole pixels
inside the region, with

- its corrected nuclei (``sft.jsonl``),
- the same as a solution, with the judged predictions of the run that people corrected
  (``rft.jsonl``), and
- the corrected reply against the model's own, where they differ (``preferences.jsonl``).

The last two need a run that was finished and searched the whole region.

Answers to questions that people judged stand beside them (`store.exports.answers`), whether or not
a region is complete.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from napari_nunext import __version__
from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION, points_text
from napari_nunext.core.errors import FreeTextError, InputError, RecordError
from napari_nunext.core.formats.flavours import flavoured
from napari_nunext.core.formats.identifying import identifying_words
from napari_nunext.core.formats.json_lines import write_jsonl
from napari_nunext.core.formats.records import (
    IMAGES_FOLDER,
    MANIFEST_FILE,
    PREFERENCES_FILE,
    RFT_FILE,
    SFT_FILE,
    Manifest,
    PreferenceRecord,
    RecordNucleus,
    RftRecord,
    SftRecord,
    Source,
    assistant_message,
    user_message,
)
from napari_nunext.core.geometry import Box, points_at
from napari_nunext.core.identity import check_identity, file_sha256
from napari_nunext.core.naming import can_name, instruction_for
from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.core.sentences import counted
from napari_nunext.store.exports.answers.files import AnswerFiles, files_of
from napari_nunext.store.exports.answers.gathering import JudgedAnswers, judged_answers
from napari_nunext.store.exports.files import marks_of
from napari_nunext.store.exports.folders import check_target, new_export_folder
from napari_nunext.store.exports.judging import Judged, judge
from napari_nunext.store.exports.regions import CompleteRegion, complete_regions
from napari_nunext.store.exports.splits import HELD_OUT_FRACTION, SPLIT_SEED, origins_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from napari_nunext.core.formats.flavours import Flavour, Record
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.store.entries import ImageEntry, Origin, RunInfo
    from napari_nunext.store.project import Project
    from napari_nunext.store.state.reviewed import ReviewedNucleus


WhichAnswers: TypeAlias = Literal["checked", "all", "none"]
"""Answers that go along: where nothing in their words looks as if it named somebody, in any case,
or not at all."""

FREE_TEXT = (
    "Questions, answers and comments are free text and leave as they were written. See that they "
    "name nobody before you give the export away."
)


@dataclass(slots=True)
class _Records:
    """What is gathered while regions are written."""

    answers: AnswerFiles
    corrections: int = 0
    sft: list[SftRecord] = field(default_factory=list)
    rft: list[RftRecord] = field(default_factory=list)
    preferences: list[PreferenceRecord] = field(default_factory=list)


def export_training(
    project: Project,
    out_dir: Path,
    *,
    images: Callable[[ImageEntry], ImageSource],
    annotators: Collection[str] | None = None,
    split_seed: int = SPLIT_SEED,
    val_fraction: float = HELD_OUT_FRACTION,
    flavour: Flavour | None = None,
    answers: WhichAnswers = "checked",
    regions: bool = True,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Write the complete regions and judged answers of a project, whole or not at all.

    Parameters
    ----------
    project : Project
    out_dir : Path
        Created; an earlier export there is replaced, anything else is left alone.
    images : callable
        Opens an image of the project, such as `ImageFinder.find`. Called once for each.
    annotators : collection of str, optional
        Whose corrections count; everyone's when None.
    split_seed : int
        Another seed gives another split.
    val_fraction : float
        Share of the patients (of the images, where patients are unknown) held out, in [0, 1).
        With one patient everything is for training. Images that came from an export keep the side
        that it says.
    flavour : {"trl", "ms-swift", "llama-factory"}, optional
        Also write the files as this trainer reads them.
    answers : {"checked", "all", "none"}
        Whether answers go along. Their words are free and may name people.
    regions : bool
        Whether complete regions go along. Without them, patients are split by the answers alone.
    clock : callable
        Gives the time in UTC.
    progress : callable
        Told after each image how many of how many are written.

    Raises
    ------
    RecordError
        If no region is complete and no answer judged, or an image cannot be read.
    FreeTextError
        If answers go along checked, and their words look as if they named somebody.
    ImageError
        If an image has other pixels than those that were reviewed.
    InputError
        If `out_dir` holds something else than an export, or `val_fraction` is out of range.
    StoreError
        If the disk is full or the folder cannot be written. An earlier export then stays.
    """
    if not 0 <= val_fraction < 1:
        raise InputError(f"The held-out share is {val_fraction}; expected from 0 to below 1.")
    out_dir = Path(out_dir)
    check_target(out_dir)
    complete = complete_regions(project, annotators) if regions else []
    judged = JudgedAnswers() if answers == "none" else judged_answers(project, annotators)
    _check_there_is_something(complete, judged)
    if answers == "checked" and (words := identifying_words(judged.texts())):
        raise FreeTextError(
            f"Of questions, answers and comments, {words}. Nothing was written. See whether "
            "they name anybody, for they leave with the export as they are."
        )
    used = {r.entry.sha256 for r in complete} | {j.entry.sha256 for j in judged.answers.values()}
    entries = [entry for entry in project.images() if entry.sha256 in used]
    origins = origins_of(
        project.uid, entries, project.origins(), seed=split_seed, val_fraction=val_fraction
    )
    with new_export_folder(out_dir) as folder:
        records = _Records(files_of(judged, origins))
        pictures = records.answers.pictures
        done, total = 0, len(complete) + len(pictures)
        for entry in entries:
            image = _checked_image(entry, images)
            for region in (r for r in complete if r.entry.sha256 == entry.sha256):
                _write_region(region, image, origins[entry.sha256], folder, records)
                progress(done := done + 1, total)
            for path, picture in pictures.items():
                if picture.entry.sha256 == entry.sha256:
                    if not (folder / path).exists():  # a region of nuclei has the same pixels
                        Image.fromarray(picture.draw(image)).save(folder / path)
                    progress(done := done + 1, total)
        counts = _write_records(records, folder)
        if flavour is not None:
            _write_flavour(records, flavour, folder, out_dir)
        manifest = Manifest(
            created_utc=clock().isoformat(timespec="seconds"),
            software=f"napari-nunext {__version__}",
            counts=counts,
            categories=_categories(project, records),
            filters={
                "regions": "complete" if regions else "none",
                "annotators": None if annotators is None else sorted(annotators),
                "val_fraction": val_fraction,
                **({"answers": answers} if records.answers.answers else {}),
            },
            split_seed=split_seed,
            files=_hashes(folder),
        )
        text = json.dumps(manifest.to_json(), ensure_ascii=False, allow_nan=False, indent=2)
        (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
    return manifest


def _check_there_is_something(regions: Sequence[CompleteRegion], judged: JudgedAnswers) -> None:
    if regions or judged.answers:
        return
    restricted = ""
    if judged.restricted:
        restricted = (
            f" {counted(judged.restricted, 'answer was', 'answers were')} judged whose models may "
            "not be learned from."
        )
    raise RecordError(
        "No region is complete and no answer judged, so there is nothing to train on. Accept a "
        "field first, or rate an answer; a field that has changed since it was accepted, is "
        "flagged, is a whole large slide, or was searched for a category that was merged with "
        f"others since does not count.{restricted}"
    )


def _checked_image(entry: ImageEntry, images: Callable[[ImageEntry], ImageSource]) -> ImageSource:
    try:
        image = images(entry)
    except OSError as error:
        raise RecordError(
            f"{entry.name} cannot be read ({error.strerror}). Open it again where it lies now."
        ) from error
    check_identity(image.id, entry.sha256, entry.name)
    return image


# One region


def _write_region(
    region: CompleteRegion,
    opened: ImageSource,
    origin: Origin,
    folder: Path,
    records: _Records,
) -> None:
    crop = region.crop
    image = f"{IMAGES_FOLDER}/{region.name}.png"
    Image.fromarray(np.ascontiguousarray(opened.read_region(crop))).save(folder / image)
    inside = _inside(region)
    truth = tuple(n for n in inside if n.marks.stands)
    rejected = tuple(n for n in inside if not n.marks.stands)
    judged = judge(region)
    source = _source(region, origin, judged)
    prompt = (user_message(_instruction(region, judged)),)
    reply = (assistant_message(points_text(points_at(truth))),)
    messages = (*prompt, *reply)
    records.corrections += region.corrections
    records.sft.append(SftRecord(region.name, (image,), messages, truth, source, rejected))
    rollout = None if judged is None else judged.rollout
    records.rft.append(RftRecord(region.name, "nuclei", (image,), prompt, truth, source, rollout))
    if judged is not None:
        said = (assistant_message(points_text(judged.points_xy)),)
        if said != reply:
            records.preferences.append(
                PreferenceRecord(region.name, (image,), prompt, reply, said, source)
            )


def _instruction(region: CompleteRegion, judged: Judged | None) -> str:
    """What the model was asked, or would have to be, to answer as the record does."""
    whole = NUCLEUS_INSTRUCTION
    if judged is not None and judged.run.info.model.prompt is not None:
        whole = judged.run.info.model.prompt
    if region.asked and not can_name(whole):
        whole = NUCLEUS_INSTRUCTION
    return instruction_for(region.asked, region.known, whole)


def _inside(region: CompleteRegion) -> tuple[RecordNucleus, ...]:
    """The nuclei in the crop, rejected ones too, in its pixels, from top to bottom."""
    inside = sorted(region.reviewed, key=lambda n: (n.nucleus.y_px, n.nucleus.x_px, n.uid.int))
    return tuple(_in_crop(n, region.crop) for n in inside)


def _in_crop(reviewed: ReviewedNucleus, crop: Box) -> RecordNucleus:
    nucleus, mask = reviewed.nucleus, reviewed.nucleus.mask
    return RecordNucleus(
        x=nucleus.x_px - crop.x0,
        y=nucleus.y_px - crop.y0,
        category=nucleus.category,
        uid=str(nucleus.uid),
        mask=None if mask is None else mask.moved(-int(crop.x0), -int(crop.y0)),
        marks=replace(marks_of(reviewed), annotator=None, origin=None),
    )


def _source(region: CompleteRegion, origin: Origin, judged: Judged | None) -> Source:
    who = {e.annotator for e in region.state.events if e.annotator is not None}
    return Source(
        image_sha256=region.entry.sha256,
        region=region.crop,
        mpp=region.entry.mpp,
        mpp_source=region.entry.mpp_source,
        split=origin.split,
        patient=origin.patient,
        annotators=tuple(sorted(who)),
        model=None if judged is None else judged.run.info.model,
        run={} if judged is None else _run(judged.run.info),
        tissue=origin.tissue,
        asked=region.asked,
    )


def _run(info: RunInfo) -> dict[str, Any]:
    data = info.to_json()
    del data["region"], data["model"]  # the record has its own
    return data


# The folder


def _write_records(records: _Records, folder: Path) -> dict[str, int]:
    return {
        "images": len(records.sft),
        "nuclei": sum(len(r.nuclei) for r in records.sft),
        "corrections": records.corrections,
        "sft": write_jsonl(folder / SFT_FILE, records.sft),
        "rft": write_jsonl(folder / RFT_FILE, records.rft),
        "preferences": write_jsonl(folder / PREFERENCES_FILE, records.preferences),
        **records.answers.write(folder),
        **{f"{split}_images": n for split, n in sorted(_split_counts(records).items())},
    }


def _write_flavour(records: _Records, flavour: Flavour, folder: Path, out_dir: Path) -> None:
    kinds: dict[str, Sequence[Record]]
    kinds = {"sft": records.sft, "rft": records.rft, "preferences": records.preferences}
    kinds |= records.answers.for_trainers
    (folder / flavour).mkdir()
    for name, text in flavoured(kinds, flavour, out_dir).items():
        (folder / flavour / name).write_text(text, encoding="utf-8", newline="\n")


def _split_counts(records: _Records) -> Counter[str]:
    return Counter(r.source.split for r in records.sft)


def _categories(project: Project, records: _Records) -> tuple[dict[str, Any], ...]:
    """The project's categories, and after them those that only nuclei know, with their colours."""
    known = {c.name: c.color for c in project.categories()}
    used = dict.fromkeys(n.category for r in records.sft for n in (*r.nuclei, *r.rejected))
    everything = default_categories([*known, *(name for name in used if name not in known)])
    return tuple(Category(c.name, known.get(c.name, c.color)).to_json() for c in everything)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
