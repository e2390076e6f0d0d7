"""H&E painted in other stains: what is brown is called positive, what is magenta is no nucleus."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.core.stains.optical_density import OD_OF_LEVEL
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE, green_share, stain_of
from napari_nunext.synthetic import CATEGORIES, synthesise
from nunext_training.cli import main
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.importers.writing import write_export
from nunext_training.data.painted import ihc, pas
from nunext_training.data.painted.ihc import paint_ihc
from nunext_training.data.painted.pas import paint_pas
from nunext_training.data.painted.sections import IHC, PAINTED_STAINS, PAS, PaintedSections
from nunext_training.data.sources import read_source
from nunext_training.data.stain import stain_amounts

MPP = 0.5


@pytest.fixture(scope="module")
def tile():
    return synthesise(np.random.default_rng(4), height_px=192, width_px=192, mpp=MPP)


@pytest.fixture(scope="module")
def labels(tile):
    return label_image([n.mask for n in tile.nuclei], 192, 192)


def brown(rgb, labels):
    """Mean DAB of each nucleus."""
    return scipy.ndimage.mean(stain_amounts(rgb)[..., 2], labels, np.arange(1, labels.max() + 1))


def test_the_same_state_paints_the_same_section(tile, labels):
    once, again = (paint_ihc(np.random.default_rng(1), tile.rgb, labels, mpp=MPP) for _ in "ab")
    np.testing.assert_array_equal(once.rgb, again.rgb)
    np.testing.assert_array_equal(once.positive, again.positive)
    other = paint_ihc(np.random.default_rng(2), tile.rgb, labels, mpp=MPP)
    assert (once.rgb != other.rgb).any()


def test_positive_nuclei_are_the_browner_ones(tile, labels, monkeypatch):
    """In every section without brown membranes, which run over nuclei too."""
    draw = ihc._draw
    monkeypatch.setattr(ihc, "_draw", lambda rng: replace(draw(rng), membrane_od=0.0))
    told = []
    for seed in range(40):
        painted = paint_ihc(np.random.default_rng(seed), tile.rgb, labels, mpp=MPP)
        found = brown(painted.rgb, labels)
        if painted.positive.any() and not painted.positive.all():
            positive, negative = found[painted.positive], found[~painted.positive]
            told.append((positive[:, None] > negative[None]).mean())
    assert len(told) > 25
    # Nuclei lie over each other, and a microscope blurs: a pair now and then stands the wrong way.
    assert np.median(told) > 0.99
    assert min(told) > 0.85


def test_sections_range_from_none_to_all_and_from_weak_to_black(tile, labels):
    painted = [
        paint_ihc(np.random.default_rng(seed), tile.rgb, labels, mpp=MPP) for seed in range(40)
    ]
    shares = [p.positive.mean() for p in painted]
    assert min(shares) < 0.1
    assert max(shares) > 0.9
    darkest = [brown(p.rgb, labels)[p.positive].mean() for p in painted if p.positive.any()]
    assert min(darkest) < 0.7 < 1.6 < max(darkest)


def test_tissue_without_nuclei_and_glass_have_nothing_positive(tile):
    nothing = np.zeros((192, 192), dtype=np.int32)
    for rgb in (tile.rgb, np.full_like(tile.rgb, 250)):
        painted = paint_ihc(np.random.default_rng(0), rgb, nothing, mpp=MPP)
        assert painted.positive.shape == (0,)
        assert painted.rgb.shape == rgb.shape
    assert painted.rgb.mean() > 220  # glass is glass


def test_a_nucleus_that_others_cover_is_not_positive(tile, monkeypatch):
    draw = ihc._draw
    monkeypatch.setattr(ihc, "_draw", lambda rng: replace(draw(rng), prevalence=1.0, spotted=False))
    labels = np.zeros((192, 192), dtype=np.int32)
    labels[10:20, 10:20], labels[40:50, 40:50] = 1, 3
    painted = paint_ihc(np.random.default_rng(0), tile.rgb, labels, mpp=MPP)
    assert painted.positive.tolist() == [True, False, True]


def test_the_same_state_paints_the_same_pas(tile, labels):
    once, again, other = (
        paint_pas(np.random.default_rng(seed), tile.rgb, labels, mpp=MPP) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()


def test_pas_has_the_colours_of_real_sections_and_is_not_taken_for_brown(tile, labels):
    """Nuclei absorb red, what is magenta hardly does: as in kidney, (.55, .73) and (.31, .85)."""
    shares, reds_of_nuclei, reds_between = [], [], []
    for seed in range(30):
        painted = paint_pas(np.random.default_rng(seed), tile.rgb, labels, mpp=MPP)
        density = OD_OF_LEVEL[painted]
        shares.append(green_share([painted]))
        between = (labels == 0) & (density.sum(axis=2) > 0.3)
        for reds, where in ((reds_of_nuclei, labels > 0), (reds_between, between)):
            mean = density[where].mean(axis=0)
            reds.append(mean[0] / np.linalg.norm(mean))
    assert {stain_of(share) for share in shares} == {"H&E"}
    assert 0.45 < np.median(reds_of_nuclei) < 0.65
    assert np.median(reds_between) < np.median(reds_of_nuclei) - 0.1


def test_nuclei_of_pas_are_pale_in_some_sections_and_dark_in_others(tile, labels):
    darkness = []
    for seed in range(30):
        painted = paint_pas(np.random.default_rng(seed), tile.rgb, labels, mpp=MPP)
        darkness.append(OD_OF_LEVEL[painted][labels > 0].sum(axis=1).mean())
    assert min(darkness) < 0.8 < 1.2 < max(darkness)


@pytest.mark.parametrize("structure", ["membrane_od", "grain_od", "drops_od"])
def test_each_structure_is_magenta_between_nuclei(tile, labels, monkeypatch, structure):
    plain = {"membrane_od": 0.0, "grain_od": 0.0, "drops_od": 0.0, "ground": 0.2}
    draw = pas._draw
    monkeypatch.setattr(pas, "_draw", lambda rng: replace(draw(rng), **plain))
    without = OD_OF_LEVEL[paint_pas(np.random.default_rng(3), tile.rgb, labels, mpp=MPP)]
    monkeypatch.setattr(pas, "_draw", lambda rng: replace(draw(rng), **plain | {structure: 0.7}))
    density = OD_OF_LEVEL[paint_pas(np.random.default_rng(3), tile.rgb, labels, mpp=MPP)]
    more = np.percentile(density[labels == 0], 99, axis=0) - np.percentile(
        without[labels == 0], 99, axis=0
    )
    assert more[1] > 0.2
    assert more[1] > 1.5 * more[0]


def test_pas_of_glass_is_glass_and_of_tissue_without_nuclei_is_tissue(tile):
    nothing = np.zeros((192, 192), dtype=np.int32)
    for seed in range(8):
        glass = paint_pas(
            np.random.default_rng(seed), np.full_like(tile.rgb, 255), nothing, mpp=MPP
        )
        tissue = paint_pas(np.random.default_rng(seed), tile.rgb, nothing, mpp=MPP)
        assert glass.mean() > 215
        assert tissue.mean() < glass.mean() - 10


@pytest.mark.parametrize("stain", PAINTED_STAINS.values(), ids=PAINTED_STAINS)
def test_a_section_depends_on_its_tile_and_not_on_its_place_in_the_list(stain):
    tiles = list(DrawnTiles(3, size_px=96, mpp=MPP, seed=7))
    all_of_them = PaintedSections(tiles, stain=stain, sections=2, seed=5)
    last_alone = PaintedSections(tiles[2:], stain=stain, sections=2, seed=5)
    assert len(all_of_them) == 6
    np.testing.assert_array_equal(all_of_them[5].open().rgb, last_alone[1].open().rgb)
    assert all_of_them[5].categories == last_alone[1].categories
    assert (all_of_them[4].open().rgb != all_of_them[5].open().rgb).any()
    names = [f"{tiles[2].name}-{stain.suffix}{n}" for n in (0, 1)]
    assert [s.name for s in all_of_them[4:]] == names


@pytest.mark.parametrize("stain", PAINTED_STAINS.values(), ids=PAINTED_STAINS)
def test_a_section_keeps_the_side_and_the_patient_of_its_tile(stain):
    tiles = [
        replace(tile, split=split, uids=("a",) * len(tile.points_xy))
        for tile, split in zip(
            DrawnTiles(2, size_px=96, mpp=MPP, seed=7), ("val", "test"), strict=True
        )
    ]
    sections = PaintedSections(tiles, stain=stain, sections=1, seed=0)
    for section, tile in zip(sections, tiles, strict=True):
        assert (section.split, section.patient) == (tile.split, tile.patient)
        assert section.masks == tile.masks
        assert section.uids == ()
        if stain is IHC:
            assert set(section.categories) <= {POSITIVE, NEGATIVE}
        else:
            assert section.categories == tile.categories
        np.testing.assert_array_equal(section.points_xy, tile.points_xy)


def test_nuclei_without_masks_need_a_segmenter():
    (tile,) = DrawnTiles(1, size_px=96, mpp=MPP, seed=7)
    bare = PaintedSections([replace(tile, masks=())], stain=PAS, sections=1, seed=0)
    with pytest.raises(InputError, match="there is no segmenter to draw them"):
        bare[0]


@pytest.mark.parametrize(("sections", "seed"), [(0, 0), (1, -1)])
def test_numbers_that_make_no_section_are_refused(sections, seed):
    with pytest.raises(InputError, match="expected at least 1 section"):
        PaintedSections([], stain=IHC, sections=sections, seed=seed)


@pytest.mark.parametrize(
    ("name", "categories"),
    [("painted-ihc", (POSITIVE, NEGATIVE)), ("painted-pas", tuple(c.name for c in CATEGORIES))],
)
def test_the_command_paints_an_export_whose_nuclei_it_outlines_itself(
    tmp_path, capsys, name, categories
):
    he, out = tmp_path / "he", tmp_path / "painted"
    tiles = [replace(t, masks=()) for t in DrawnTiles(2, size_px=96, mpp=MPP, seed=5)]
    write_export(tiles, he, categories=CATEGORIES, origin="points")
    capsys.readouterr()
    arguments = ["--sections", "2", "--seed", "3", "--segmenter", "classical"]
    assert main(["import", name, str(he), *arguments, "--out", str(out)]) == 0
    assert "4 images" in capsys.readouterr().out
    there = tuple(c["name"] for c in read_export(out).manifest.categories)
    assert there == categories, "in the order of the export"
    sections = read_source(out).images
    used = {category for section in sections for category in section.categories}
    assert used <= {*there}
    for number, section in enumerate(sections):
        tile = tiles[number // 2]
        if name == "painted-pas":
            assert section.categories == tile.categories
        np.testing.assert_array_equal(section.points_xy, tile.points_xy)
        assert (section.open().rgb != tile.open().rgb).any()


def test_nuclei_that_nobody_sorted_stay_so(tmp_path):
    tiles = DrawnTiles(1, size_px=96, mpp=MPP, seed=5)
    tile = replace(tiles[0], categories=(UNCATEGORISED,) * len(tiles[0].categories))
    none = default_categories((UNCATEGORISED,))
    write_export([tile], tmp_path / "he", categories=none, origin="points")
    ask = ["import", "painted-pas", str(tmp_path / "he"), "--sections", "1"]
    assert main([*ask, "--out", str(tmp_path / "pas")]) == 0
    (section,) = read_source(tmp_path / "pas").images
    assert set(section.categories) == {UNCATEGORISED}


@pytest.mark.parametrize("name", PAINTED_STAINS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "Say which, after its name"), (("x", "--mpp", "0.5"), "leave out --mpp")],
)
def test_what_does_not_go_together_is_refused(tmp_path, capsys, name, arguments, words):
    assert main(["import", name, *arguments, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_points_without_categories_are_told_by_how_brown_they_are(tmp_path):
    pixels = np.full((64, 96, 3), 245, dtype=np.uint8)
    for x, colour in ((16, (90, 50, 25)), (48, (95, 105, 170)), (80, (90, 50, 25))):
        pixels[24:40, x - 8 : x + 8] = colour
    for folder in ("images", "labels"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "mine" / "images" / "a.png")
    (tmp_path / "mine" / "labels" / "a.csv").write_text(
        "x,y,category\n16,32,\n48,32,\n80,32,Other\n"
    )
    ask = ["import", "folder", str(tmp_path / "mine"), "--mpp", "0.5", "--positive-from"]
    assert main([*ask, "0.4", "--out", str(tmp_path / "told")]) == 0
    (image,) = read_source(tmp_path / "told").images
    assert image.categories == (POSITIVE, NEGATIVE, "Other")
    with pytest.raises(SystemExit):
        main([*ask, "nan", "--out", str(tmp_path / "not")])
