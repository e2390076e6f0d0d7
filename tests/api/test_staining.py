"""How brown nuclei are, on tissue that is drawn and on tissue that is real."""

from __future__ import annotations

import json
from uuid import uuid4

import numpy as np
import pytest
from skimage.data import immunohistochemistry

import napari_nunext as nn
from napari_nunext.api.nuclei import Nuclei
from napari_nunext.core.errors import InputError, MissingPackageError
from napari_nunext.core.formats.region_files import regions_as_text
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus, default_categories
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.stains.optical_density import H_DAB
from napari_nunext.synthetic import SynthesisOptions, synthesise
from napari_nunext.synthetic.options import EPITHELIAL
from tests.api.test_page import blocks_of

DAB_OD = "Nucleus: DAB OD mean"


def as_nuclei(found, mpp: float, side_px: int) -> Nuclei:
    categories = dict.fromkeys(each.category for each in found)
    box = Box.of_image(side_px, side_px)
    return Nuclei(Predictions.of(found), default_categories(categories), mpp, box, {})


def at(points, mpp: float = 0.5, side_px: int = 60) -> Nuclei:
    return as_nuclei([Nucleus(uuid4(), x, y, "Nucleus", 0.5) for x, y in points], mpp, side_px)


@pytest.fixture
def ladder():
    """Squares of 0.1, 0.3, 0.5 and 0.8 DAB, and a nucleus in each; the last beside the image."""
    amounts = np.kron([[0.1, 0.3], [0.5, 0.8]], np.ones((30, 30)))
    rgb = np.rint(255 * 10 ** -(amounts[..., np.newaxis] * H_DAB[1])).astype(np.uint8)
    return rgb, at([(15, 15), (45, 15), (15, 45), (45, 45), (500, 500)])


@pytest.fixture(scope="module")
def section():
    """A drawn section with DAB in a part of its epithelium, and the truth with masks."""
    options = SynthesisOptions(stain="ihc", stain_variation=0.0, epithelium_fraction=0.5)
    tile = synthesise(
        np.random.default_rng(3), height_px=512, width_px=512, mpp=0.5, options=options
    )
    found = [Nucleus(uuid4(), n.x_px, n.y_px, n.category, None, n.mask) for n in tile.nuclei]
    return tile.rgb, as_nuclei(found, 0.5, 512)


def test_densities_that_are_known(ladder):
    stained = nn.stain(*ladder)
    np.testing.assert_allclose(stained.dab_od[:4], [0.1, 0.3, 0.5, 0.8], atol=0.01)
    assert np.isnan(stained.dab_od[4])
    assert stained.labelling_index().share == 3 / 4
    assert stained.labelling_index(0.45).share == 2 / 4
    assert stained.h_score().score == (0 + 100 + 200 + 300) / 4
    assert stained.h_score((0.05, 0.2, 0.9)).grades == (0, 1, 3, 0)
    assert [n.x_px for n in stained.positive(0.45)] == [15, 45]
    assert repr(stained).startswith("<<5 nuclei: 5 Nucleus; 0.5 um/px,")
    assert "75.0% positive" in repr(stained)


def test_what_lies_in_a_region_that_is_left_out_has_no_density(ladder, tmp_path):
    rgb, nuclei = ladder
    drawn = [
        region("fold", "leave_out", rectangle(Box(0, 0, 30, 30)), uid=uuid4()),
        region("all", "interest", rectangle(Box(0, 0, 60, 60)), uid=uuid4()),
    ]
    (tmp_path / "regions.geojson").write_text(regions_as_text(drawn), "utf-8")
    stained = nn.stain(rgb, nuclei, regions=tmp_path / "regions.geojson")
    assert np.isnan(stained.dab_od).tolist() == [True, False, False, False, True]
    assert stained.labelling_index().nuclei == 3
    assert len(stained.positive()) == 3


def test_the_scale_of_the_nuclei_is_that_of_the_disc(ladder):
    rgb, nuclei = ladder
    one = nn.stain(rgb, nuclei.where(np.arange(5) == 0), radius_um=15)
    assert one.dab_od[0] > 0.15  # of 30 px, it reaches into the other squares
    other = nn.stain(rgb, nuclei.where(np.arange(5) == 0), mpp=5, radius_um=15)
    assert other.dab_od[0] == pytest.approx(0.1, abs=0.01)


def test_what_is_written_has_the_name_that_qupath_gives(ladder, tmp_path):
    stained = nn.stain(*ladder)
    made = stained.to_geojson(tmp_path / "nuclei.geojson")
    assert json.loads((tmp_path / "nuclei.geojson").read_text("utf-8")) == made
    measured = [f["properties"]["measurements"] for f in made["features"]]
    assert [m.get(DAB_OD) for m in measured] == [
        *(round(float(od), 6) for od in stained.dab_od[:4]),
        None,
    ]
    assert all(m["NuNext confidence"] == 0.5 for m in measured)


def test_a_measurement_of_other_nuclei_is_refused(ladder):
    with pytest.raises(InputError, match="has 2 numbers; expected one for each of 5 nuclei"):
        ladder[1].to_geojson(measurements={DAB_OD: [0.1, 0.2]})


def test_a_table_has_a_column_more(ladder):
    stained = nn.stain(*ladder)
    try:
        table = stained.to_pandas()
    except MissingPackageError:
        pytest.skip("pandas is not installed")
    np.testing.assert_array_equal(table[DAB_OD], stained.dab_od)
    assert len(table) == len(stained) == 5


def test_of_no_nuclei_nothing_is_said(ladder):
    stained = nn.stain(ladder[0], at([]))
    assert len(stained) == 0
    assert stained.labelling_index().share is None
    assert stained.to_geojson()["features"] == []


def test_on_a_drawn_section_only_epithelium_is_brown(section):
    stained = nn.stain(*section)
    epithelial = np.array(stained.nuclei.categories) == EPITHELIAL
    assert 0.1 < stained.labelling_index().share < 0.9
    brown = stained.dab_od >= 0.2
    assert brown[epithelial].mean() > 0.2
    assert brown[~epithelial].mean() < 0.05
    # blue nuclei hold none: what the mixture says of them lies around 0
    assert abs(np.median(stained.dab_od[~epithelial])) < 0.1


def test_masks_and_discs_say_nearly_the_same(section):
    rgb, nuclei = section
    bare = as_nuclei([Nucleus(n.uid, n.x_px, n.y_px, n.category) for n in nuclei], 0.5, 512)
    drawn, discs = nn.stain(rgb, nuclei), nn.stain(rgb, bare)
    assert not np.array_equal(drawn.dab_od, discs.dab_od)
    assert np.corrcoef(drawn.dab_od, discs.dab_od)[0, 1] > 0.95
    shares = [each.labelling_index().share for each in (drawn, discs)]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_the_code_of_the_page_runs(repo_root, tmp_path, monkeypatch, capsys):
    (block,) = blocks_of((repo_root / "docs" / "stains.md").read_text("utf-8"))
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert "% positive" in capsys.readouterr().out
    assert (tmp_path / "stained.geojson").is_file()


def test_on_real_tissue_brown_is_brown_and_blue_is_not():
    image = immunohistochemistry()
    # whatever is browner by QuPath's measure is, in sRGB, redder than it is blue
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 500, (300, 2))
    od = nn.stain(image, at(points, side_px=512)).dab_od
    red_over_blue = np.array(
        [
            np.subtract(*image[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5, ::2].mean((0, 1)))
            for x, y in points
        ]
    )
    assert np.corrcoef(od, red_over_blue)[0, 1] > 0.8
