"""HoVer-Net's and PanNuke's figures by definitions that share nothing with ours: sets and search.

Written from the papers and the text of the public evaluation codes: Graham et al. (2019), Gamper et
al. (2020), NuNext's Eq. 13. Run as a script it draws small cases (some images empty on either side,
masks over each other, nuclei that nobody sorted) and writes them with their figures to
``parity.json``, which the tests hold against ours:

    python -m tests.training.parity_definitions
"""

from __future__ import annotations

import json
from itertools import combinations, permutations
from math import dist, nan
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_name("parity.json")
KINDS = ("Dead", "Epithelial", "Inflammatory")
UNSORTED = "Nucleus"
TISSUES = ("Breast", "Colon")
SIDE = 14
RADIUS = 3.0


# Points (HoVer-Net's F1 of types, and the two ways to match)


def assignments(pred, true):
    """Every way to pair as many as there can be, one to one."""
    few, many = sorted((range(len(pred)), range(len(true))), key=len)
    for chosen in permutations(many, len(few)):
        pairs = list(zip(few, chosen, strict=True))
        yield pairs if len(pred) <= len(true) else [(p, t) for t, p in pairs]


def match_eq_13(pred, true):
    """Least total distance over all pairs; those beyond the radius are dropped afterwards."""
    best = min(
        assignments(pred, true), key=lambda pairs: sum(dist(pred[p], true[t]) for p, t in pairs)
    )
    return [(p, t) for p, t in best if dist(pred[p], true[t]) <= RADIUS]


def match_gated(pred, true):
    """Most pairs within the radius, and of those the least total distance."""
    near = [
        (p, t)
        for p in range(len(pred))
        for t in range(len(true))
        if dist(pred[p], true[t]) <= RADIUS
    ]
    for size in range(min(len(pred), len(true)), 0, -1):
        sets = [
            s
            for s in combinations(near, size)
            if len({p for p, _ in s}) == len({t for _, t in s}) == size
        ]
        if sets:
            return list(min(sets, key=lambda s: sum(dist(pred[p], true[t]) for p, t in s)))
    return []


def type_f1(images, match, kind, weights=(2, 2, 1, 1)):
    """F_c with its weights, over all images together."""
    tp = fp = fn = fp_d = fn_d = 0
    for image in images:
        pred, true = image["pred"], image["true"]
        pairs = match([p["xy"] for p in pred], [t["xy"] for t in true])
        for p, t in pairs:
            said, is_ = pred[p]["type"], true[t]["type"]
            tp += said == kind and is_ == kind
            fp += said == kind and is_ not in (kind, UNSORTED)
            fn += said != kind and is_ == kind
        fp_d += sum(x["type"] == kind for i, x in enumerate(pred) if i not in {p for p, _ in pairs})
        fn_d += sum(x["type"] == kind for i, x in enumerate(true) if i not in {t for _, t in pairs})
    a, b, c, d = weights
    return 2 * tp / (2 * tp + a * fp + b * fn + c * fp_d + d * fn_d)


def counts(images, match):
    """Pairs, false positives and false negatives, types aside."""
    found = [len(match([p["xy"] for p in i["pred"]], [t["xy"] for t in i["true"]])) for i in images]
    return [
        sum(found),
        sum(len(i["pred"]) for i in images) - sum(found),
        sum(len(i["true"]) for i in images) - sum(found),
    ]


# Masks (PanNuke's bPQ and mPQ, HoVer-Net's DQ, SQ, PQ and AJI)


def visible(instances, index):
    """What is left of one where later ones cover it."""
    above = {tuple(px) for later in instances[index + 1 :] for px in later["pixels"]}
    return {tuple(px) for px in instances[index]["pixels"]} - above


def painted(instances):
    """What is left of each; those of which nothing is are gone."""
    left = [visible(instances, i) for i in range(len(instances))]
    return [(rest, i) for rest, i in zip(left, instances, strict=True) if rest]


def iou(a, b):
    return len(a & b) / len(a | b)


def panoptic(pred, true):
    """DQ, SQ and PQ; the public code's 1e-6 included."""
    ious = [iou(p, t) for p in pred for t in true if iou(p, t) > 0.5]
    tp, fp, fn = len(ious), len(pred) - len(ious), len(true) - len(ious)
    dq = tp / (tp + 0.5 * fp + 0.5 * fn)
    sq = sum(ious) / (tp + 1e-6)
    return dq, sq, dq * sq


def aggregated_jaccard(pred, true):
    """Algorithm 1 of Kumar et al. (2017)."""
    common = union = 0
    taken = set()
    for t in true:
        best = max(range(len(pred)), key=lambda i: iou(pred[i], t), default=None)
        if best is None or not pred[best] & t:
            union += len(t)
            continue
        common += len(pred[best] & t)
        union += len(pred[best] | t)
        taken.add(best)
    union += sum(len(p) for i, p in enumerate(pred) if i not in taken)
    return common / union


def mask_figures(images):
    """Means over images, and over the images of a tissue and then tissues."""
    rows = []
    for image in images:
        pred, true = painted(image["pred"]), painted(image["true"])
        if not true:
            continue
        all_pred, all_true = [p for p, _ in pred], [t for t, _ in true]
        on_unsorted = [t for t, instance in true if instance["type"] == UNSORTED]
        spared = [i for p, i in pred if any(iou(p, t) > 0.5 for t in on_unsorted)]
        by_kind = []
        for kind in KINDS:
            channel = [t for t, _ in painted(of(image["true"], kind))]
            said = [p for p, i in painted(of(image["pred"], kind)) if i not in spared]
            by_kind.append(panoptic(said, channel)[2] if channel else nan)
        binary = panoptic(all_pred, all_true)
        rows.append((image["tissue"], *binary, aggregated_jaccard(all_pred, all_true), by_kind))
    bpq, mpq = [], []
    for tissue in TISSUES:
        here = [row for row in rows if row[0] == tissue]
        bpq.append(np.nanmean([row[3] for row in here]))
        mpq.append(np.nanmean([np.nanmean(r[5]) for r in here if not np.all(np.isnan(r[5]))]))
    return {
        "dq": np.mean([row[1] for row in rows]),
        "sq": np.mean([row[2] for row in rows]),
        "pq": np.mean([row[3] for row in rows]),
        "aji": np.mean([row[4] for row in rows]),
        "pq_by_category": dict(
            zip(KINDS, np.nanmean([row[5] for row in rows], axis=0), strict=True)
        ),
        "bpq": np.mean(bpq),
        "mpq": np.mean(mpq),
        "images": len(rows),
    }


def of(instances, kind):
    return [i for i in instances if i["type"] == kind]


# Cases

BROKEN_BY_A_FAR_PAIR = {
    "pred": [{"xy": [0, 0], "type": "Dead"}, {"xy": [10, 0], "type": "Dead"}],
    "true": [{"xy": [9, 0], "type": "Dead"}, {"xy": [14, 0], "type": "Epithelial"}],
}
"""The least total distance pairs 0 with 9 and 10 with 14, and neither is within the radius."""


def draw_points(rng, index):
    kinds = (*KINDS, UNSORTED) if index % 2 else KINDS
    true = [
        {"xy": [round(float(v), 2) for v in rng.uniform(0, 9, 2)], "type": str(kind)}
        for kind in rng.choice(kinds, rng.integers(1, 6))
    ]
    pred = []
    for nucleus in true:
        if rng.random() < 0.8:
            xy = [round(v + float(rng.normal(0, 2.2)), 2) for v in nucleus["xy"]]
            said = str(rng.choice((*KINDS, UNSORTED)))
            pred.append({"xy": xy, "type": nucleus["type"] if rng.random() < 0.6 else said})
    for kind in rng.choice(KINDS, rng.integers(0, 2)):
        xy = [round(float(v), 2) for v in rng.uniform(0, 9, 2)]
        pred.append({"xy": xy, "type": str(kind)})
    return {
        "pred": [] if index % 7 == 1 else pred,
        "true": [] if index % 7 == 4 else true,
    }


def draw_masks(rng, index):
    rows, columns = np.mgrid[:SIDE, :SIDE]

    def disc(x, y, radius, kind):
        inside = np.argwhere((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)
        return {"type": str(kind), "pixels": inside.tolist()}

    kinds = (*KINDS, UNSORTED)[: 4 if index % 2 else 3]
    true, pred = [], []
    for _ in range(int(rng.integers(3, 7))):
        x, y, radius = *rng.uniform(1, SIDE - 1, 2), rng.uniform(1.5, 3.5)
        kind = rng.choice(kinds)
        true.append(disc(x, y, radius, kind))
        if rng.random() < 0.8:
            said = kind if rng.random() < 0.7 else rng.choice(KINDS)
            shift = rng.uniform(-0.8, 0.8, 2)
            pred.append(disc(x + shift[0], y + shift[1], radius, said))
    true, pred = ([i for i in side if i["pixels"]] for side in (true, pred))
    return {
        "tissue": TISSUES[index % 2],
        "true": [] if index % 7 == 5 else true,
        "pred": [] if index % 7 == 2 else pred,
    }


def figures(points, masks):
    """All figures of the cases, rounded where no difference could hide."""
    by_matching = {
        name: {
            "counts": counts(points, match),
            "type_f1": {kind: round(type_f1(points, match, kind), 12) for kind in KINDS},
        }
        for name, match in (("gated", match_gated), ("hungarian", match_eq_13))
    }

    def rounded(value):
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items()}
        return value if isinstance(value, int) else round(float(value), 12)

    return {"points": by_matching, "masks": rounded(mask_figures(masks))}


def main():
    rng = np.random.default_rng(2019)
    points = [BROKEN_BY_A_FAR_PAIR, *(draw_points(rng, i) for i in range(40))]
    masks = [draw_masks(rng, i) for i in range(24)]
    data = {"points": points, "masks": masks, "figures": figures(points, masks)}
    TABLE.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
