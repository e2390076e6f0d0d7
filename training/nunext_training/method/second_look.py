"""Fitting a second look at categories: softmax regression on top of what a model says. Ours.

What is fitted is added to the model's own scores, and held near zero: with no evidence against it,
the model is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 30
"""Nuclei of each category that a layer is fitted to."""
PENALTY = 1 / 0.003
"""Of the squared weights of standardised features, halved, beside the summed loss of all nuclei.
Chosen by cross-validation by patient (docs/decisions/second-look.md); it matters little."""
_SMALLEST_SPREAD = 1e-3
"""Features that spread less are not blown up."""


def fit_second_look(
    seen: NDArray[np.floating], scores: NDArray[np.floating], truth: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The layer that makes the true categories of N nuclei likeliest, less its penalty.

    Parameters
    ----------
    seen : ndarray, shape (N, 2 * width)
        As `DecodeStep.seen`.
    scores : ndarray, shape (N, C)
        The model's logits of the categories; minus infinity where one may not be said. Nuclei whose
        true category may not be said teach nothing.
    truth : ndarray of int, shape (N,)
        The true category of each, 0 to C - 1.

    Returns
    -------
    (ndarray, ndarray)
        Weights, shape (C, 2 * width), and biases, shape (C,), of what is added to the scores.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST` nuclei of a category.
    """
    can_be = np.isfinite(scores[np.arange(len(truth)), truth])
    seen, scores, truth = seen[can_be], scores[can_be], truth[can_be]
    count, choices = scores.shape
    of_each = np.bincount(truth, minlength=choices)
    if count == 0 or of_each.min() < FEWEST:
        raise InputError(
            f"There are {', '.join(map(str, of_each))} nuclei of the categories; expected "
            f"{FEWEST} or more of each. Give more data, or name other categories."
        )
    mean = seen.mean(axis=0, dtype=np.float64)
    spread = np.maximum(seen.std(axis=0, dtype=np.float64), _SMALLEST_SPREAD)
    features = np.hstack([(seen - mean) / spread, np.ones((count, 1))])
    penalty = np.full((features.shape[1], 1), PENALTY)
    penalty[-1] = 0.0
    is_true = np.eye(choices)[truth]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(-1, choices)
        logits = scores + features @ weights
        logits -= logits.max(axis=1, keepdims=True)
        log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        value = -log_shares[np.arange(count), truth].sum() + (penalty * weights**2).sum() / 2
        gradient = features.T @ (np.exp(log_shares) - is_true) + penalty * weights
        return value / count, gradient.ravel() / count

    start = np.zeros(features.shape[1] * choices)
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    weights = fitted.x.reshape(-1, choices)
    scaled = weights[:-1] / spread[:, None]
    biases = weights[-1] - mean @ scaled
    return np.ascontiguousarray(scaled.T, dtype=np.float32), biases.astype(np.float32)
