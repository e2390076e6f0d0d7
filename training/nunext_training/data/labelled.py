"""Images with their true nuclei, read from an export or from a published data set."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.sentences import counted
from napari_nunext.core.spelling import one_spelling
from napari_nunext.images import open_tile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import RecordNucleus, Rollout, Split
    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.marks import Marks
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images import Tile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class LabelledImage:
    """One image in which every nucleus is known."""

    name: str
    """For people: names it in messages and reports, and in a folder of predictions."""
    path: Path
    mpp: float
    mpp_source: str
    points_xy: PointsXY
    """Shape (N, 2), pixels of the image, corner origin."""
    categories: tuple[str, ...]
    """One for each nucleus."""
    split: Split
    patient: str
    """Pseudonym: what a split must not divide."""
    image_sha256: str | None = None
    """Content hash of the original image, where the source knows it."""
    uids: tuple[str | None, ...] = ()
    """Identity of each nucleus in the review that it came from; empty where the source has none."""
    marks: tuple[Marks, ...] = ()
    """What the review says of each; empty where the source says nothing."""
    rejected: tuple[RecordNucleus, ...] = ()
    """What people found to be no nucleus: nothing learns from it; an export takes it along."""
    masks: tuple[Mask | None, ...] = ()
    """One for each nucleus, in pixels of the image; empty where the source has none at all."""
    tissue: str | None = None
    """Organ or tissue, where the source says it."""
    region: Box | None = None
    """What the image shows of the original, level-0 px, where the source knows it."""
    place: str = ""
    """File and line that describe it, for messages; empty where there are none."""
    rollout: Rollout | None = None
    """What a model had said of the image, judged by people, in pixels of the image."""
    notes: tuple[str, ...] = ()
    """How its labels were read, where that is not plain: a sentence for each."""
    unsorted: tuple[str, ...] = ()
    """What the source says of each nucleus that no category of the data set stands for."""
    told_apart: tuple[str, ...] = ()
    """Categories that its data set tells apart: what a window of it can be asked for alone."""
    asked: tuple[str, ...] = ()
    """Categories that were searched for alone: nobody knows of others. Empty: all are known."""
    unasked: tuple[str, ...] = ()
    """Categories that its data set knows besides `asked`; empty where all were searched for."""
    opener: Callable[[], Tile] | None = None
    """Opens an image that is no file of its own; `path` then only tells it from others."""

    def open(self) -> Tile:
        """The image, at `mpp`."""
        if self.opener is not None:
            return self.opener().with_scale(self.mpp, "user")
        return open_tile(self.path, mpp=self.mpp)

    def named_with(self, suffix: str) -> tuple[str, Path]:
        """Name and path of another picture of these nuclei; of a name anything may be a part."""
        name = f"{self.name}{suffix}"
        return name, self.path.with_name(quote(name, safe=" ", errors="surrogatepass") + ".png")

    @property
    def complete_masks(self) -> tuple[Mask, ...] | None:
        """The mask of each nucleus; None where one is missing. An image without nuclei has all."""
        there = tuple(mask for mask in self.masks if mask is not None)
        return there if len(there) == len(self.points_xy) else None


def known_whole(images: Sequence[LabelledImage]) -> tuple[LabelledImage, ...]:
    """The images of which every nucleus is known: none that was searched for some categories."""
    return tuple(image for image in images if not image.asked)


def select_split(images: Sequence[LabelledImage], split: Split) -> tuple[LabelledImage, ...]:
    """The images of a split, in their order."""
    return tuple(image for image in images if image.split == split)


def rename_categories(
    images: Sequence[LabelledImage], renames: Mapping[str, str]
) -> tuple[LabelledImage, ...]:
    """Give categories other names; those that are not in `renames` keep theirs.

    An image is left out in which a category that was searched for is then one with another that was
    not: nobody knows where there is none of it.
    """

    def called(name: str) -> str:
        return renames.get(name, name)

    return tuple(
        replace(
            image,
            categories=tuple(map(called, image.categories)),
            told_apart=tuple(dict.fromkeys(map(called, image.told_apart))),
            asked=tuple(dict.fromkeys(map(called, image.asked))),
            unasked=tuple(dict.fromkeys(map(called, image.unasked))),
            rejected=tuple(replace(n, category=called(n.category)) for n in image.rejected),
            rollout=_with_categories(image.rollout, called),
        )
        for image in images
        if _is_known_so(image, called)
    )


def _is_known_so(image: LabelledImage, called: Callable[[str], str]) -> bool:
    """Whether other names leave apart what was searched for and what was not."""
    return {*map(called, image.asked)}.isdisjoint(map(called, image.unasked))


def rename_as_asked(
    images: Sequence[LabelledImage], renames: Mapping[str, str]
) -> tuple[LabelledImage, ...]:
    """`rename_categories` by what a person asked for, who is told what is left out.

    Raises
    ------
    InputError
        If a name to replace is not there: a slip that would change nothing, without a word. Or if
        nothing is left.
    """
    there = {name for image in images for name in (*image.categories, *image.asked)}
    there |= {p.category for i in images if i.rollout is not None for p in i.rollout.points}
    there |= {n.category for image in images for n in image.rejected}
    missing = sorted(renames.keys() - there)
    if missing and images:
        raise InputError(
            f"There is no category {missing[0]!r} to rename; the data have "
            f"{', '.join(sorted(there)) or 'none'}."
        )
    renamed = rename_categories(images, renames)
    if left_out := len(images) - len(renamed):
        logger.warning(
            "%s of %s left out: there, --rename makes one category of what was searched for and "
            "what was not.",
            *(left_out, counted(len(images), "image")),
        )
    if images and not renamed:
        raise InputError(
            "--rename makes one category of what was searched for and what was not, in every "
            "image: nobody knows where there is none of it. Leave it out, or search the images "
            "for both."
        )
    return renamed


def _with_categories(rollout: Rollout | None, name: Callable[[str], str]) -> Rollout | None:
    if rollout is None:
        return None
    points = tuple(replace(p, category=name(p.category)) for p in rollout.points)
    return replace(rollout, points=points)


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was left out, and why."""

    images: int
    problems: tuple[str, ...] = ()
    """One sentence for each image."""
    why: str = ""
    """One sentence for all of them."""


def known_categories_only(
    images: Sequence[LabelledImage], known: Sequence[str], *, strict: bool
) -> tuple[tuple[LabelledImage, ...], Skipped]:
    """Keep the images whose categories a checkpoint knows, with its spelling of them.

    Names are compared without regard to case. Nuclei without a category are known as nuclei: they
    teach where, and not what. An image with an unknown category is left out whole:
    without some of its nuclei it would teach that they are none. A rollout with one is a reply that
    the checkpoint cannot write: its image is kept without it.

    Parameters
    ----------
    images : sequence of LabelledImage
    known : sequence of str
        The checkpoint's categories. Empty: it learns points alone, and every image is kept as it
        is.
    strict : bool
        Raise rather than skip.

    Raises
    ------
    RecordError
        In strict mode, naming every unknown category, how many nuclei have it, and where the first
        of them are.
    """
    if not known:
        return tuple(images), Skipped(0)
    spelling = {n.casefold(): s for n, s in one_spelling((), (UNCATEGORISED, *known)).items()}
    kept: list[LabelledImage] = []
    problems: list[str] = []
    unknown: Counter[str] = Counter()
    for image in images:
        names = (*image.categories, *image.asked)
        strangers = [c for c in names if c.casefold() not in spelling]
        unknown.update(strangers)
        if strangers:
            where = image.place or image.name
            problems.append(f"{where}: the checkpoint does not know {_counts(Counter(strangers))}.")
        else:
            names = tuple(spelling[c.casefold()] for c in image.categories)
            said = {p.category.casefold() for p in image.rollout.points} if image.rollout else set()
            rollout = (
                _with_categories(image.rollout, lambda c: spelling[c.casefold()])
                if said <= {name.casefold() for name in known}
                else None
            )
            told = (spelling.get(c.casefold(), UNCATEGORISED) for c in image.told_apart)
            told_apart = tuple(c for c in dict.fromkeys(told) if c != UNCATEGORISED)
            asked = tuple(spelling[c.casefold()] for c in image.asked)
            image = replace(image, told_apart=told_apart, asked=asked)
            kept.append(replace(image, categories=names, rollout=rollout))
    why = f"The checkpoint does not know {_counts(unknown)}"
    if unknown and strict:
        first = next(
            i
            for i in images
            if any(c.casefold() not in spelling for c in (*i.categories, *i.asked))
        )
        raise RecordError(
            f"{why}, first in {first.place or first.name}; it knows {', '.join(known)}. Rename "
            "with --rename "
            "'FROM=TO', leave out such images by leaving out --strict, or choose another "
            "checkpoint."
        )
    why = f"{why}; it knows {', '.join(known)}." if unknown else ""
    return tuple(kept), Skipped(len(images) - len(kept), tuple(problems), why)


def _counts(nuclei: Counter[str]) -> str:
    return ", ".join(f"{name!r} ({n} nuclei)" for name, n in sorted(nuclei.items()))


def category_indices(image: LabelledImage, known: Sequence[str]) -> tuple[int, ...] | None:
    """Index of each nucleus' category in `known`, or `UNKNOWN_CATEGORY`; None without `known`."""
    if not known:
        return None
    index = {UNCATEGORISED: UNKNOWN_CATEGORY} | {name: i for i, name in enumerate(known)}
    return tuple(index[c] for c in image.categories)


def shared_patients(images: Sequence[LabelledImage]) -> frozenset[str]:
    """Patients whose images stand in more than one split: figures of such a split flatter."""
    splits: dict[str, set[Split]] = {}
    for image in images:
        splits.setdefault(image.patient, set()).add(image.split)
    return frozenset(patient for patient, of in splits.items() if len(of) > 1)


def nuclei_count(images: Sequence[LabelledImage]) -> int:
    """Number of true nuclei in all images."""
    return int(np.sum([len(image.points_xy) for image in images]))
