"""Undo across images with the window's own threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.store import Project
from napari_nunext.ui import app as app_module
from tests.review.fakes import FakeServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_undo_goes_through_images_that_are_read_meanwhile_and_past_a_broken_one(
    qapp: object, tmp_path: Path, tile: Callable[[str], Path], spin: Callable[..., None]
) -> None:
    paths, project = [tile(f"{name}.png") for name in "abcd"], tmp_path / "review.nunext"

    def opened() -> app_module.App:
        made = app_module.main(paths, project=project, block=False, server=FakeServer())
        spin(lambda: made.controller.images.model.open_field is not None)
        return made

    first = opened()
    for index in range(len(paths)):
        first.controller.images.go_to(index)
        spin(lambda index=index: first.controller.images.model.queue.index == index)
        first.controller.correct.add(30, 30)
    assert first.close()

    paths[1].write_bytes(paths[1].read_bytes()[:100])
    again = opened()
    model = again.controller.model
    images = again.controller.images.model
    # At once: the second is asked for while the first image is read.
    again.controller.history.undo()
    again.controller.history.undo()
    spin(lambda: images.open_field.entry.name == "c.png" and model.undo_steps == 2)
    again.controller.history.undo()
    # The first to say something is who reads the image; undo has the last word.
    spin(lambda: model.notice is not None and "Undo again passes" in model.notice.words)
    assert "b.png" in model.notice.words
    again.controller.history.undo()
    spin(lambda: images.open_field.entry.name == "a.png" and model.undo_steps == 0)
    again.controller.history.redo()
    spin(lambda: model.undo_steps == 1)
    assert again.close()
    with Project.open(project, annotator="reader", mode="r") as kept:
        counts = {e.name: len(kept.state(e.sha256).nuclei) for e in kept.images()}
    assert counts == {"a.png": 1, "b.png": 1, "c.png": 0, "d.png": 0}
