"""Questions that are derived from annotated nuclei."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.synthetic import SynthesisOptions
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.derived import points
from nunext_training.data.derived.deriving import (
    ORIGIN,
    Deriving,
    Evidence,
    derive,
    threshold_of,
)
from nunext_training.data.derived.evidence import Mix, disturbed
from nunext_training.data.derived.pixels import stain_at
from nunext_training.data.derived.splits import dealt_out, kept_whole
from nunext_training.data.derived.window import AnnotatedWindow, Spoken
from nunext_training.data.importers.questions.writing import write_questions
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import LabelledImage
from nunext_training.data.stain import STAINS
from nunext_training.evaluation.answering.rules import answer_by_rule

NAMES = ("Lymphocyte", "Stromal", "Tumour or epithelial")
MPP = 0.5
PLAIN = Deriving(stain_strength=0.0, turn=False, scale=1.0, threshold=1.0)


def tile_of(folder, rng, *, size=(300, 280), n=120, split="val", patient="p", name="tile"):
    """A tile of noise, pink, with nuclei at random."""
    width, height = size
    path = folder / f"{name}.png"
    rgb = rng.integers(120, 250, (height, width, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(path)
    points_xy = rng.integers(0, (width, height), (n, 2)) + 0.5
    return LabelledImage(
        name=name,
        path=path,
        mpp=MPP,
        mpp_source="user",
        points_xy=points_xy.astype(np.float64),
        categories=tuple(map(str, rng.choice(NAMES, n, p=[0.3, 0.3, 0.4]))),
        split=split,
        patient=patient,
        image_sha256=f"{name:0<64}",
    )


def pictures(tiles, evidence="true", options=PLAIN, names=NAMES):
    return [each for member in derive(tiles, names, evidence, options) for each in member()]


def written(tiles, out, evidence="true", options=PLAIN, names=NAMES):
    write_questions(
        derive(tiles, names, evidence, options),
        out,
        origin=ORIGIN,
        mpp=MPP,
        mpp_source="user",
        strict=True,
    )
    return [json.loads(line) for line in (out / "answers_rft.jsonl").read_text().splitlines()]


def brute_force(kind, question, nuclei, area_mm2):
    """The answer to a question from what the record says of nuclei, written another way."""
    words = {"lymphocyte": NAMES[0], "stromal": NAMES[1], "tumour": NAMES[2]}
    about = next((words[w] for w in words if w in question), None)
    places = [(x, y) for x, y, category in nuclei if about in (None, category)]
    if kind == "dominant":
        n = Counter(category for _, _, category in nuclei)
        return next(w for w in words if words[w] == n.most_common(1)[0][0])
    if kind == "density":
        n = len(nuclei) / area_mm2
        return points.DENSITIES[0 if n < 2807.6 else 1 if n < 4760.7 else 2]
    if kind == "present":
        return "yes" if len(places) >= int(question.split()[4]) else "no"
    if kind == "count":
        return str(len(places))
    assert kind == "quadrant"
    n = Counter(
        f"{'lower' if y >= 64 else 'upper'} {'right' if x >= 64 else 'left'}" for x, y in places
    )
    return n.most_common(1)[0][0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_answers_are_those_of_brute_force_over_the_nuclei_that_are_told(tmp_path, rng, split):
    tiles = [tile_of(tmp_path, rng, size=(384, 512), n=260, split=split)]
    rows = written(tiles, tmp_path / "out", options=replace(PLAIN, turn=split == "train"))
    seen = Counter()
    for row in rows:
        if row["kind"] not in points.MAKERS or row["kind"] == "boxes":
            continue
        question = row["prompt"][1]["content"].partition(" (A)")[0]
        assert row["truth"] == brute_force(row["kind"], question, row["nuclei"], 0.064**2), row
        seen[row["kind"]] += 1
    assert seen.keys() == points.MAKERS.keys() - {"boxes"}
    assert min(seen.values()) > 2


def test_boxes_are_round_chains_of_near_nuclei(rng):
    region, spoken = Box.of_image(128, 128), Spoken.of(("Lymphocyte",))
    window = AnnotatedWindow.cut(
        region,
        np.array([[2.0, 10], [12, 10], [31.9, 10], [51, 10], [100, 100], [120, 100.0]]),
        ["Lymphocyte"] * 6,
        spoken,
        MPP,
    )
    made = points.boxes(window, random.Random(0))
    # The last two are 20 px, 10 um, apart: no link, and too few anyhow.
    assert made.answer == (Box(0, 4, 57, 16),)
    assert made.question.prompt.startswith("Detect clusters of lymphocytes in pathology tissue.")


@pytest.mark.parametrize("size", [(300, 137), (90, 300), (128, 128), (500, 129), (20, 20)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_windows_lie_in_their_tile_and_show_its_pixels(tmp_path, rng, size, split):
    tile = tile_of(tmp_path, rng, size=size, split=split, n=60)
    extent = Box.of_image(*size)
    shown = pictures([tile], options=Deriving(windows_per_tile=40, grid=3))
    assert shown
    for each in shown:
        assert each.region.clipped_to(extent) == each.region
        assert each.region.width == pytest.approx(each.region.height)
        height, width = each.rgb.shape[:2]
        assert (width, height) == (min(128, *size),) * 2
        assert each.mpp == pytest.approx(MPP * each.region.width / width)
        assert each.image_sha256 == tile.image_sha256  # intervals are over tiles
        assert all(0 <= x <= width and 0 <= y <= height for x, y, _ in each.nuclei)
    if split == "test":
        assert len({each.region for each in shown}) == len(shown)


def test_a_window_without_turns_is_a_copy_of_the_tile(tmp_path, rng):
    tile = tile_of(tmp_path, rng, split="train")
    rgb = tile.open().rgb
    for each in pictures([tile]):
        x0, y0, x1, y1 = map(int, each.region.as_tuple())
        np.testing.assert_array_equal(each.rgb, rgb[y0:y1, x0:x1])


def test_one_seed_writes_the_same_bytes_whatever_other_tiles_there_are(tmp_path, rng):
    one, other = (tile_of(tmp_path, rng, name=name, split="train") for name in ("one", "two"))
    options = Deriving(windows_per_tile=3, threshold=1.0)
    lines = {}
    for name, tiles, seed in (("a", [one], 0), ("b", [other, one], 0), ("c", [one], 1)):
        written(tiles, tmp_path / name, options=replace(options, seed=seed))
        lines[name] = (tmp_path / name / "answers_sft.jsonl").read_bytes().splitlines()
    assert set(lines["a"]) < set(lines["b"])
    assert set(lines["a"]).isdisjoint(lines["c"])
    for path in (tmp_path / "a" / "images").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / "images" / path.name).read_bytes()


def test_a_tile_without_nuclei_is_asked_about_too(tmp_path, rng):
    rows = written([tile_of(tmp_path, rng, n=0)], tmp_path / "out")
    assert {row["kind"] for row in rows} == {"density", "present", "count", "boxes", "dark_count"}
    assert all(row["nuclei"] == [] for row in rows)
    truths = {row["kind"]: row["truth"] for row in rows}
    assert truths["count"] == truths["dark_count"] == "0"
    assert truths["density"] == points.DENSITIES[0]


def test_nuclei_without_categories_are_counted_and_not_told_apart(tmp_path, rng):
    tile = tile_of(tmp_path, rng)
    bare = replace(tile, categories=("Nucleus",) * len(tile.categories))
    rows = written([bare], tmp_path / "out", names=())
    assert "dominant" not in {row["kind"] for row in rows}
    counted = [row for row in rows if row["kind"] == "count"]
    assert counted
    for row in counted:
        assert row["prompt"][1]["content"] == "How many nuclei are there?"
        assert row["truth"] == str(len(row["nuclei"]))


def test_records_say_that_they_are_derived_and_are_read_with_their_kind(tmp_path, rng):
    tiles = [
        tile_of(tmp_path, rng, name=split, patient=split, split=split)
        for split in ("train", "val", "test")
    ]
    rows = written(tiles, tmp_path / "out", options=replace(PLAIN, windows_per_tile=2))
    assert all(row["id"].startswith("derived-") for row in rows)
    read = read_answers([tmp_path / "out"], "grpo", budget=64, patch_px=14, strict=True)
    for split in ("train", "val", "test"):
        there = [row for row in rows if row["source"]["split"] == split]
        assert [row["kind"] for row in getattr(read, split)] == [row["kind"] for row in there]
    # Questions about a window share one picture.
    assert len({row["images"][0] for row in rows}) == 2 + 16 + 16


# Evidence


def found_in(tile):
    """What a detector might say: half of the nuclei, all in one category."""
    half = tile.points_xy[::2]
    return Evidence(half, ("Stromal",) * len(half))


def test_held_out_windows_are_told_what_was_found_and_nothing_else(tmp_path, rng):
    tile = tile_of(tmp_path, rng, split="test", n=200)
    found = found_in(tile)
    for each in pictures([tile], [found]):
        inside = each.region.contains(found.points_xy)
        told = sorted((x, y) for x, y, _ in each.nuclei)
        here = np.round(found.points_xy[inside] - (each.region.x0, each.region.y0), 2)
        assert told == sorted(map(tuple, here.tolist()))
        assert {category for _, _, category in each.nuclei} <= {"Stromal"}


def test_windows_to_learn_from_are_told_a_mix(tmp_path, rng):
    tile = tile_of(tmp_path, rng, split="train", n=300)
    options = replace(PLAIN, windows_per_tile=200)
    told = Counter()
    for each in pictures([tile], [found_in(tile)], options):
        inside = each.region.contains(tile.points_xy)
        found = each.region.contains(found_in(tile).points_xy).sum()
        names = {category for _, _, category in each.nuclei}
        if len(each.nuclei) == inside.sum() != found:
            told["true"] += 1
        elif len(each.nuclei) == found and names == {"Stromal"}:
            told["found"] += 1
        else:
            assert len(each.nuclei) <= found
            told["disturbed"] += 1
    assert told.total() == 200
    # Of a binomial with 200 draws, four deviations.
    for name, share in (("found", 0.45), ("disturbed", 0.30), ("true", 0.25)):
        assert told[name] / 200 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 200))


def test_disturbed_nuclei_are_some_of_them_with_some_other_categories(rng):
    points_xy = rng.uniform(0, 100, (4000, 2))
    kept, said = disturbed(points_xy, ["Stromal"] * 4000, NAMES, rng)
    assert 4000 * 0.8 < len(kept) == len(said) <= 4000
    assert {tuple(p) for p in kept} <= {tuple(p) for p in points_xy}
    assert sum(name != "Stromal" for name in said) <= 4000 * 0.3
    assert set(said) <= set(NAMES)
    # With one category there is no other to call it by.
    assert set(disturbed(points_xy, ["A"] * 4000, ["A"], rng)[1]) == {"A"}
    assert disturbed(np.empty((0, 2)), [], NAMES, rng)[1] == ()


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (-0.5, 1, 0.5), (float("nan"), 0.5, 0.5)])
def test_a_mix_is_shares_of_one(shares):
    with pytest.raises(InputError, match="sum is 1"):
        Mix(*shares)


# Pixels


def stained_picture(amounts, side_px=128, radius_px=6, stain=0):
    """White, with a disc of a stain for each (x, y, amount)."""
    od = np.zeros((side_px, side_px))
    yy, xx = np.mgrid[:side_px, :side_px] + 0.5
    for x, y, amount in amounts:
        od[np.hypot(xx - x, yy - y) < radius_px] = amount
    return np.clip(np.rint(np.exp(-od[..., None] * STAINS[stain]) * 255), 0, 255).astype(np.uint8)


def test_the_stain_at_a_nucleus_is_that_in_a_disc_round_it():
    rgb = stained_picture([(30.5, 30.5, 1.0), (80.5, 40.5, 0.5), (0.5, 0.5, 0.8)])
    places = np.array([[30.5, 30.5], [80.5, 40.5], [0.5, 0.5], [60.5, 90.5]])
    found = stain_at(rgb, places, "haematoxylin", 0.5)
    np.testing.assert_allclose(found, [1.0, 0.5, 0.8, 0.0], atol=0.02)
    np.testing.assert_allclose(stain_at(rgb, places, "dab", 0.5), 0, atol=0.02)
    assert stain_at(rgb, np.empty((0, 2)), "haematoxylin", 0.5).shape == (0,)
    # A disc half as wide covers half of this one's radius and no more.
    assert stain_at(rgb, np.array([[36.5, 30.5]]), "haematoxylin", 0.5)[0] < 0.9


def test_the_stain_is_scikit_images_haematoxylin(rng):
    from skimage.color import separate_stains

    from nunext_training.data.stain import stain_amounts

    rgb = rng.integers(1, 256, (8, 8, 3), dtype=np.uint8)
    # Its logarithm is in units of log(1e-6), and it clips what is negative.
    theirs = separate_stains(rgb, np.linalg.inv(STAINS)) * -np.log(1e-6)
    np.testing.assert_allclose(np.maximum(stain_amounts(rgb), 0), theirs, atol=1e-6)


def test_dark_nuclei_are_counted_by_the_pixels_of_the_picture_that_is_shown(tmp_path):
    places = [(20.5, 20.5, 1.5), (70.5, 20.5, 0.4), (20.5, 60.5, 1.5), (50.5, 50.5, 1.5)]
    places += [(100.5, 100.5, 0.4), (110.5, 30.5, 0.3), (30.5, 110.5, 0.4)]
    path = tmp_path / "tile.png"
    Image.fromarray(stained_picture(places)).save(path)
    tile = LabelledImage(
        name="tile",
        path=path,
        mpp=MPP,
        mpp_source="user",
        points_xy=np.array([(x, y) for x, y, _ in places]),
        categories=("Lymphocyte",) * 4 + ("Stromal",) * 3,
        split="test",
        patient="p",
    )
    options = replace(PLAIN, threshold=1.0, grid=1)
    asked = {}
    for seed in range(12):
        (picture,) = pictures([tile], options=replace(options, seed=seed))
        asked |= {(a.kind, a.question.text): a for a in picture.answers}
    truth = {key: known.truth for key, known in asked.items()}
    assert truth["dark_count", "How many dark lymphocytes are there?"] == "3"
    assert truth["dark_count", "How many dark stromal nuclei are there?"] == "0"
    assert truth["dark_quadrant", "Where are most dark nuclei?"] == "upper left"
    assert ("dark_dominant", "Which category has the most dark nuclei?") not in truth  # only three
    # The lower half has two nuclei, and is not compared.
    assert truth["darker_half", "In which half are the nuclei darker?"] == "left half"
    assert threshold_of([tile], "haematoxylin") == pytest.approx(1.5, abs=0.02)


def brown_tile(folder, places, categories=None, *, name="tile", split="test"):
    """A tile with a disc of diaminobenzidine for each (x, y, amount)."""
    path = folder / f"{name}.png"
    Image.fromarray(stained_picture(places, stain=2)).save(path)
    return LabelledImage(
        name=name,
        path=path,
        mpp=MPP,
        mpp_source="user",
        points_xy=np.array([(x, y) for x, y, _ in places]),
        categories=tuple(categories or ["Nucleus"] * len(places)),
        split=split,
        patient="p",
    )


def in_rows(amounts):
    """Nuclei in rows, far enough from each other that no disc has two."""
    return [(13 * (i % 9) + 7.5, 13 * (i // 9) + 7.5, amount) for i, amount in enumerate(amounts)]


def brown_truths(tile, names=(), **more):
    options = replace(PLAIN, stain="dab", threshold=0.5, grid=1, **more)
    (picture,) = pictures([tile], options=options, names=names)
    return {known.kind: known for known in picture.answers}


def test_brown_nuclei_are_those_over_the_threshold(tmp_path):
    places = [(20.5, 20.5, 1.2), (60.5, 20.5, 1.1), (40.5, 40.5, 1.0), (100.5, 100.5, 0.1)]
    tile = brown_tile(tmp_path, places)
    assert 0.1 < threshold_of([tile], "dab") < 1.0
    truth = brown_truths(tile)
    assert truth["brown_count"].truth == "3"
    assert truth["brown_quadrant"].truth == "upper left"
    assert truth["brown_share"].truth == "over 30 %"
    assert truth["brown_dominant"].truth == "brown"
    assert {*truth["brown_dominant"].question.options} == {"brown", "blue"}


def test_weakly_brown_nuclei_are_brown_however_many_strong_ones_there_are(tmp_path, rng):
    from skimage.filters import threshold_otsu

    amounts = np.repeat([0.35, 1.2, 2.3], (12, 15, 40)) + rng.uniform(-0.1, 0.1, 67)
    tile = brown_tile(tmp_path, in_rows(amounts))
    over = threshold_of([tile], "dab")
    assert 0.45 < over < 1.0
    found = stain_at(tile.open().rgb, tile.points_xy, "dab", MPP)
    assert (found > over).sum() == 55
    assert (found > threshold_otsu(found)).sum() < 55


@pytest.mark.parametrize(
    ("brown", "nuclei", "share", "dominant"),
    [
        (0, 20, "under 5 %", "blue"),
        (1, 21, "under 5 %", "blue"),
        (1, 20, "5 to 30 %", "blue"),
        (3, 10, "5 to 30 %", "blue"),
        (7, 23, "over 30 %", "blue"),
        (5, 10, "over 30 %", None),
        (6, 11, "over 30 %", "brown"),
        (3, 3, None, None),
        (0, 0, None, None),
    ],
)
def test_the_share_of_brown_nuclei_is_in_a_step_and_counts_says_the_same(
    tmp_path, brown, nuclei, share, dominant
):
    amounts = [1.5] * brown + [0.1] * (nuclei - brown)
    categories = ["Positive"] * brown + ["Negative"] * (nuclei - brown)
    names = ("Positive", "Negative")
    tile = brown_tile(tmp_path, in_rows(amounts) or [(5.5, 5.5, 0.0)], categories or ["Negative"])
    if not nuclei:
        tile = replace(tile, points_xy=np.empty((0, 2)), categories=())
    truth = brown_truths(tile, names)
    assert truth["brown_count"].truth == str(brown)
    for kind, answer in (("brown_share", share), ("brown_dominant", dominant)):
        assert (truth[kind].truth if kind in truth else None) == answer
    # The floor: Counts knows a Ki-67 index where nuclei are told as positive and negative.
    write_questions(
        derive([tile], names, "true", replace(PLAIN, stain="dab", threshold=0.5, grid=1)),
        tmp_path / "out",
        origin=ORIGIN,
        mpp=MPP,
        mpp_source="user",
        strict=True,
        categories=default_categories(names),
    )
    read = read_answers([tmp_path / "out"], "grpo", budget=64, patch_px=14, strict=True)
    counted = {each.kind: each.seen for each in answer_by_rule("counts", [], read.test)}
    said = {kind: seen.reply.answer for kind, seen in counted.items()}
    assert said.get("brown_share") == share
    assert [said[k] for k in ("brown_count", "brown_dominant", "brown_quadrant") if k in said] == [
        "" for k in ("brown_count", "brown_dominant", "brown_quadrant") if k in said
    ]


def test_counts_knows_no_share_of_nuclei_without_categories(tmp_path):
    tile = brown_tile(tmp_path, in_rows([1.5, 0.1, 0.1, 0.1, 1.4]))
    rows = written(
        [tile],
        tmp_path / "out",
        options=replace(PLAIN, stain="dab", threshold=0.5, grid=1),
        names=(),
    )
    assert "brown_share" in {row["kind"] for row in rows}
    read = read_answers([tmp_path / "out"], "grpo", budget=64, patch_px=14, strict=True)
    answers = answer_by_rule("counts", [], [r for r in read.test if r["kind"] == "brown_share"])
    assert [each.seen.reply.answer for each in answers] == [""]


def test_brown_nuclei_of_drawn_immunohistochemistry_are_those_whose_masks_are_brown():
    tiles = DrawnTiles(
        3, size_px=192, mpp=MPP, seed=1, split="test", options=SynthesisOptions(stain="ihc")
    )
    over = threshold_of(tiles, "dab")
    by_stain, by_colour = [], []
    for tile in tiles:
        rgb = tile.open().rgb
        by_stain += (stain_at(rgb, tile.points_xy, "dab", tile.mpp) > over).tolist()
        for mask in tile.masks:
            there = rgb[mask.y0_px :, mask.x0_px :][: mask.height_px, : mask.width_px]
            red, _, blue = there[mask.to_array()].mean(axis=0)
            by_colour.append(red > blue)
    assert 0.1 < np.mean(by_colour) < 0.9
    assert np.mean(np.array(by_stain) == by_colour) > 0.97
    shown = pictures(tiles, options=replace(PLAIN, stain="dab", threshold=over))
    kinds = Counter(known.kind for picture in shown for known in picture.answers)
    assert {"brown_count", "brown_quadrant", "brown_share", "brown_dominant"} <= kinds.keys()


def test_a_threshold_needs_nuclei_to_learn_from(tmp_path, rng):
    with pytest.raises(InputError, match="--threshold"):
        threshold_of([], "haematoxylin")
    with pytest.raises(InputError, match="--threshold"):
        threshold_of([tile_of(tmp_path, rng, n=0)], "dab")


def test_an_unknown_kind_is_named_with_those_there_are(tmp_path, rng):
    with pytest.raises(InputError, match="'colour'; expected some of dominant"):
        derive([], NAMES, None, replace(PLAIN, kinds=("colour",)))


# Splits


def cohort(rng, patients=40):
    sides = rng.choice(["train", "train", "train", "val"], patients * 3)
    return [
        LabelledImage(
            name=f"{i}",
            path=None,
            mpp=MPP,
            mpp_source="user",
            points_xy=np.empty((0, 2)),
            categories=(),
            split="train" if i % 3 else str(sides[i]),
            patient=f"patient {i // 3}",
        )
        for i in range(patients * 3)
    ]


def sides_of(images):
    sides = {}
    for image in images:
        sides.setdefault(image.patient, set()).add(image.split)
    return sides


def test_no_patient_is_divided_and_what_was_held_out_is_reported(rng):
    images = cohort(rng)
    for dealt in (dealt_out(images, (0.5, 0.2, 0.3), 0), kept_whole(images)):
        assert [i.name for i in dealt] == [i.name for i in images]
        assert all(len(of) == 1 for of in sides_of(dealt).values())
    n = Counter(image.split for image in dealt_out(images, (0.5, 0.2, 0.3), 0))
    # A patient has three tiles: a side has at most two more than its share.
    assert 24 <= n["val"] <= 26
    assert n["test"] >= 36
    held_out = {i.patient for i in images if i.split == "val"}
    for image in dealt_out(images, (0.5, 0.2, 0.3), 3):
        assert image.split == "test" or image.patient not in held_out
    for image in kept_whole(images):
        assert (image.split == "val") == (image.patient in held_out)


def test_who_is_on_which_side_follows_from_the_seed(rng):
    images = cohort(rng)
    shares = (0.5, 0.2, 0.3)
    assert sides_of(dealt_out(images, shares, 1)) == sides_of(dealt_out(images[::-1], shares, 1))
    assert sides_of(dealt_out(images, shares, 1)) != sides_of(dealt_out(images, shares, 2))


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.5, -0.5, 0.0), (float("nan"), 1, 0)])
def test_splits_are_shares_of_one(shares):
    with pytest.raises(InputError, match="sum"):
        dealt_out([], shares, 0)


def test_too_few_patients_leave_a_split_empty(rng):
    with pytest.raises(InputError, match="nothing for train"):
        dealt_out(cohort(rng, patients=2), (0.4, 0.3, 0.3), 0)


# The command


@pytest.fixture
def export(tmp_path, rng):
    tiles = [
        tile_of(tmp_path, rng, name=f"tile-{i}", patient=f"{i}", split="val" if i == 3 else "train")
        for i in range(4)
    ]
    write_export(
        tiles,
        tmp_path / "export",
        categories=default_categories(NAMES),
        origin="test",
        public_names=True,
    )
    return tmp_path / "export"


def test_the_command_derives_three_splits_with_what_was_found(export, tmp_path, capsys):
    found = tmp_path / "found"
    found.mkdir()
    collection = {"type": "FeatureCollection", "features": []}
    for i in range(4):
        (found / f"tile-{i}.geojson").write_text(json.dumps(collection))
    asked = ["ask", "derive", "--data", str(export), "--out", str(tmp_path / "out")]
    asked += ["--splits", "0.5/0.25/0.25", "--windows", "2", "--grid", "1", "--mix", "1/0/0"]
    assert main([*asked, "--evidence", str(found)]) == 0
    rows = [json.loads(x) for x in (tmp_path / "out/answers_rft.jsonl").read_text().splitlines()]
    tiles = {split: set() for split in ("train", "val", "test")}
    for row in rows:
        assert row["nuclei"] == []
        tiles[row["source"]["split"]].add(row["source"]["image_sha256"])
    assert {split: len(of) for split, of in tiles.items()} == {"train": 2, "val": 1, "test": 1}
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert [each["name"] for each in manifest["categories"]] == list(NAMES)
    settings = manifest["filters"]
    assert settings["evidence"] == "found"
    assert settings["derived"]["threshold"] > 0
    assert f"{len(rows)} questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--splits", "most/of/it"], "three shares"),
        (["--splits", "0.9/0.9/0.9"], "sum"),
        (["--mix", "1/1"], "--mix"),
        (["--evidence", "there", "--only", "val"], "no predictions of 1 of 1 tiles"),
        (["--only", "test"], "no tile"),
        (["--only", "val"], "--threshold"),
        (["--window-um", "0"], "--window-um"),
        (["--window-um", "1", "--threshold", "1"], "larger windows"),
        (["--kinds", "colour", "--threshold", "1"], "colour"),
    ],
)
def test_what_cannot_be_derived_is_said_and_leaves_nothing(
    export, tmp_path, capsys, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "other.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": []})
    )
    assert main(["ask", "derive", "--data", "export", "--out", "out", *options]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
