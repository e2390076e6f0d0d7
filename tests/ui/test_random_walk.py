"""Whatever is done to the window, in any order: layers, state and project stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.review.correcting import holding
from napari_nunext.ui.canvas.adopting import Adopter
from tests.ui.walking import Walker
from tests.ui.watching import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.review.fakes import FakeServer
    from tests.ui.conftest import QuickApp

STEPS = 150


@pytest.mark.filterwarnings("ignore")  # napari's own words on what its tools are given
@pytest.mark.parametrize(("seed", "most_in_field"), [(1, 20_000), (2, 8)])
def test_layers_state_and_a_reopened_copy_agree_after_any_steps(
    quick_app: QuickApp,
    server: FakeServer,
    tile: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    most_in_field: int,
) -> None:
    """Also where a field has more nuclei than are drawn."""
    monkeypatch.setattr(holding, "MOST_IN_FIELD", most_in_field)
    monkeypatch.setattr(holding, "MOST_IN_VIEW", most_in_field)
    canvas, controller = quick_app.canvas, quick_app.controller
    controller.open.paths([tile("second.png")])
    adopter = Adopter(quick_app.viewer, controller, canvas, lambda name: None)

    def settle() -> None:
        adopter.flush()
        canvas.flush()

    rng = np.random.default_rng(seed)
    with Watch() as watch:
        walker = Walker(quick_app.viewer, controller, canvas, server, settle, rng, watch)
        walker.walk(STEPS)
    adopter.disconnect()
    assert walker.divergences == []
