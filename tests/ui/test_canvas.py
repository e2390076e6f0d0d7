"""What the canvas lets the review know of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.ui.napari_versions import camera_of

if TYPE_CHECKING:
    from tests.ui.conftest import QuickApp


def test_the_review_knows_what_is_in_view(quick_app: QuickApp) -> None:
    model, camera = quick_app.controller.view.model, camera_of(quick_app.viewer)
    whole = quick_app.controller.images.model.open_field.box
    assert model.view_box.clipped_to(whole) == whole  # it was fitted
    camera.zoom *= 10
    shown = model.view_box
    assert (shown.x0 + shown.x1) / 2 == pytest.approx(model.view_xy[0])
    assert 0 < shown.x0 < shown.x1 < whole.x1
    camera.zoom *= 2
    assert model.view_box.width == pytest.approx(shown.width / 2)
    height, width = quick_app.viewer.canvas.size
    quick_app.viewer.canvas.size = (height, width // 2)
    assert model.view_box.width == pytest.approx(shown.width / 4)
    assert model.view_box.height == pytest.approx(shown.height / 2)
