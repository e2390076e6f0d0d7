"""Images that come in as napari invites: dropped, File > Open, another reader's, a script's.

A file that napari has read itself is opened in the review, and the layer that napari made of it
goes: one picture, in step with its nuclei. What is no such file (an array of a script, what another
plugin has read, a plane of a stack) could not be found again when the project is opened next; it is
offered to save it as a file and to review that. What the review cannot read stays as it is, and a
notice says why. Nothing is hidden.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_nunext.core.errors import NunextError
from napari_nunext.images import open_image
from napari_nunext.images.writing import write_tiff
from napari_nunext.review.model import Notice
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.foreign import Picture, agree_on_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.canvas.canvas import Canvas


class Adopter:
    """Takes images that appear on napari's canvas into the review.

    Parameters
    ----------
    viewer : napari.Viewer
    controller : ReviewController
    canvas : Canvas
        Whose layers are no news.
    ask_where : callable
        Asks the user where to save a copy of this name; None for nowhere.
    """

    def __init__(
        self,
        viewer: Viewer,
        controller: ReviewController,
        canvas: Canvas,
        ask_where: Callable[[str], Path | None],
    ) -> None:
        self._viewer = viewer
        self._controller = controller
        self._images = controller.images.model
        self._canvas = canvas
        self._ask_where = ask_where
        self._new: list[Picture] = []
        self._opened: dict[Path, tuple[Image, bool]] = {}
        """Layers whose picture is being opened in the review; whether the file holds all of it."""
        self._refused: list[str] = []
        self._pacer = Pacer(self._take_new, 0.0)
        viewer.layers.events.inserted.connect(self._on_inserted)
        for event in (self._images.events.loading, self._images.events.open_field):
            event.connect(self._hand_over)
        for layer in list(viewer.layers):
            self._note(layer)

    def disconnect(self) -> None:
        """Let go of the viewer and the review."""
        self._pacer.stop()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for event in (self._images.events.loading, self._images.events.open_field):
            event.disconnect(self._hand_over)

    def flush(self) -> None:
        """Look now at what has come."""
        self._pacer.flush()

    # What came

    def _on_inserted(self, event: Any) -> None:
        self._note(event.value)

    def _note(self, layer: Layer) -> None:
        ours, there = self._canvas.layers(), self._viewer.layers
        if any(layer is mine for mine in ours):
            return
        taken_apart = any(mine not in there for mine in ours)  # this is what a tool made of them
        if isinstance(layer, Image) and not taken_apart and not _is_a_product(layer):
            self._new.append(Picture.of(layer))
            self._pacer.ask()
        if ours:
            agree_on_units(layer)

    def _take_new(self) -> None:
        """All that came at once, so that several files are one wish."""
        new, self._new = self._new, []
        pictures = [p for p in new if p.layer in self._viewer.layers]
        pictures = self._without_labels(pictures)
        files = [p for p in pictures if p.path is not None and p.planes == 1]
        if files:
            self._controller.session.lasting.run(
                lambda: [(p, why_not_read(p.path)) for p in files], self._open_files
            )
        for picture in pictures:
            if picture not in files and not self._is_beside_the_image(picture):
                self._offer(picture)

    def _without_labels(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Import files of labels that napari took for images; the other pictures."""
        paths = [p.path for p in pictures if p.path is not None]
        found = self._controller.imports.labels_among(paths)
        labels = [p for p in pictures if p.path in found]
        for picture in labels:
            self._viewer.layers.remove(picture.layer)
        if found:
            self._controller.imports.take(found)
        return [p for p in pictures if p not in labels]

    def _is_beside_the_image(self, picture: Picture) -> bool:
        """Whether it is something that a script or a plugin has made of the image under review."""
        field = self._images.open_field
        return (
            field is not None
            and picture.layer.source.path is None
            and picture.planes == 1
            and picture.size_px == (field.entry.height_px, field.entry.width_px)
        )

    # Files

    def _open_files(self, looked_at: Sequence[tuple[Picture, str]]) -> None:
        self._refused += [problem for _, problem in looked_at if problem]
        good = [p for p, problem in looked_at if not problem]
        self._open([(p, True) for p in good])
        if not good:
            self._say_refused()

    def _open(self, pictures: Sequence[tuple[Picture, bool]]) -> None:
        for picture, is_whole in pictures:
            if picture.path is not None:
                self._opened[picture.path] = (picture.layer, is_whole)
        paths = [p.path for p, _ in pictures if p.path is not None]
        if paths:
            self._controller.open.paths(paths)

    def _hand_over(self) -> None:
        """Take away napari's layers of what the review shows or has in its queue."""
        if self._images.loading or self._images.open_field is None:
            return
        for item in self._images.queue.items:
            layer, is_whole = self._opened.pop(item.path, (None, False))
            if layer is None or item.status == "unreadable" or layer not in self._viewer.layers:
                continue
            if is_whole:
                self._viewer.layers.remove(layer)
            else:  # the other planes are nowhere else: it stays, below ours
                self._viewer.layers.move(self._viewer.layers.index(layer), 0)
            self._canvas.fit()
            self._canvas.focus()
        for layer in self._viewer.layers:
            if not any(layer is mine for mine in self._canvas.layers()):
                agree_on_units(layer)
        self._say_refused()

    def _say_refused(self) -> None:
        refused, self._refused = self._refused, []
        if refused:
            self._controller.session.notify(Notice(" ".join(refused), level="warning"))

    # What is no file

    def _offer(self, picture: Picture) -> None:
        """Say why it is not reviewed, and what to do."""
        name, planes = picture.layer.name, picture.planes
        if planes > 1:
            words = f"{name} is a stack of {planes} planes; the review takes one image. "
            words += "Go to the plane to review and save it as a file."
            label = "Save this plane and review it"
        else:
            words = f"{name} is no file that could be found again later, so it is not reviewed. "
            words += "Save it as a file to review it."
            label = "Save and review"
        self._controller.session.notify(
            Notice(words, action_label=label, action=lambda: self._save(picture))
        )

    def _save(self, picture: Picture) -> None:
        name = re.sub(r"[^\w .-]+", "_", picture.layer.name)
        path = self._ask_where(f"{name}.tif")
        if path is None:
            return
        step = tuple(self._viewer.dims.current_step)
        is_whole = picture.planes == 1

        def then(_: None) -> None:
            self._open([(replace(picture, path=path), is_whole)])

        self._controller.session.lasting.run(
            lambda: write_tiff(path, picture.plane(step), mpp=picture.mpp), then
        )


def why_not_read(path: Path | None) -> str:
    """Why a file cannot be reviewed, as far as its header says; empty when it can."""
    if path is None:
        return ""
    try:
        open_image(path)
    except (NunextError, OSError) as error:
        return str(error)
    return ""


def _is_a_product(layer: Layer) -> bool:
    """Whether it was made of other layers, or by a plugin's widget: nobody opened an image."""
    return layer.source.parent is not None or layer.source.widget is not None
