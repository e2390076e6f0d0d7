"""What napari's status bar advises: our keys, not napari's, which mean something else here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.ui.canvas.points_layer import HELP
from napari_nunext.ui.commands.chosen import KEYS

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


def keep_our_hints(viewer: Viewer, layer: Layer) -> None:
    """Show our hints for as long as the layer lives, whatever mode napari puts it in.

    napari writes hints of its own into a layer with every mode and many a button, and reads them
    again only when the mouse moves.
    """

    def ours(event: Any = None) -> None:
        hint = KEYS.words(HELP)
        if layer.help != hint:
            layer.help = hint
        if viewer.layers.selection.active is layer:
            viewer.help = hint

    layer.events.help.connect(ours)
    ours()
