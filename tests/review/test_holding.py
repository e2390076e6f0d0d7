"""Which nuclei of a large field are drawn one by one, and how dense the others are."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.review.correcting import holding
from napari_nunext.review.correcting.density import Density
from napari_nunext.review.correcting.figures import figures_of
from napari_nunext.review.correcting.holding import held_for
from napari_nunext.review.shown.view import Held
from napari_nunext.review.table import NucleusTable
from napari_nunext.store.state.nucleus_map import NucleusMap
from napari_nunext.store.state.touched import Touched
from tests.store.test_nucleus_map import Walk

SIDE = 1000


def table_of(places_xy: np.ndarray, categories: str = "A") -> NucleusTable:
    nuclei = [
        Nucleus(uuid4(), x, y, categories[i % len(categories)], 0.9)
        for i, (x, y) in enumerate(places_xy.tolist())
    ]
    now = NucleusMap().edited()
    now.grow(Predictions.of(nuclei), np.arange(len(nuclei)), str(uuid4()), {})
    return NucleusTable(now.finished(), Touched.none())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 200 nuclei be many."""
    monkeypatch.setattr(holding, "MOST_IN_FIELD", 200)
    monkeypatch.setattr(holding, "MOST_IN_VIEW", 100)


@pytest.fixture
def many(few: None, rng: np.random.Generator) -> NucleusTable:
    """1,000 nuclei anywhere, half of them of each of two categories."""
    return table_of(rng.uniform(0, SIDE, (1000, 2)), "AB")


def test_of_a_small_field_all_are_drawn_wherever_one_looks(rng: np.random.Generator) -> None:
    table = table_of(rng.uniform(0, SIDE, (1000, 2)))
    for view in (None, Box(0, 0, 10, 10), Box(-999, -999, 9999, 9999)):
        assert held_for(table, (), view, Held()) == Held()


def test_the_nuclei_of_the_view_are_drawn_and_those_around_it_as_far_as_there_is_room(
    many: NucleusTable,
) -> None:
    view = Box(400, 400, 500, 500)
    held = held_for(many, (), view, Held())
    assert held.within is not None
    assert view.clipped_to(held.within) == view
    assert held.within.width > view.width
    assert len(many.rows_within(held.within)) <= 100


def test_nothing_is_drawn_anew_while_the_view_moves_over_what_is_drawn(many: NucleusTable) -> None:
    held = held_for(many, (), Box(400, 400, 500, 500), Held())
    assert held_for(many, (), Box(420, 390, 520, 490), held) is held
    beside = held_for(many, (), Box(600, 390, 700, 490), held)
    assert beside != held
    assert beside.within is not None


def test_where_the_view_has_too_many_none_are_drawn_unless_most_are_hidden(
    many: NucleusTable,
) -> None:
    view = Box(0, 0, 400, 400)
    assert held_for(many, (), view, Held()) == Held(too_many=True)
    assert held_for(many, {"A"}, view, Held()).within is not None
    assert held_for(many, {"A", "B"}, view, Held()) == Held()
    assert held_for(many, (), None, Held()) == Held(too_many=True)


def test_the_density_is_that_of_what_stands_and_is_shown_whatever_was_edited() -> None:
    walk, touched, density = (
        Walk(np.random.default_rng(3)),
        Touched.none(),
        Density(Box(0, 0, 40, 40)),
    )
    for _ in range(60):
        walk.step()
        touched = touched.after(walk.map)
        table = NucleusTable(walk.map, touched)
        for hidden in ((), ("A",)):
            shown = ~table.rejected & ~table.is_of(hidden)
            per_mm2 = density.per_mm2(table, hidden, 0.5)
            assert per_mm2.shape == (40, 40)
            # Smoothing moves nuclei, also over the edge; those of a new count move alike.
            fresh = table_of(table.points_xy[shown])
            np.testing.assert_array_equal(
                per_mm2, Density(Box(0, 0, 40, 40)).per_mm2(fresh, (), 0.5)
            )


def test_the_density_is_a_square_millimetre_s(rng: np.random.Generator) -> None:
    table = table_of(rng.uniform(0, (4000, 2000), (20_000, 2)))
    density = Density(Box(0, 0, 4000, 2000))
    per_mm2 = density.per_mm2(table, (), 0.5)
    assert per_mm2.shape == (250, 500)
    assert density.step_px == 8
    assert per_mm2.mean() == pytest.approx(20_000 / (2.0 * 1.0), rel=1e-4)


def test_figures_are_those_of_the_part_of_the_field_that_is_in_view(many: NucleusTable) -> None:
    field, mpp = Box(0, 0, SIDE, SIDE), 0.5
    whole = figures_of(many, Box(-5, -5, SIDE + 5, SIDE + 5), field, mpp)
    assert whole.counts == {"A": 500, "B": 500}
    assert whole.area_mm2 == pytest.approx(0.25)
    assert whole.words == "1\N{THIN SPACE}000 nuclei, 4\N{THIN SPACE}000 per mm²"
    corner = figures_of(many, Box(-SIDE, -SIDE, SIDE / 2, SIDE / 2), field, mpp)
    inside = len(many.rows_within(Box(0, 0, SIDE / 2, SIDE / 2)))
    assert corner.nuclei == inside
    assert corner.area_mm2 == pytest.approx(0.0625)
    beside = figures_of(many, Box(-20, -20, -10, -10), field, mpp)
    assert beside.words == "0 nuclei"
