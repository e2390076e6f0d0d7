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
    rename : callable
        Asks for the new name.
    """
    menu = QMenu(parent)
    menu.aboutToHide.connect(menu.deleteLater)
    menu.addAction("Rename\N{HORIZONTAL ELLIPSIS}", rename)
    menu.addAction("Colour\N{HORIZONTAL ELLIPSIS}", lambda: _ask_color(parent, controller, name))
    others = [c.name for c in controller.model.categories if c.name != name]
    merge = QMenu("Merge into", menu)
    delete = QMenu("Delete: its nuclei become", menu)
    for submenu in (merge, delete):
        menu.addMenu(submenu)
        submenu.setEnabled(bool(others))
        for other in others:
            submenu.addAction(other, partial(controller.categories.merge, name, other))
    is_there = [True]
    menu.aboutToHide.connect(lambda: is_there.clear())  # it is deleted soon after

    def say(nuclei: int, images: int) -> None:
        if is_there:
            delete.setTitle(f"Delete: its {words_on(nuclei, images)} become")
            menu.adjustSize()  # it has become wider
            rightmost = menu.screen().availableGeometry().right() - menu.width()
            menu.move(min(menu.x(), rightmost), menu.y())

    controller.categories.count(name, say)
    return menu


def words_on(nuclei: int, images: int) -> str:
    """How many nuclei a category has in the whole project."""
    count = f"{nuclei} nucle{'us' if nuclei == 1 else 'i'}"
    return f"{count} in {images} image{'' if images == 1 else 's'}" if nuclei else count


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
