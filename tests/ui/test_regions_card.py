"""Regions in the window: drawn, counted, named and searched through the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QApplication, QPushButton

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import rectangle
from napari_nunext.ui.canvas.layers import to_napari
from napari_nunext.ui.panels.find_panel import REGIONS
from tests.review.fakes import done, points, started, window_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer


def test_regions_are_drawn_counted_named_searched_and_taken_back(
    app: App, server: FakeServer, spin: Callable[..., None]
) -> None:
    dock, controller, layers = app.dock, app.controller, app.viewer.layers
    card, model, finder = dock.review.regions, controller.regions.model, dock.review.finder
    assert "Regions" not in layers
    assert not card.table.isVisibleTo(dock)

    # Drawn
    card._kinds.chosen.emit(0)
    card._tools[1].chosen.emit(0)
    layer = layers["Regions"]
    assert layers.selection.active is layer
    assert str(layer.mode) == "add_rectangle"
    layer.add_rectangles(to_napari(rectangle(Box(10, 20, 110, 120))))
    spin(lambda: model.figures and model.figures[0].counts is not None)
    assert (model.tool, str(layer.mode)) == ("select", "select")
    assert [tools.index() for tools in card._tools] == [1, -1]

    # Named, counted
    controller.correct.add(50.0, 50.0)
    spin(lambda: model.figures[0].nuclei == 1)
    item = card.table.topLevelItem(0)
    item.setText(0, "Tumour bed")
    assert [each.name for each in model.regions] == ["Tumour bed"]
    spin(lambda: card.table.cells()[0][2] == "1")
    assert card.table.cells()[0][:2] == ["Tumour bed", "0.0025"]
    assert item.childCount() == 1
    card.copy()
    assert "Tumour bed\tSearch here\t0.0025\t1\t400" in QApplication.clipboard().text()

    # Another kind, and back
    card._kinds.chosen.emit(1)
    assert model.regions[0].kind == "search", "what is drawn next is meant"
    menu = card._menu()
    next(action for action in menu.actions() if action.text() == "Leave out").trigger()
    menu.deleteLater()
    assert model.regions[0].kind == "leave_out"
    finder._where.choose(REGIONS)
    finder._show_ready()
    find = next(b for b in finder.findChildren(QPushButton) if b.property("role") == "primary")
    assert (find.text(), find.isEnabled()) == ("Draw a region to search first", False)
    controller.history.undo()
    assert (find.text(), find.isEnabled()) == ("Find nuclei", True)

    # Searched
    server.fake.script = [started(), points((60, 60)), window_done(1, 1), done(1)]
    finder.search()
    spin(lambda: server.fake.requests and not controller.find.model.run.busy)
    assert server.fake.requests[-1].region == (10, 20, 110, 120)
    assert np.shape(server.fake.requests[-1].within) == (1, 4, 2)

    # Thrown away with napari's own button, and drawn again
    layers.remove(layers["Regions"])
    spin(lambda: "Regions" in layers)
    assert len(layers["Regions"].data) == len(model.regions) == 1

    # Deleted by key, hidden, left by Esc
    card._tools[0].chosen.emit(1)
    controller.regions.select(model.regions[0].uid)
    dock.acts.do("delete")
    assert model.regions == ()
    controller.history.undo()
    dock.canvas.flush()
    controller.regions.show(False)
    assert not layers["Regions"].visible
    controller.regions.show(True)
    dock.acts.do("rest")
    assert model.tool == ""
    assert layers.selection.active is dock.canvas.nuclei.layer
    controller.regions.delete([each.uid for each in model.regions])
    spin(lambda: "Regions" not in layers)
