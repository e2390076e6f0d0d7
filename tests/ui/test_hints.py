from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.canvas.points_layer import HELP as TEMPLATE
from napari_nunext.ui.commands.chosen import KEYS

if TYPE_CHECKING:
    from napari_nunext.ui.app import App


HELP = KEYS.words(TEMPLATE)


def test_the_status_bar_gives_our_hints_for_every_layer_of_ours_in_every_mode(app: App) -> None:
    assert app.viewer.help == HELP, "from the start"
    app.dock.canvas.draw_region()
    layers = app.dock.canvas.layers()
    assert len(layers) == 4
    for layer in layers:
        app.viewer.layers.selection.active = layer
        for mode in type(layer)._modeclass:
            if str(mode) != "transform":
                layer.mode = mode
                assert layer.help == HELP, f"{layer} in {mode}"
                assert app.viewer.help == HELP
        layer.help = "use <5> for transform"
        assert app.viewer.help == HELP
