"""Windows that are asked for some categories alone: "Point to lymphocyte." (ours).

The truth of such a window is the nuclei of these categories, in the order and the tokens of every
other. A window is asked only for what its data set tells apart: elsewhere nobody knows which nuclei
are lymphocytes.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from napari_nunext.core.naming import in_order
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.stains.telling import categories_under
from napari_nunext.models.whole_image.search import detect_image
from napari_nunext.models.whole_image.stain import stain_of_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.models.detector import Detector
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.task import Examples
    from nunext_training.data.windows import Example

logger = logging.getLogger(__name__)

EMPTY_SHARE = 0.15
"""Of such windows that are asked for any category, whether or not there is one: so some replies are
empty. The others are asked for what is there."""
TWO_SHARE = 0.2
"""Of such windows that are asked for two categories, where a data set tells three or more apart."""
LESS_F1 = 0.02
"""By so much a category may be found worse where a model is asked for it alone; else it is not."""
_DRAWS = 7
"""Parts these draws from those that place the windows, which stay as they are."""


class Named:
    """Examples, of which a share is asked for some categories alone; a map-style data set.

    Parameters
    ----------
    examples : Examples
        At the other places they are as they are.
    known : sequence of str
        Categories of the checkpoint.
    share : float
    seed : int
        The i-th example is a function of it and i.
    """

    def __init__(
        self, examples: Examples[Example], known: Sequence[str], *, share: float, seed: int
    ) -> None:
        self._examples, self._known = examples, tuple(known)
        self._share, self._seed = share, seed

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        example = self._examples[index]
        if example.asked:  # people looked for these alone
            return example
        rng = np.random.default_rng((self._seed, index, _DRAWS))
        if rng.random() >= self._share:
            return example
        asked = _categories_to_ask(example, self._known, rng)
        return asked_for(example, asked, self._known) if asked else example


def asked_for(example: Example, asked: Sequence[str], known: Sequence[str]) -> Example:
    """A window asked for some categories alone, with these nuclei of it as its truth.

    What people judged of it was said to another prompt, and is left out.
    """
    categories = example.category_indices or ()
    kept = np.array([i for i, c in enumerate(categories) if known[c] in asked], dtype=int)
    labels = example.point_labels
    return replace(
        example,
        points_xy=example.points_xy[kept],
        category_indices=tuple(categories[i] for i in kept),
        point_labels=None if labels is None else tuple(labels[i] for i in kept),
        everything_xy=example.points_xy,
        judged=None,
        asked=in_order(asked, known),
    )


def names_to_learn(images: Sequence[LabelledImage], known: Sequence[str]) -> tuple[str, ...]:
    """Categories that windows of some images can be asked for, as a checkpoint knows them."""
    there = {name for image in images for name in (*image.told_apart, *image.asked)}
    return tuple(name for name in known if name in there and len(known) > 1)


def taught_on_dab(
    images: Sequence[LabelledImage], known: Sequence[str], *, before: Sequence[str]
) -> tuple[str, ...]:
    """Categories beside positive and negative that nuclei have on images like H-DAB.

    A detector that knows those of H&E, too, gives nuclei the categories of the stain that it sees.
    What people call them there counts for more: who teaches it CD8+ on brown sections is to get
    CD8+, and so is who teaches it lymphocytes on a stain that is neither.

    Parameters
    ----------
    images : sequence of LabelledImage
        That it is taught on. Read only where a category is not known for this yet.
    known : sequence of str
        Of the detector.
    before : sequence of str
        Those that its parent was taught so.

    Returns
    -------
    tuple of str
        In the order of `known`; those of `before` are among them.
    """
    found = set(before)
    may_be = set(categories_under("H&E", known))
    for image in images:
        new = (may_be & set(image.categories)) - found
        if new and stain_of_image(image.open(), mpp=image.mpp) == "H-DAB":
            found |= new
    return tuple(name for name in known if name in found)


def names_that_hold(
    detector: Detector,
    images: Sequence[LabelledImage],
    names: Sequence[str],
    *,
    radius_um: float,
) -> tuple[str, ...]:
    """Of some categories those that a detector may be asked for alone.

    That is, on images that it was not taught, the nuclei that it finds so are at most
    `LESS_F1` worse than those of a search for everything that leaves the others out. What no image
    tells apart is not measured, and is not among them.

    Parameters
    ----------
    detector : Detector
        Whose description says that it has learned these names.
    images : sequence of LabelledImage
    names : sequence of str
    radius_um : float
        Largest distance of a true positive.
    """
    counts = {name: np.zeros((2, 2)) for name in names}
    for image in images:
        asked = [name for name in names if name in image.told_apart]
        if not asked or image.asked:
            continue
        opened = image.open()
        everything = detect_image(opened, detector, mpp=image.mpp)
        for name in asked:
            alone = detect_image(opened, detector, mpp=image.mpp, only=(name,))
            true_xy = image.points_xy[[c == name for c in image.categories]]
            for way, found in enumerate((everything, alone)):
                said_xy = found.points_xy[[c == name for c in found.categories]]
                right = match_points(
                    said_xy, true_xy, radius_px=radius_um / image.mpp, method="gated"
                ).tp
                counts[name][way] += (2 * right, len(said_xy) + len(true_xy))
    held = []
    for name, ways in counts.items():
        left_out_f1, alone_f1 = (right / max(of, 1) for right, of in ways)
        if ways[:, 1].any():
            logger.info("asked for %s alone: F1 %.3f; %.3f", name, alone_f1, left_out_f1)
            if alone_f1 >= left_out_f1 - LESS_F1:
                held.append(name)
    return tuple(held)


def _categories_to_ask(
    example: Example, known: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, ...]:
    """What a window is asked for; nothing where its truth would not be known."""
    categories = example.category_indices
    told = [name for name in known if name in example.told_apart]
    if len(known) < 2 or categories is None or UNKNOWN_CATEGORY in categories:
        return ()
    present = [name for name in told if known.index(name) in categories]
    choices = told if rng.random() < EMPTY_SHARE else present
    if not choices:
        return ()
    asked = [choices[int(rng.integers(len(choices)))]]
    others = [name for name in told if name not in asked]
    if len(told) > 2 and rng.random() < TWO_SHARE:
        asked.append(others[int(rng.integers(len(others)))])
    return in_order(asked, known)
