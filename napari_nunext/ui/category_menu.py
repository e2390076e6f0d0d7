"""What can be done to a category: rename, recolour, merge, delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QMenu, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.controller import ReviewController


def category_menu(
    parent: QWidget,
    controller: ReviewController,
    name: str,
    count: str,
    *,
    rename: Callable[[], None],
) -> QMenu:
    """The menu of one category.

    Parameters
    ----------
    parent : QWidget
        Gives the menu its style, and holds it until it is closed.
    controller : ReviewController
    name : str
        Of the category.
    count : str
        How many nuclei of it the open image has, as the list shows it.
    rename : callable
        Asks for the new name.
    """
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)
    menu.addAction("Rename\N{HORIZONTAL ELLIPSIS}", rename)
    menu.addAction("Colour\N{HORIZONTAL ELLIPSIS}", lambda: _ask_color(parent, controller, name))
    others = [c.name for c in controller.model.categories if c.name != name]
    merge = QMenu("Merge into", menu)
    delete = QMenu(f"Delete: its nuclei ({count} here) become", menu)
    for submenu in (merge, delete):
        menu.addMenu(submenu)
        submenu.setEnabled(bool(others))
        for other in others:
            submenu.addAction(other, partial(controller.categories.merge, name, other))
    return menu


def _ask_color(parent: QWidget, controller: ReviewController, name: str) -> None:
    color = next((c.color for c in controller.model.categories if c.name == name), None)
    if color is None:
        return
    dialog = QColorDialog(QColor(*color), parent)
    dialog.setWindowTitle(f"Colour of {name}")
    dialog.finished.connect(dialog.deleteLater)
    dialog.colorSelected.connect(
        lambda chosen: controller.categories.recolor(
            name, (chosen.red(), chosen.green(), chosen.blue())
        )
    )
    dialog.open()
