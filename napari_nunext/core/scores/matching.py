"""One-to-one matching of predicted with true centroids (NuNext, Eq. 13-14).

Two methods, and every result says which it used:

``"hungarian"``
    As the paper has it: among all pairs, total distance is minimised first, and only then are
    matches beyond the radius dropped.
``"gated"``
    Only pairs within the radius may match; the number of matches is maximised first, then total
    distance minimised. Finds at least as many matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import scipy

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import as_points_xy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.geometry import PointsXY

Method: TypeAlias = Literal["hungarian", "gated"]

HUNGARIAN_LIMIT = 4_000
"""Above this many points on either side, ``"hungarian"`` is refused: it is cubic and dense."""


@dataclass(frozen=True, eq=False, slots=True)
class Matching:
    """Which prediction is which nucleus."""

    pred_index: NDArray[np.intp]
    """Shape (tp,): matched predictions, ascending."""
    true_index: NDArray[np.intp]
    """Shape (tp,): the true nucleus of each."""
    distance_px: NDArray[np.float64]
    """Shape (tp,)."""
    n_pred: int
    n_true: int
    radius_px: float
    method: Method

    @property
    def tp(self) -> int:
        """Matched predictions."""
        return len(self.pred_index)

    @property
    def fp(self) -> int:
        """Predictions that match no nucleus."""
        return self.n_pred - self.tp

    @property
    def fn(self) -> int:
        """Nuclei that no prediction matches."""
        return self.n_true - self.tp

    @property
    def is_true_positive(self) -> NDArray[np.bool_]:
        """Shape (n_pred,): the verdict on each prediction, in its order (Eq. 14, Eq. 18)."""
        verdict = np.zeros(self.n_pred, dtype=bool)
        verdict[self.pred_index] = True
        return verdict


def match_points(
    pred_xy: ArrayLike, true_xy: ArrayLike, *, radius_px: float, method: Method = "gated"
) -> Matching:
    """Match predictions to nuclei one-to-one.

    Parameters
    ----------
    pred_xy, true_xy : array_like, shape (N, 2) and (M, 2)
        Centroids in the same pixels. Either may be empty.
    radius_px : float
        Largest accepted distance, inclusive. Callers hold radii in um and divide by the mpp.
    method : {"gated", "hungarian"}
        See the module. Both are exact; ``"gated"`` also at a hundred thousand points, because
        it falls apart into the groups that the radius connects.

    Raises
    ------
    InputError
        If points are malformed, the radius is not positive and finite, or ``"hungarian"`` is asked
        for more than `HUNGARIAN_LIMIT` points.

    References
    ----------
    Kuhn (1955), as `scipy.optimize.linear_sum_assignment`; NuNext, Eq. 13-14.
    """
    pred, true = as_points_xy(pred_xy), as_points_xy(true_xy)
    if not (np.isfinite(radius_px) and radius_px > 0):
        raise InputError(f"The matching radius is {radius_px}; expected a positive number of px.")
    if method not in ("gated", "hungarian"):
        raise InputError(f"Matching method {method!r} is unknown; expected 'gated' or 'hungarian'.")
    if method == "hungarian" and max(len(pred), len(true)) > HUNGARIAN_LIMIT:
        raise InputError(
            f"Hungarian matching of {len(pred)} with {len(true)} points is too large; "
            f"expected at most {HUNGARIAN_LIMIT}. Use method='gated', or match tile by tile."
        )
    if len(pred) == 0 or len(true) == 0:
        rows = cols = np.empty(0, dtype=np.intp)
    elif method == "hungarian":
        rows, cols = scipy.optimize.linear_sum_assignment(scipy.spatial.distance.cdist(pred, true))
    else:
        rows, cols = _match_gated(pred, true, radius_px)
    distance = np.hypot(*(pred[rows] - true[cols]).T)
    near = distance <= radius_px
    order = np.argsort(rows[near])
    return Matching(
        pred_index=rows[near][order],
        true_index=cols[near][order],
        distance_px=distance[near][order],
        n_pred=len(pred),
        n_true=len(true),
        radius_px=float(radius_px),
        method=method,
    )


def _match_gated(
    pred: PointsXY, true: PointsXY, radius_px: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Solve each connected group of pairs within the radius on its own."""
    # The tree's own rounding may differ from ours by an ulp: search wider, cut exactly.
    pairs = scipy.spatial.cKDTree(pred).sparse_distance_matrix(
        scipy.spatial.cKDTree(true), radius_px * (1 + 1e-9), output_type="ndarray"
    )
    i, j = pairs["i"].astype(np.intp), pairs["j"].astype(np.intp)
    distance = np.hypot(*(pred[i] - true[j]).T)
    near = distance <= radius_px
    i, j, distance = i[near], j[near], distance[near]
    n = len(pred) + len(true)
    graph = scipy.sparse.coo_array(
        (np.ones(len(i), dtype=np.int8), (i, j + len(pred))), shape=(n, n)
    )
    group_of_node = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    by_group = np.argsort(group_of_node[i], kind="stable")
    i, j, distance = i[by_group], j[by_group], distance[by_group]
    bounds = np.flatnonzero(np.diff(group_of_node[i])) + 1
    starts = np.concatenate(([0], bounds))
    stops = np.concatenate((bounds, [len(i)]))
    single = stops - starts == 1
    rows, cols = [i[starts[single]]], [j[starts[single]]]
    for start, stop in zip(starts[~single], stops[~single], strict=True):
        part = slice(start, stop)
        pred_ids, r = np.unique(i[part], return_inverse=True)
        true_ids, c = np.unique(j[part], return_inverse=True)
        # A pair beyond the radius must cost more than any set of pairs within it, so that the
        # number of matches comes first and total distance second.
        beyond = float(radius_px) * (min(len(pred_ids), len(true_ids)) + 1)
        cost = np.full((len(pred_ids), len(true_ids)), beyond)
        cost[r, c] = distance[part]
        a, b = scipy.optimize.linear_sum_assignment(cost)
        matched = cost[a, b] < beyond
        rows.append(pred_ids[a[matched]])
        cols.append(true_ids[b[matched]])
    return np.concatenate(rows), np.concatenate(cols)
