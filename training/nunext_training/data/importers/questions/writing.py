"""Write known answers as an export folder, in the records of `core.formats.answer_records`.

The thought of a completion is empty: none of the sets has one that was written for the answer
(Eq. 7-9 of arXiv 2505.15687 judge answers alone, and rewards find the thought).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.prompts import SYSTEM
from napari_nunext.core.answers.reply import reply_text
from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.formats.answer_records import AnswerRftRecord, AnswerSftRecord, message
from napari_nunext.core.formats.json_lines import write_jsonl
from napari_nunext.core.formats.records import IMAGES_FOLDER, Source
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.models.checkpoints.loading import new_folder
from nunext_training.data.importers.reading import pseudonym
from nunext_training.data.importers.writing import key_of, write_manifest
from nunext_training.data.sources import tell_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import Manifest, Message, Split
    from napari_nunext.core.nuclei import Category
    from nunext_training.data.importers.folds import Fold
    from nunext_training.data.importers.questions.base import AnsweredImage, KnownAnswer, Member


@dataclass(frozen=True, slots=True)
class QuestionImport:
    """What an import has written."""

    manifest: Manifest
    splits: Counter[str]
    """Questions of each side."""
    shared_patients: int
    """Patients, or images that stand for them, on more than one side."""
    repeated: int
    """Questions that were there before, with the same picture and answer: left out."""


def write_questions(
    members: Sequence[Member],
    out_dir: Path,
    *,
    origin: str,
    mpp: float,
    mpp_source: str,
    public_names: bool = False,
    split: Split | None = None,
    fold: Fold | None = None,
    strict: bool = False,
    allow_loss: bool = False,
    categories: Sequence[Category] = (),
    filters: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> QuestionImport:
    """Write an export that appears whole or not at all; one picture is in memory at a time.

    Pictures are stored as PNG without metadata, each once, under their names where these are public
    and under a pseudonym otherwise.

    Parameters
    ----------
    members : sequence of callable
    out_dir : Path
        Must not exist, or be empty.
    origin : str
        The data set's name: begins each record's id.
    mpp, mpp_source : float, str
        Scale of every picture, and who says so.
    public_names : bool
    split : str, optional
        Of every picture, instead of what the set says.
    fold : Fold, optional
        That is the test split, instead of what the set says.
    strict : bool
        Stop at the first picture that does not hold; otherwise it is left out, and logged.
    allow_loss : bool
        Go on where more than half is left out.
    categories : sequence of Category
        Of nuclei, that are told apart where records name nuclei.
    filters : mapping, optional
        What the manifest says of how the questions were made, as plain JSON values.
    progress : callable
        Told how many members of how many are done.

    Raises
    ------
    InputError
        If `out_dir` is in use, more than half is left out, or nothing is left.
    RecordError, ImageError
        At what does not hold, if `strict`.
    """
    left_out: list[str] = []
    with new_folder(out_dir) as folder:
        (folder / IMAGES_FOLDER).mkdir()
        gathered = _Gathered(folder, origin, mpp, mpp_source, public_names, split)
        for done, member in enumerate(members, start=1):
            try:
                for image in member():
                    gathered.add(image)
            except InputError as error:
                if strict:
                    raise
                left_out.append(str(error))
            progress(done, len(members))
        tell_left_out(left_out, len(left_out), len(members), what="entries", allow=allow_loss)
        if not gathered.records:
            raise RecordError(f"{origin} has no question to import. Check the path.")
        if fold is not None:
            gathered.deal(fold)
        return gathered.written(categories, filters or {})


@dataclass(slots=True)
class _Gathered:
    """Pictures that are written, and the records about them."""

    folder: Path
    origin: str
    mpp: float
    mpp_source: str
    public_names: bool
    split: Split | None
    records: list[tuple[dict[str, Any], KnownAnswer]] = field(default_factory=list)
    """What both records of a question have, and its answer."""
    _keys: dict[str, str] = field(default_factory=dict)
    """Name of each picture in the export, by its content."""
    _taken: set[str] = field(default_factory=set)
    _counts: Counter[str] = field(default_factory=Counter)
    _asked: set[tuple[str, KnownAnswer]] = field(default_factory=set)
    _splits: dict[str, set[str]] = field(default_factory=dict)
    _repeated: int = 0

    def add(self, image: AnsweredImage) -> None:
        content = pixels_sha256(image.rgb)
        if content not in self._keys:
            self._keys[content] = self._saved(image, content)
        key = self._keys[content]
        source = self._source(image, content)
        for answer in image.answers:
            if (key, answer) in self._asked:
                self._repeated += 1
                continue
            self._asked.add((key, answer))
            self._splits.setdefault(source.patient, set()).add(source.split)
            self._counts[key] += 1
            common = {
                "id": f"{self.origin}-{key}-{self._counts[key]}",
                "task": answer.question.task,
                "images": (f"{IMAGES_FOLDER}/{key}.png",),
                "options": answer.question.options,
                "nuclei": image.nuclei,
                "kind": answer.kind,
                "subset": image.subset,
                "source": source,
            }
            self.records.append((common, answer))

    def deal(self, fold: Fold) -> None:
        sides = fold.splits(self._splits)
        self._splits = {patient: {side} for patient, side in sides.items()}
        for common, _ in self.records:
            source = common["source"]
            common["source"] = replace(source, split=sides[source.patient])

    def written(self, categories: Sequence[Category], filters: Mapping[str, Any]) -> QuestionImport:
        sft = write_jsonl(self.folder / "answers_sft.jsonl", (_sft(*r) for r in self.records))
        rft = write_jsonl(self.folder / "answers_rft.jsonl", (_rft(*r) for r in self.records))
        counts = {"answers_sft": sft, "answers_rft": rft, "images": len(self._keys)}
        return QuestionImport(
            write_manifest(
                self.folder,
                counts,
                origin=self.origin,
                categories=categories,
                filters=filters,
            ),
            Counter(common["source"].split for common, _ in self.records),
            sum(len(splits) > 1 for splits in self._splits.values()),
            self._repeated,
        )

    def _saved(self, image: AnsweredImage, content: str) -> str:
        key = key_of(image.name, public=self.public_names)
        if key.casefold() in self._taken:
            key = f"{key}-{content[:8]}"
        self._taken.add(key.casefold())
        Image.fromarray(image.rgb).save(self.folder / IMAGES_FOLDER / f"{key}.png")
        return key

    def _source(self, image: AnsweredImage, content: str) -> Source:
        height_px, width_px = image.rgb.shape[:2]
        original = image.image_sha256 or content
        return Source(
            image_sha256=original,
            region=image.region or Box.of_image(width_px, height_px),
            mpp=self.mpp if image.mpp is None else image.mpp,
            mpp_source=self.mpp_source,
            split=self.split or image.split,
            patient=image.patient or pseudonym(original),
            tissue=image.tissue,
        )


def _sft(common: dict[str, Any], answer: KnownAnswer) -> AnswerSftRecord:
    return AnswerSftRecord(
        **common,
        prompt=_prompt(answer),
        completion=(message("assistant", reply_text("", answer.truth)),),
        boxes=tuple(map(AnswerBox, answer.boxes)),
    )


def _rft(common: dict[str, Any], answer: KnownAnswer) -> AnswerRftRecord:
    return AnswerRftRecord(
        **common,
        prompt=_prompt(answer),
        truth=answer.truth,
        boxes=tuple(map(AnswerBox, answer.boxes)),
    )


def _prompt(answer: KnownAnswer) -> tuple[Message, ...]:
    return message("system", SYSTEM), message("user", answer.question.prompt)
