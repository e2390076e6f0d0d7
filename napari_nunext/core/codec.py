"""Coordinate tokens: the only place where points become tokens or tokens become points.

NuNext, Eq. 1: the window's side is cut into K bins, one token each, shared by x and y. A nucleus is
its x token, its y token and what follows it. The reply to an image is, in raster order,

    lat_0 .. lat_{L-1}   x y , x y , ... x y <end>         checkpoint without categories
    lat_0 .. lat_{L-1}   x y c  x y c  ... x y c <end>     checkpoint with categories

The latent tokens are fixed, so at inference they belong to the prompt. A category token stands in
the comma's place, also after the last pair, so that classes cost no extra step. An empty window is
the end token alone.

The position of a token in the reply decides which tokens may stand there (`Codec.allowed_at`): all
windows of a batch are therefore in the same phase at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_nunext.core.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY

CODEC_VERSION = 1
"""Written into every checkpoint; a checkpoint of another version is refused."""

TOKENS_PER_POINT = 3
"""x, y, and the separator or category after them."""


UNKNOWN_CATEGORY = -1
"""In place of the index of a category: nobody has said it."""


def coordinate_token(index: int) -> str:
    """Text of the token of bin `index`."""
    return f"<|coord_{index}|>"


def latent_token(index: int) -> str:
    """Text of the `index`-th latent token of the chain of visual thought."""
    return f"<|latent_{index}|>"


def category_token(index: int) -> str:
    """Text of the token of the `index`-th category; names live in the checkpoint's description."""
    return f"<|category_{index}|>"


SEPARATOR_TEXT = ","
"""The comma between two points, a token that every base model has."""


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """Why a reply does not follow the grammar. A value, because a reward must score it."""

    reason: Literal["unexpected token", "no end", "token after end"]
    position: int
    """Index of the offending token in the reply; its length where the end is missing."""
    token_id: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Parsed:
    """What a reply says.

    Points read before a failure are kept: a truncated reply still shows what it found.
    """

    bins_xy: NDArray[np.int64]
    """Shape (N, 2): x and y bins, in the order of the reply."""
    category_indices: NDArray[np.int64]
    """Shape (N,): index into the codec's categories; -1 throughout without categories."""
    spans: tuple[tuple[int, int], ...]
    """Token range ``[start, stop)`` of each point: x, y and the separator or category after it."""
    failure: ParseFailure | None

    def __len__(self) -> int:
        return len(self.bins_xy)


@dataclass(frozen=True)
class Codec:
    """How one checkpoint writes points.

    Parameters
    ----------
    bins : int
        K, the number of coordinate tokens.
    window_px : int
        W, side of the square window that the model sees, in the window's own pixels.
    coordinate_start_id : int
        Id of the token of bin 0; the K ids are consecutive.
    separator_id, end_id : int
        Ids of the comma and of the end of a reply.
    latent_ids : tuple of int
        Ids of the L latent tokens, in order; empty without chain of visual thought.
    category_ids : tuple of int
        Ids of the category tokens; empty for a checkpoint without categories.
    category_names : tuple of str
        One name for each category id.
    """

    bins: int
    window_px: int
    coordinate_start_id: int
    separator_id: int
    end_id: int
    latent_ids: tuple[int, ...] = ()
    category_ids: tuple[int, ...] = ()
    category_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.bins < 2 or self.window_px < 2:
            raise CheckpointError(
                f"A codec has {self.bins} bins over {self.window_px} px; expected 2 or more each."
            )
        if len(self.category_ids) != len(self.category_names):
            raise CheckpointError(
                f"A codec has {len(self.category_ids)} category tokens but "
                f"{len(self.category_names)} category names; expected one name each."
            )
        singles = [self.separator_id, self.end_id, *self.latent_ids, *self.category_ids]
        coordinates = range(self.coordinate_start_id, self.coordinate_start_id + self.bins)
        if len(set(singles)) != len(singles) or any(i in coordinates for i in singles):
            raise CheckpointError("Two tokens of a codec share an id; build the checkpoint again.")

    @property
    def has_categories(self) -> bool:
        """Whether a category follows each point, rather than a comma."""
        return bool(self.category_ids)

    @property
    def bin_px(self) -> float:
        """Side of a bin in window pixels."""
        return self.window_px / self.bins

    # Eq. 1

    def to_bins(self, points_xy: PointsXY) -> NDArray[np.int64]:
        """Bins of points in window pixels: ``clip(floor(K x / W), 0, K - 1)``. Shape (N, 2)."""
        bins = np.floor(np.asarray(points_xy, dtype=np.float64) * (self.bins / self.window_px))
        return np.clip(bins, 0, self.bins - 1).astype(np.int64).reshape(-1, 2)

    def to_points(self, bins_xy: NDArray[np.int64] | NDArray[np.float64]) -> PointsXY:
        """Bin centres in window pixels: ``(t + 0.5) W / K``. Shape (N, 2).

        Fractional bins are allowed: an expectation over the coordinate soft-max lies between bins.
        """
        return (np.asarray(bins_xy, dtype=np.float64).reshape(-1, 2) + 0.5) * self.bin_px

    # Replies

    def encode(
        self, points_xy: PointsXY, category_indices: Sequence[int] | None = None
    ) -> tuple[int, ...]:
        """Reply for these points, after the latent tokens and with the end token.

        Points are sorted by ``(y bin, x bin)``, so the order depends on tokens alone; ties keep the
        order given.

        Parameters
        ----------
        points_xy : ndarray, shape (N, 2)
            Window pixels; what lies outside the window is drawn to its edge, as Eq. 1 has it.
        category_indices : sequence of int, optional
            One for each point; required when the codec has categories. `UNKNOWN_CATEGORY` puts the
            comma in the category's place: such a reply breaks the grammar, and training teaches
            all of it but the comma.

        Raises
        ------
        InputError
            If categories are missing, superfluous, or out of range.
        """
        bins_xy = self.to_bins(points_xy)
        after = self._tokens_after(len(bins_xy), category_indices)
        order = np.lexsort((bins_xy[:, 0], bins_xy[:, 1]))
        reply: list[int] = []
        for i in order:
            reply += [
                self.coordinate_start_id + int(bins_xy[i, 0]),
                self.coordinate_start_id + int(bins_xy[i, 1]),
                after[i],
            ]
        if reply and not self.has_categories:
            reply.pop()  # commas separate, categories follow
        return (*reply, self.end_id)

    def _tokens_after(self, n: int, category_indices: Sequence[int] | None) -> list[int]:
        if not self.has_categories:
            if category_indices is not None:
                raise InputError(
                    "Categories were given to a checkpoint that has none; leave them out."
                )
            return [self.separator_id] * n
        if category_indices is None or len(category_indices) != n:
            got = "none" if category_indices is None else str(len(category_indices))
            raise InputError(f"{n} points need {n} categories; got {got}.")
        known = range(len(self.category_ids))
        if any(c not in known and c != UNKNOWN_CATEGORY for c in category_indices):
            raise InputError(
                f"A category index is outside 0..{len(self.category_ids) - 1}; "
                f"this checkpoint knows {', '.join(self.category_names)}."
            )
        return [
            self.separator_id if c == UNKNOWN_CATEGORY else self.category_ids[c]
            for c in category_indices
        ]

    def parse(self, reply_ids: Sequence[int]) -> Parsed:
        """Read a reply (without latent tokens), as far as it follows the grammar."""
        bins: list[tuple[int, int]] = []
        categories: list[int] = []
        spans: list[tuple[int, int]] = []
        failure: ParseFailure | None = None
        pending_x: int | None = None
        for position, token in enumerate(reply_ids):
            if token not in self._allowed_sets[self.phase_at(position)]:
                failure = ParseFailure("unexpected token", position, int(token))
                break
            if token == self.end_id:
                if position + 1 < len(reply_ids):
                    failure = ParseFailure(
                        "token after end", position + 1, int(reply_ids[position + 1])
                    )
                break
            place = position % TOKENS_PER_POINT
            if place == 0:
                pending_x = int(token) - self.coordinate_start_id
            elif place == 1 and pending_x is not None:
                bins.append((pending_x, int(token) - self.coordinate_start_id))
                categories.append(-1)
                spans.append((position - 1, position + 1))
            else:
                spans[-1] = (spans[-1][0], position + 1)
                if self.has_categories:
                    categories[-1] = self.category_ids.index(int(token))
        else:
            failure = ParseFailure("no end", len(reply_ids))
        return Parsed(
            np.array(bins, dtype=np.int64).reshape(-1, 2),
            np.array(categories, dtype=np.int64),
            tuple(spans),
            failure,
        )

    # Grammar

    def phase_at(self, position: int) -> Literal["first", "x", "y", "after"]:
        """What stands at `position` of a reply."""
        if position == 0:
            return "first"
        place = position % TOKENS_PER_POINT
        return "x" if place == 0 else "y" if place == 1 else "after"

    def allowed_at(self, position: int) -> NDArray[np.int64]:
        """Ids that may stand at `position` of a reply, ascending.

        An end token is legal first of all (no nucleus), and then where a comma could stand, or,
        with categories, where the next point could begin.
        """
        return self._allowed[self.phase_at(position)]

    def coordinates_at(self, position: int) -> NDArray[np.bool_]:
        """Which ids of `allowed_at` are coordinates, in their order."""
        bins = self.allowed_at(position) - self.coordinate_start_id
        return (bins >= 0) & (bins < self.bins)

    @cached_property
    def _allowed(self) -> dict[str, NDArray[np.int64]]:
        coordinates = range(self.coordinate_start_id, self.coordinate_start_id + self.bins)
        ends_before_x = (self.end_id,) if self.has_categories else ()
        after = self.category_ids if self.has_categories else (self.separator_id, self.end_id)
        phases = {
            "first": (*coordinates, self.end_id),
            "x": (*coordinates, *ends_before_x),
            "y": tuple(coordinates),
            "after": after,
        }
        return {phase: np.array(sorted(ids), dtype=np.int64) for phase, ids in phases.items()}

    @cached_property
    def _allowed_sets(self) -> dict[str, frozenset[int]]:
        return {phase: frozenset(ids.tolist()) for phase, ids in self._allowed.items()}

    # The checkpoint's description

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` carries it."""
        return {
            "version": CODEC_VERSION,
            "bins": self.bins,
            "window_px": self.window_px,
            "coordinate_start_id": self.coordinate_start_id,
            "separator_id": self.separator_id,
            "end_id": self.end_id,
            "latent_ids": list(self.latent_ids),
            "category_ids": list(self.category_ids),
            "category_names": list(self.category_names),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Codec:
        """Inverse of `to_json`.

        Raises
        ------
        CheckpointError
            If the version is foreign, or a field is missing or malformed.
        """
        version = data.get("version")
        if version != CODEC_VERSION:
            raise CheckpointError(
                f"The checkpoint writes points with codec version {version}; this version of "
                f"napari-nunext reads version {CODEC_VERSION}. Use a matching release, or export "
                "the checkpoint again."
            )
        try:
            return cls(
                bins=int(data["bins"]),
                window_px=int(data["window_px"]),
                coordinate_start_id=int(data["coordinate_start_id"]),
                separator_id=int(data["separator_id"]),
                end_id=int(data["end_id"]),
                latent_ids=tuple(int(i) for i in data["latent_ids"]),
                category_ids=tuple(int(i) for i in data["category_ids"]),
                category_names=tuple(str(n) for n in data["category_names"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"The checkpoint's codec is malformed ({error!r}). Export the checkpoint again."
            ) from error
