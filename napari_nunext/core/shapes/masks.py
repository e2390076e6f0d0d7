"""Instance masks as run lengths.

A mask is stored in a crop at an integer offset, so that a nucleus of 300 pixels costs some forty
numbers wherever it lies on a slide. Runs are COCO's: column-major, starting with the run of zeros.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_nunext.core.errors import MALFORMED, RecordError

if TYPE_CHECKING:
    from numpy.typing import NDArray


MOST_PIXELS = 2**26
"""Of a crop, about 8000 px square: decoding it takes as many bytes."""
FARTHEST_PX = 2**31


@dataclass(frozen=True, slots=True)
class Mask:
    """One nucleus' mask.

    Parameters
    ----------
    x0_px, y0_px : int
        Level-0 pixel of the crop's top-left corner.
    height_px, width_px : int
        Size of the crop.
    counts : tuple of int
        Run lengths, column-major, alternating 0 and 1 and starting with 0. They add up to
        ``height_px * width_px``.
    """

    x0_px: int
    y0_px: int
    height_px: int
    width_px: int
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.height_px, self.width_px, *self.counts) < 0:
            raise RecordError("A mask has a negative size or run; expected counts from 0 up.")
        if max(self.height_px, self.width_px, self.height_px * self.width_px) > MOST_PIXELS:
            raise RecordError(
                f"A mask spans {self.height_px} x {self.width_px} px; expected a nucleus."
            )
        if max(abs(self.x0_px), abs(self.y0_px)) > FARTHEST_PX:
            raise RecordError("A mask lies outside of any image.")
        if sum(self.counts) != self.height_px * self.width_px:
            raise RecordError(
                f"A mask's runs add up to {sum(self.counts)}; expected "
                f"{self.height_px} x {self.width_px} = {self.height_px * self.width_px}."
            )

    @classmethod
    def from_array(cls, mask: NDArray[np.bool_], x0_px: int = 0, y0_px: int = 0) -> Mask:
        """Encode a boolean image of shape (H, W), cropped to its bounding box.

        `x0_px` and `y0_px` are the level-0 pixel of ``mask[0, 0]``. A mask without any pixel set
        gives a crop of size 0 at that pixel.
        """
        rows = np.flatnonzero(mask.any(axis=1))
        cols = np.flatnonzero(mask.any(axis=0))
        if rows.size == 0:
            return cls(x0_px, y0_px, 0, 0, ())
        crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        flat = np.asarray(crop, dtype=bool).ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate(([0], edges, [flat.size])))
        counts = ([0] if flat[0] else []) + runs.tolist()
        return cls(
            x0_px + int(cols[0]), y0_px + int(rows[0]), crop.shape[0], crop.shape[1], tuple(counts)
        )

    def to_array(self) -> NDArray[np.bool_]:
        """The crop as a boolean image, shape (height_px, width_px)."""
        values = np.arange(len(self.counts)) % 2 == 1
        flat = np.repeat(values, self.counts)
        return flat.reshape((self.height_px, self.width_px), order="F")

    @property
    def area_px(self) -> int:
        """Number of pixels set."""
        return sum(self.counts[1::2])

    @property
    def centroid_xy(self) -> tuple[float, float]:
        """Mean of the centres of the pixels set, level-0 px, corner origin.

        Raises
        ------
        RecordError
            If the mask is empty.
        """
        if self.area_px == 0:
            raise RecordError("A mask is empty; only one with pixels has a centroid.")
        rows, columns = np.nonzero(self.to_array())
        return (
            self.x0_px + float(columns.mean()) + 0.5,
            self.y0_px + float(rows.mean()) + 0.5,
        )

    def covers(self, x_px: float, y_px: float) -> bool:
        """Whether the pixel in which a place lies belongs to it."""
        column, row = math.floor(x_px) - self.x0_px, math.floor(y_px) - self.y0_px
        inside = 0 <= row < self.height_px and 0 <= column < self.width_px
        return inside and bool(self.to_array()[row, column])

    def corrected_by(self, drawn: Mask, x_px: float, y_px: float, *, inside: bool) -> Mask:
        """The outline after a click at a place was answered by another one.

        A click inside adds the piece of the answer that lies there, a click outside takes away the
        piece there that the answer leaves out: what is right elsewhere stays as it is. An answer
        that does not follow the click changes nothing.
        """
        old, new, (x0_px, y0_px) = in_common_crop(self, drawn)
        height_px, width_px = old.shape
        pieces, _ = scipy.ndimage.label(new & ~old if inside else old & ~new)
        row, column = math.floor(y_px) - y0_px, math.floor(x_px) - x0_px
        if not (0 <= row < height_px and 0 <= column < width_px and pieces[row, column]):
            return self
        piece = pieces == pieces[row, column]
        return Mask.from_array(old | piece if inside else old & ~piece, x0_px, y0_px)

    def clipped_to(self, width_px: int, height_px: int) -> Mask:
        """The part inside an image of this size; empty where there is none."""
        if (
            min(self.x0_px, self.y0_px) >= 0
            and self.x0_px + self.width_px <= width_px
            and self.y0_px + self.height_px <= height_px
        ):
            return self
        x0, y0 = max(self.x0_px, 0), max(self.y0_px, 0)
        x1 = min(self.x0_px + self.width_px, width_px)
        y1 = min(self.y0_px + self.height_px, height_px)
        crop = self.to_array()[
            y0 - self.y0_px : max(y1, y0) - self.y0_px, x0 - self.x0_px : max(x1, x0) - self.x0_px
        ]
        return Mask.from_array(crop, x0, y0)

    def to_bytes(self) -> bytes:
        """Offset, height, width and runs as little-endian int64: equal where two masks are."""
        numbers = (self.x0_px, self.y0_px, self.height_px, self.width_px, *self.counts)
        return struct.pack(f"<{len(numbers)}q", *numbers)

    def to_json(self) -> dict[str, Any]:
        """``{"offset": [x0, y0], "size": [h, w], "counts": [...]}``; size and counts are COCO's."""
        return {
            "offset": [self.x0_px, self.y0_px],
            "size": [self.height_px, self.width_px],
            "counts": list(self.counts),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mask:
        """Inverse of `to_json`.

        Raises
        ------
        RecordError
            If a field is missing or the runs do not add up.
        """
        try:
            (x0, y0), (height, width) = data["offset"], data["size"]
            counts = tuple(int(c) for c in data["counts"])
            return cls(int(x0), int(y0), int(height), int(width), counts)
        except MALFORMED as error:
            if isinstance(error, RecordError):
                raise
            raise RecordError(
                f"A mask is not offset, size and counts ({error}). Export it again."
            ) from error

    def moved(self, dx_px: int, dy_px: int) -> Mask:
        """The same mask with its crop moved by whole pixels."""
        return Mask(
            self.x0_px + dx_px, self.y0_px + dy_px, self.height_px, self.width_px, self.counts
        )


def label_image(masks: list[Mask], height_px: int, width_px: int) -> NDArray[np.int32]:
    """Paint masks 1, 2, ... into a label image of shape (H, W); later masks cover earlier ones.

    Parts that hang over the image's edge are cut off.
    """
    labels = np.zeros((height_px, width_px), dtype=np.int32)
    for label, mask in enumerate(masks, start=1):
        y0, x0 = max(mask.y0_px, 0), max(mask.x0_px, 0)
        y1 = min(mask.y0_px + mask.height_px, height_px)
        x1 = min(mask.x0_px + mask.width_px, width_px)
        if y0 >= y1 or x0 >= x1:
            continue
        crop = mask.to_array()[y0 - mask.y0_px : y1 - mask.y0_px, x0 - mask.x0_px : x1 - mask.x0_px]
        labels[y0:y1, x0:x1][crop] = label
    return labels


def in_common_crop(
    one: Mask, other: Mask
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, int]]:
    """Two masks as boolean images of one crop, and the level-0 pixel (x, y) of its corner.

    The crop is the smallest that holds both. An empty mask takes no room: two have no pixel.
    """
    there = [mask for mask in (one, other) if mask.area_px]
    x0_px = min((mask.x0_px for mask in there), default=0)
    y0_px = min((mask.y0_px for mask in there), default=0)
    width_px = max((mask.x0_px + mask.width_px for mask in there), default=0) - x0_px
    height_px = max((mask.y0_px + mask.height_px for mask in there), default=0) - y0_px
    first, second = (
        label_image([mask.moved(-x0_px, -y0_px)], height_px, width_px) > 0 for mask in (one, other)
    )
    return first, second, (x0_px, y0_px)


def masks_of(labels: NDArray[Any]) -> dict[int, Mask]:
    """The mask of each label of a label image (H, W), ascending; 0 is background.

    Raises
    ------
    RecordError
        If the image is not two-dimensional, not of whole numbers, or has negative labels.
    """
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "biu":
        raise RecordError(
            f"A label image is {labels.dtype} of shape {labels.shape}; expected whole numbers of "
            "shape (H, W)."
        )
    used, numbers = np.unique(labels, return_inverse=True)
    if used.size and used[0] < 0:
        raise RecordError(f"A label image has the label {used[0]}; expected 0 and up.")
    background = int(used.size > 0 and used[0] == 0)
    numbered = numbers.reshape(labels.shape) + 1 - background
    masks = {}
    for number, place in enumerate(scipy.ndimage.find_objects(numbered), start=1):
        rows, columns = place
        crop = numbered[place] == number
        masks[int(used[number - 1 + background])] = Mask.from_array(
            crop, int(columns.start), int(rows.start)
        )
    return masks
