"""HoVer-Net's F1 of a type: all nuclei are matched first, whatever their type, then types compared.

Scores of a category elsewhere match the nuclei of the category among themselves. Both are in use,
and differ: a nucleus that was found and called otherwise is one miss and one false find there; here
it is a nucleus of another type, which weighs twice.

Definition followed (Graham et al., 2019, as their public code computes it)
--------------------------------------------------------------------------
``F_c = 2 TP_c / (2 TP_c + 2 FP_c + 2 FN_c + FP_d + FN_d)``. Of the pairs, TP_c are of type c on
both sides, FP_c on the predicted side alone, FN_c on the true side alone; FP_d are predictions of
type c without a pair, FN_d nuclei of type c without one. The paper's formula has TN_c beside TP_c,
the pairs that are right about another type; the code looks at pairs that c takes part in, where
there are none. As in the code for data of which not all have a type, a pair whose nucleus nobody
sorted counts neither for nor against its prediction. Unlike the code, an image without nuclei adds
none of no type at (0, 0), and places are not cut to whole pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_nunext.core.scores.matching import Matching


@dataclass(frozen=True, slots=True)
class TypeScore:
    """Counts of one type over one or many images; they add up as those of detection do."""

    tp: int = 0
    """Pairs of the type on both sides."""
    fp: int = 0
    """Pairs predicted as the type, whose nucleus is of another one."""
    fn: int = 0
    """Pairs whose nucleus is of the type, predicted as another one or as none."""
    fp_unmatched: int = 0
    """Predictions of the type without a pair."""
    fn_unmatched: int = 0
    """Nuclei of the type without a pair."""

    def __add__(self, other: TypeScore) -> TypeScore:
        return TypeScore(
            self.tp + other.tp,
            self.fp + other.fp,
            self.fn + other.fn,
            self.fp_unmatched + other.fp_unmatched,
            self.fn_unmatched + other.fn_unmatched,
        )

    @property
    def wrong(self) -> int:
        """What the hits are set against: a wrong type weighs twice what a wrong place does."""
        return 2 * (self.fp + self.fn) + self.fp_unmatched + self.fn_unmatched

    @property
    def f1(self) -> float:
        """F_c of the module; 1 where neither side has the type."""
        total = 2 * self.tp + self.wrong
        return 2 * self.tp / total if total else 1.0

    def to_json(self) -> dict[str, Any]:
        """Counts and figure."""
        return {**asdict(self), "f1": self.f1}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TypeScore:
        """Inverse of `to_json`."""
        names = ("tp", "fp", "fn", "fp_unmatched", "fn_unmatched")
        return cls(*(int(data[name]) for name in names))


def score_types(
    matching: Matching,
    pred_categories: Sequence[str],
    true_categories: Sequence[str],
    names: Sequence[str],
) -> dict[str, TypeScore]:
    """Compare the types of matched nuclei.

    Parameters
    ----------
    matching : Matching
        Of all predictions with all nuclei.
    pred_categories, true_categories : sequence of str
        One for each prediction and nucleus.
    names : sequence of str
        The types to score.
    """
    pred = np.asarray(pred_categories, dtype=object)
    true = np.asarray(true_categories, dtype=object)
    paired_pred, paired_true = pred[matching.pred_index], true[matching.true_index]
    rest_pred = np.delete(pred, matching.pred_index)
    rest_true = np.delete(true, matching.true_index)
    is_sorted = paired_true != UNCATEGORISED
    return {
        name: TypeScore(
            tp=int(np.sum((paired_pred == name) & (paired_true == name))),
            fp=int(np.sum((paired_pred == name) & (paired_true != name) & is_sorted)),
            fn=int(np.sum((paired_pred != name) & (paired_true == name))),
            fp_unmatched=int(np.sum(rest_pred == name)),
            fn_unmatched=int(np.sum(rest_true == name)),
        )
        for name in names
    }
