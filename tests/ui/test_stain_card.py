"""A stain in the window: looked at, its cut-off moved by mouse and by keys, drawn, marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import rectangle
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.optical_density import H_DAB
from napari_nunext.review.stained.tint import COLORS
from napari_nunext.store.kinds.settings import cut_offs_in
from napari_nunext.ui.panels.staining.histogram import MARGIN_PX
from napari_nunext.ui.widgets.theme import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App
    from napari_nunext.ui.panels.staining.stain_card import StainCard

    Spin = Callable[..., None]

AMOUNTS = (0.1, 0.3, 0.5, 0.8)


@pytest.fixture
def strips(empty_app: App, tmp_path: Path, spin: Spin) -> App:
    """Four strips of brown with a nucleus on each."""
    density = np.kron([AMOUNTS], np.ones((60, 30)))[..., np.newaxis] * H_DAB[1]
    Image.fromarray(np.rint(255 * 10**-density).astype(np.uint8)).save(tmp_path / "strips.png")
    empty_app.controller.open.paths([tmp_path / "strips.png"])
    spin(lambda: empty_app.controller.images.model.open_field)
    for strip in range(4):
        empty_app.controller.correct.add(15 + 30 * strip, 20)
    return empty_app


def opened(app: App, spin: Spin) -> StainCard:
    app.dock.show_stain()
    model = app.controller.stain.model
    spin(lambda: model.counted is not None and not model.measuring)
    return app.dock.review.stain


def drawn_colors(app: App) -> list[tuple[int, int, int]]:
    app.dock.canvas.flush()
    nuclei = app.dock.canvas.nuclei
    assert nuclei is not None
    return [tuple(c) for c in (nuclei.layer.face_color[:, :3] * 255).round().astype(int).tolist()]


def test_it_is_folded_until_it_is_wanted_and_the_menu_opens_it(strips: App, spin: Spin) -> None:
    card = strips.dock.review.stain
    assert not card._inside.isVisibleTo(card)
    before = drawn_colors(strips)
    assert strips.controller.stain.model.counted is None
    assert "Measure a stain (DAB)" in [a.text() for a in strips.dock.header.menu.actions()]
    opened(strips, spin)
    assert card._inside.isVisibleTo(card)
    assert card.table.cells()[0][:2] == ["Image", "75.0% (30.1\N{EN DASH}95.4)"]
    assert card._counts["Positive"].text() == "Positive 3"
    assert drawn_colors(strips) == [COLORS["Negative"], *[COLORS["Positive"]] * 3]
    card._colored.click()
    assert drawn_colors(strips) == before
    card._colored.click()
    card._fold.click()
    assert not card._inside.isVisibleTo(card)
    assert drawn_colors(strips) == before


def test_slider_histogram_and_box_are_one(strips: App, spin: Spin) -> None:
    card, model = opened(strips, spin), strips.controller.stain.model
    kept = lambda: cut_offs_in(strips.controller.session.of_project)  # noqa: E731
    card.slider.setSliderDown(True)
    card.slider.setValue(40)
    assert (card.cut_off.value(), model.figures[0].index.positive) == (0.4, 2)
    assert kept() == CutOffs(), "nothing is written while one drags"
    card.slider.setSliderDown(False)
    assert kept() == CutOffs(0.4)
    wide = card.histogram.width() - 2 * MARGIN_PX
    place = QPoint(round(MARGIN_PX + wide * 0.7 / card.histogram.most_od), 30)
    QTest.mousePress(card.histogram, Qt.MouseButton.LeftButton, pos=place)
    assert card.slider.value() == pytest.approx(70, abs=1)
    assert kept() == CutOffs(0.4)
    QTest.mouseRelease(card.histogram, Qt.MouseButton.LeftButton, pos=place)
    assert kept() == model.cut_offs
    assert drawn_colors(strips)[2:] == [COLORS["Negative"], COLORS["Positive"]]
    card._suggest.click()
    assert card.cut_off.value() == round(model.counted.suggested, 2)
    card.slider.setFocus()
    QTest.keyClick(card.slider, Qt.Key.Key_Right)
    assert card.cut_off.value() == round(model.counted.suggested + 0.01, 2)


def test_return_in_the_box_hands_the_number_in_and_accepts_nothing(strips: App, spin: Spin) -> None:
    card, controller = opened(strips, spin), strips.controller
    before = controller.model.state
    card.cut_off.setFocus()
    card.cut_off.selectAll()
    QTest.keyClicks(card.cut_off, "0.45")
    assert controller.stain.model.cut_offs.positive == 0.2, "half a number is none"
    for _ in range(2):
        QTest.keyClick(card.cut_off, Qt.Key.Key_Return)
    assert controller.stain.model.cut_offs.positive == 0.45
    QApplication.processEvents()
    assert controller.model.state is before
    assert not controller.model.state.complete
    QTest.keyClicks(card.cut_off, "1")
    QTest.keyClick(card.cut_off, Qt.Key.Key_Escape)
    assert card.cut_off.value() == 0.45
    assert controller.stain.model.cut_offs.positive == 0.45
    moderate = card.grades[1]
    moderate.setFocus()
    moderate.selectAll()
    QTest.keyClicks(moderate, "0.7")
    QTest.keyClick(moderate, Qt.Key.Key_Return)
    assert [made.value() for made in card.grades] == [0.2, 0.7, 0.71]


def test_regions_have_rows_and_marking_is_undone_by_one_step(strips: App, spin: Spin) -> None:
    card, controller = opened(strips, spin), strips.controller
    controller.regions.choose_kind("interest")
    controller.regions.draw(rectangle(Box(60, 0, 120, 60)))
    spin(lambda: len(card.table.cells()) == 2)
    assert card.table.cells()[1][0] == "Region 1"
    assert card.table.cells()[1][1].startswith("100.0%")
    controller.regions.set_kind(controller.regions.model.regions[0].uid, "leave_out")
    spin(lambda: "2 in Leave out regions do not count" in card._said.text())
    assert len(card.table.cells()) == 1
    controller.history.undo()
    spin(lambda: len(card.table.cells()) == 2)
    card.copy()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[2].startswith("Region 1\t2\t2\t")
    counts = controller.model.table.counts()
    steps = controller.model.undo_steps
    card._mark.click()
    spin(lambda: controller.model.table.counts().get("Positive") == 3)
    assert controller.model.undo_steps == steps + 1
    controller.history.undo()
    assert controller.model.table.counts() == counts | {"Positive": 0, "Negative": 0}


def test_it_is_drawn_in_both_themes_and_fits_the_dock(strips: App, spin: Spin) -> None:
    card = opened(strips, spin)
    before = card.histogram.grab().toImage()
    card.set_palette(LIGHT)
    assert card.histogram.grab().toImage() != before
    assert card.minimumSizeHint().width() <= 324, "340 px, less the dock's margins"
    strips.controller.stain.positive_from(0.5)
    assert card.histogram.grab().toImage() != before
