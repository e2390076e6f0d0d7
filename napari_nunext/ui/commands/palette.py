"""Where napari's command palette calls: each command of the table by its name.

A command goes to the dock of the window whose palette was open. Where there is none, or where it
cannot be done now, it says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.commands.table import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_OPEN = "NuNext is not open in this window. Open it first, with Plugins > NuNext."


def run(name: str) -> None:
    """Do a command in the dock of the current window, or say why not."""
    import napari
    from napari.utils.notifications import show_info

    from napari_nunext.ui.docks import open_dock

    viewer = napari.current_viewer()
    dock = None if viewer is None else open_dock(viewer)
    if dock is None:
        show_info(NOT_OPEN)
        return
    dock.come_forward()
    dock.acts.tell(name)


def __getattr__(name: str) -> Callable[[], None]:
    """What napari calls for a command: ``palette.accept`` and the like."""
    if name not in BY_NAME:
        raise AttributeError(f"module {__name__} has no attribute {name}")

    def call() -> None:
        run(name)

    call.__doc__ = BY_NAME[name].title
    return call
