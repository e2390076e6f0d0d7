from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.instance_scores import InstanceCase, score_instances
from napari_nunext.core.scores.instances import (
    Overlaps,
    aji,
    match_instances,
    pq,
)

small = hnp.arrays(np.int32, (5, 6), elements=st.integers(0, 4))


def instances_of(labels):
    """Sets of pixels by label: nothing in common with counting by sorted pairs."""
    pixels = {}
    for place, value in np.ndenumerate(labels):
        if value:
            pixels.setdefault(int(value), set()).add(place)
    return pixels


def slow_pq(pred, true):
    """DQ, SQ and PQ by comparing every instance with every other."""
    predicted, nuclei = instances_of(pred), instances_of(true)
    ious = [
        len(p & t) / len(p | t) for p, t in itertools.product(predicted.values(), nuclei.values())
    ]
    pairs = [iou for iou in ious if iou > 0.5]
    tp, fp, fn = len(pairs), len(predicted) - len(pairs), len(nuclei) - len(pairs)
    if not predicted and not nuclei:
        return 1.0, 1.0, 1.0
    dq = tp / (tp + 0.5 * fp + 0.5 * fn)
    sq = sum(pairs) / tp if tp else 0.0
    return dq, sq, dq * sq


def slow_aji(pred, true):
    """Algorithm 1 of Kumar et al. (2017), with sets."""
    predicted, nuclei = instances_of(pred), instances_of(true)
    common = union = 0
    taken = set()
    for _, nucleus in sorted(nuclei.items()):
        best, best_iou = None, 0.0
        for label, p in sorted(predicted.items()):
            iou = len(p & nucleus) / len(p | nucleus)
            if iou > best_iou:
                best, best_iou = label, iou
        if best is None:
            union += len(nucleus)
        else:
            common += len(nucleus & predicted[best])
            union += len(nucleus | predicted[best])
            taken.add(best)
    union += sum(len(p) for label, p in predicted.items() if label not in taken)
    return common / union if union else 1.0


def random_labels(rng, n=14, side=40):
    """Discs of random size over each other, with labels that leave gaps."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), dtype=np.int32)
    for label in rng.choice(np.arange(1, 5 * n), n, replace=False):
        cx, cy = rng.uniform(0, side, 2)
        labels[(x - cx) ** 2 + (y - cy) ** 2 <= rng.uniform(2, 6) ** 2] = label
    return labels


def shaken(rng, labels):
    """The same image moved a little, some instances lost, some split."""
    moved = np.roll(labels, rng.integers(-1, 2, 2), axis=(0, 1))
    lost = rng.choice(np.unique(labels), 3)
    moved[np.isin(moved, lost)] = 0
    cut = int(rng.choice(np.unique(labels)))
    upper = np.arange(len(labels))[:, None] < len(labels) / 2
    moved[(moved == cut) & upper] = moved.max() + 7
    return moved


@pytest.mark.parametrize("seed", range(12))
def test_random_label_images_agree_with_the_slow_way(seed):
    rng = np.random.default_rng(seed)
    true = random_labels(rng)
    for pred in (shaken(rng, true), random_labels(rng)):
        found = match_instances(pred, true)
        assert (found.dq, found.sq, found.pq) == pytest.approx(slow_pq(pred, true), abs=1e-12)
        assert aji(pred, true) == pytest.approx(slow_aji(pred, true), abs=1e-12)


@given(small, small)
def test_any_two_label_images_agree_with_the_slow_way(pred, true):
    assert pq(pred, true) == pytest.approx(slow_pq(pred, true)[2], abs=1e-12)
    assert aji(pred, true) == pytest.approx(slow_aji(pred, true), abs=1e-12)


@given(small)
def test_an_image_against_itself_is_perfect_whatever_its_labels(labels):
    renamed = np.where(labels > 0, 1000 - 7 * labels.astype(np.int64), 0)
    found = match_instances(renamed, labels)
    assert (found.dq, found.sq, found.pq, aji(renamed, labels)) == (1, 1, 1, 1)


def test_figures_equal_a_count_by_hand():
    # Nucleus 1: 4 px, prediction covers 3 of them and no other: IoU 3/4. Nucleus 2: 2 px, shares 1
    # px with a prediction of 2 px: IoU 1/3. Prediction 9 (1 px) touches nothing.
    true = np.array([[1, 1, 0, 2, 2, 0], [1, 1, 0, 0, 0, 0]])
    pred = np.array([[5, 5, 0, 0, 7, 7], [5, 0, 0, 9, 0, 0]])
    found = match_instances(pred, true)
    assert (found.tp, found.fp, found.fn) == (1, 2, 1)
    assert found.pred_label.tolist() == [5]
    assert found.true_label.tolist() == [1]
    assert found.dq == pytest.approx(1 / 2.5)
    assert found.sq == pytest.approx(0.75)
    assert found.pq == pytest.approx(0.3)
    assert aji(pred, true) == pytest.approx((3 + 1) / (4 + 3 + 1))


def test_half_is_not_more_than_half():
    true, pred = np.array([[1, 1]]), np.array([[1, 0]])
    assert match_instances(pred, true).tp == 0
    assert aji(pred, true) == 0.5


def test_one_prediction_taken_by_two_nuclei_counts_for_both_in_aji_and_for_none_in_pq():
    true, pred = np.array([[1, 1, 2, 2]]), np.array([[3, 3, 3, 3]])
    assert aji(pred, true) == pytest.approx((2 + 2) / (4 + 4))
    assert pq(pred, true) == 0


def test_empty_images():
    empty, one = np.zeros((4, 4), dtype=np.uint8), np.eye(4, dtype=np.uint8)
    assert (pq(empty, empty), aji(empty, empty)) == (1, 1)
    assert (pq(one, empty), aji(one, empty)) == (0, 0)
    assert (pq(empty, one), aji(empty, one)) == (0, 0)
    assert pq(np.zeros((0, 0), dtype=int), np.zeros((0, 0), dtype=int)) == 1


def test_huge_labels_cost_no_table():
    labels = np.zeros((6, 6), dtype=np.int64)
    labels[1:3, 1:3], labels[4, 4] = 2**60, 2**61
    overlaps = Overlaps.of(labels, labels)
    assert overlaps.true_labels.tolist() == [2**60, 2**61]
    assert overlaps.true_area_px.tolist() == [4, 1]
    assert pq(labels, labels) == 1


@pytest.mark.parametrize("background", [True, False])
def test_huge_labels_score_as_small_ones_do(background):
    small = (
        np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 0, 0]])
        if background
        else np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]])
    )
    other = np.roll(small, 1, axis=1)
    huge = np.where(small > 0, small.astype(np.int64) * 10**9 + 7, 0)
    assert (pq(huge, other), aji(huge, other)) == (pq(small, other), aji(small, other))
    assert Overlaps.of(huge, other).pred_labels.tolist() == sorted(set(huge[huge > 0].tolist()))


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (np.zeros((2, 3), dtype=int), r"predicted \(2, 3\), true \(2, 2\)"),
        (np.zeros((2, 2)), "float64"),
        (np.array([[0, -1], [0, 0]]), "negative"),
        (np.zeros((2, 2, 1), dtype=int), r"\(2, 2, 1\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(pred, message):
    with pytest.raises(InputError, match=message):
        pq(pred, np.zeros((2, 2), dtype=int))


def test_a_threshold_at_which_pairs_are_not_unique_is_refused():
    labels = np.ones((2, 2), dtype=int)
    with pytest.raises(InputError, match=r"0\.5 to below 1"):
        match_instances(labels, labels, iou=0.3)


def slow_pannuke(cases, names):
    """PanNuke's evaluation as it is written: NaN where the truth is empty, then nanmean."""
    rows = []
    for case in cases:
        pqs = []
        for name in names:
            parts = [
                np.where(np.isin(labels, [i for i, c in of.items() if c == name]), labels, 0)
                for labels, of in (
                    (case.pred, case.pred_categories),
                    (case.true, case.true_categories),
                )
            ]
            pqs.append(slow_pq(*parts)[2] if parts[1].any() else np.nan)
        binary = slow_pq(case.pred, case.true)[2] if case.true.any() else np.nan
        rows.append((case.tissue, binary, pqs))
    by_class = [np.nanmean([row[2][j] for row in rows]) for j in range(len(names))]
    tissues = sorted({row[0] for row in rows})
    bpq = [np.nanmean([row[1] for row in rows if row[0] == t]) for t in tissues]
    mpq = [
        np.nanmean([np.nanmean(row[2]) for row in rows if row[0] == t and row[1] == row[1]])
        for t in tissues
    ]
    return by_class, dict(zip(tissues, zip(bpq, mpq, strict=True), strict=True))


def test_bpq_and_mpq_are_pannukes(rng):
    names = ("Dead", "Epithelial", "Neoplastic")
    cases = []
    for i in range(12):
        true = random_labels(rng, n=8) if i % 5 else np.zeros((40, 40), dtype=np.int32)
        pred = shaken(rng, true) if i % 5 else random_labels(rng, n=2)
        kinds = names[: 1 + i % 3]
        of_true = {int(v): str(rng.choice(kinds)) for v in np.unique(true) if v}
        of_pred = {int(v): str(rng.choice(names)) for v in np.unique(pred) if v}
        cases.append(InstanceCase(pred, true, of_pred, of_true, "Breast" if i % 2 else "Colon"))
    report = score_instances(cases)
    by_class, by_tissue = slow_pannuke(cases, names)
    assert list(report.pq_by_category) == list(names)
    assert list(report.pq_by_category.values()) == pytest.approx(by_class, abs=1e-9)
    for tissue, (bpq, mpq) in by_tissue.items():
        assert report.by_tissue[tissue].bpq == pytest.approx(bpq, abs=1e-9)
        assert report.by_tissue[tissue].mpq == pytest.approx(mpq, abs=1e-9)
    assert report.bpq == pytest.approx(np.mean([b for b, _ in by_tissue.values()]), abs=1e-9)
    assert report.mpq == pytest.approx(np.mean([m for _, m in by_tissue.values()]), abs=1e-9)
    assert (report.images, report.without_nuclei) == (9, 3)
    assert report.per_image[0] is None
    assert report.to_json()["by_tissue"]["Colon"]["images"] == report.by_tissue["Colon"].images


def test_an_image_in_which_nothing_was_found_counts_for_its_categories_too():
    one, none = np.ones((2, 2), dtype=int), np.zeros((2, 2), dtype=int)
    found = InstanceCase(one, one, {1: "Dead"}, {1: "Dead"})
    report = score_instances([found, InstanceCase(none, one, None, {1: "Dead"})])
    assert (report.bpq, report.mpq, report.pq_by_category) == (0.5, 0.5, {"Dead": 0.5})
    sorts_nothing = [InstanceCase(one, one, None, {1: "Dead"}), InstanceCase(none, one)]
    assert score_instances(sorts_nothing).mpq is None


def test_instances_of_different_categories_do_not_cut_each_other():
    large, small = np.ones((4, 4), dtype=int), np.zeros((4, 4), dtype=int)
    small[:2] = 2
    truth = {"true_categories": {1: "Dead", 2: "Alive"}, "true": np.where(small, small, large)}
    truth["true_by_category"] = channels = {"Dead": large, "Alive": small}
    painted = {"pred": truth["true"], "pred_categories": truth["true_categories"]}
    report = score_instances([InstanceCase(**painted, **truth, pred_by_category=channels)])
    assert report.pq_by_category == {"Alive": 1.0, "Dead": 1.0}
    cut = score_instances([InstanceCase(**painted, **truth)])
    assert cut.pq_by_category == {"Alive": 1.0, "Dead": 0.0}


def test_nuclei_that_nobody_sorted_are_no_category():
    labels = np.array([[1, 1, 0, 2, 2]])
    truth = {1: "Dead", 2: UNCATEGORISED}
    report = score_instances([InstanceCase(labels, labels, {1: "Dead", 2: "Dead"}, truth)])
    assert report.pq_by_category == {"Dead": 1.0}
    assert report.mpq == 1.0


def test_tissues_weigh_alike_whatever_their_number_of_images():
    one, none = np.ones((2, 2), dtype=int), np.zeros((2, 2), dtype=int)
    cases = [InstanceCase(one, one, tissue="Skin"), *[InstanceCase(none, one, tissue="Lung")] * 3]
    report = score_instances(cases)
    assert report.bpq == 0.5
    assert report.pq == 0.25
    assert report.mpq is None


def test_there_is_no_report_of_nothing():
    assert score_instances([]) is None
    empty = np.zeros((2, 2), dtype=int)
    assert score_instances([InstanceCase(empty, empty)]) is None
