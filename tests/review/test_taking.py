"""Files of nuclei into the app and into a project: every format, one rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext.commands.importing import ImportOptions, import_files
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import open_image
from napari_nunext.review.fields import entry_of
from napari_nunext.store import Project
from napari_nunext.store.exports.coco import write_coco
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController

SIDE_PX = 8
CORNERS = [(10, 10), (30, 20), (50, 40)]
"""Left and upper edge of square nuclei, on a tile of 80 x 64 px."""


def squares() -> np.ndarray:
    labels = np.zeros((64, 80), np.uint16)
    for number, (x, y) in enumerate(CORNERS, start=1):
        labels[y : y + SIDE_PX, x : x + SIDE_PX] = number
    return labels


def ring(x: float, y: float, side: float = SIDE_PX) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def feature(shape: str, coordinates: Any, kind: str = "detection") -> dict[str, Any]:
    properties = {"objectType": kind, "classification": {"name": "Tumour"}}
    geometry = {"type": shape, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def as_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data))


def coco(path: Path, segmentation: Callable[[int, int], Any]) -> None:
    annotations = [
        {"image_id": 1, "category_id": 1, "segmentation": segmentation(x, y)} for x, y in CORNERS
    ]
    images = [
        {"id": 1, "file_name": "tile.png", "width": 80, "height": 64},
        {"id": 2, "file_name": "another.png"},
    ]
    categories = [{"id": 1, "name": "Tumour"}]
    as_json(path, {"images": images, "annotations": annotations, "categories": categories})


def runs(x: int, y: int) -> list[int]:
    return [x * 64 + y, *[8, 56] * (SIDE_PX - 1), 8, 64 * 80 - (x + 7) * 64 - y - 8]


def cells(key: str, path: Path) -> None:
    found = [
        {"centroid": [x + 3.5, y + 3.5], "contour": ring(x, y, SIDE_PX - 1), "type": 1}
        for x, y in CORNERS
    ]
    as_json(
        path,
        {"nuc": dict(enumerate(found))}
        if key == "nuc"
        else {"type_map": {"1": "Tumour"}, "cells": found},
    )


def nuclei() -> list[Nucleus]:
    from uuid import UUID

    pixels = np.ones((SIDE_PX, SIDE_PX), bool)
    return [
        Nucleus(UUID(int=i + 1), x + 4.0, y + 4.0, "Tumour", 0.5, Mask.from_array(pixels, x, y))
        for i, (x, y) in enumerate(CORNERS)
    ]


def ours_as_coco(path: Path) -> None:
    entry = entry_of(open_image(path.parent / "tiles" / "tile.png"), path, 0.5)
    write_coco(path, [ImageNuclei(entry, nuclei())])


FORMATS: dict[str, Callable[[Path], None]] = {
    "tile.geojson": lambda p: as_json(
        p, {"features": [feature("Polygon", [ring(x, y)]) for x, y in CORNERS]}
    ),
    "tile.png.geojson": lambda p: as_json(
        p, [feature("Point", [x + 4, y + 4]) for x, y in CORNERS]
    ),
    "tile.json": lambda p: as_json(
        p, [feature("MultiPolygon", [[ring(x, y)] for x, y in CORNERS], "annotation")]
    ),
    "tile.hovernet.json": lambda p: cells("nuc", p),
    "tile.cellvit.json": lambda p: cells("cells", p),
    "polygons.coco.json": lambda p: coco(p, lambda x, y: [np.ravel(ring(x, y)).tolist()]),
    "runs.coco.json": lambda p: coco(p, lambda x, y: {"size": [64, 80], "counts": runs(x, y)}),
    "tile.labelme.json": lambda p: as_json(
        p, {"shapes": [{"label": "Tumour", "points": ring(x, y)} for x, y in CORNERS]}
    ),
    "tile.csv": lambda p: p.write_text(
        "x,y,category\n" + "".join(f"{x + 4},{y + 4},Tumour\n" for x, y in CORNERS)
    ),
    "all.csv": lambda p: p.write_text(
        "x,y,image\n1,1,another.png\n" + "".join(f"{x + 4},{y + 4},tile.png\n" for x, y in CORNERS)
    ),
    "tile.npy": lambda p: np.save(p, squares()),
    "tile.tif": lambda p: Image.fromarray(squares()).save(p),
    "tile_cp_masks.png": lambda p: Image.fromarray(squares()).save(p),
    "ours.geojson": lambda p: write_geojson(p, nuclei(), masks=True),
    "ours.csv": lambda p: write_csv(p, nuclei(), mpp=0.5, image="tile.png"),
    "ours.coco.json": ours_as_coco,
}
POINTS_ALONE = ("tile.png.geojson", "tile.csv", "all.csv", "ours.csv")


def written(folder: Path, name: str) -> Path:
    """A file of the format, named as the image where it does not name that itself."""
    parts = name.split(".")
    inner = parts[1] in ("hovernet", "cellvit", "labelme") if len(parts) > 2 else False
    path = folder / ("tile.json" if inner else "tile.geojson" if name == "ours.geojson" else name)
    FORMATS[name](path)
    return path


def state_of(project: Project, name: str = "tile.png") -> Any:
    (entry,) = (e for e in project.images() if e.name == name)
    return project.state(entry.sha256)


@pytest.fixture
def tile(tile_path: Callable[[str], Path]) -> Path:
    return tile_path("tile.png")


@pytest.mark.parametrize(
    ("name", "into", "role"),
    [
        *((name, "app", "corrections") for name in FORMATS),
        *((name, "project", "predictions") for name in FORMATS),
        *((name, "app", "predictions") for name in ("tile.geojson", "tile.tif", "ours.csv")),
        *((name, "project", "corrections") for name in ("tile.geojson", "tile.tif", "ours.csv")),
    ],
)
def test_every_format_comes_in_once(request, tmp_path, tile, name, into, role):
    path = written(tmp_path, name)
    told: list[str] = []
    if into == "app":
        controller: ReviewController = request.getfixturevalue("controller")
        controller.open.paths([tile])

        def bring() -> None:
            controller.imports.take([path])
            proposal = controller.imports.model.proposal
            if proposal is not None and role in proposal.changing:
                proposal.choose(role, False)
            elif proposal is not None:
                proposal.cancel()

        def project() -> Project:
            return controller.session.project
    else:
        with Project.open(tmp_path / "review.nunext", annotator="ab") as made:
            made.add_image(entry_of(open_image(tile), tile, 0.5))

        def bring() -> None:
            options = ImportOptions(role=role)
            import_files(
                tmp_path / "review.nunext",
                [path],
                "ab",
                options,
                tell=told.append,
                warn=told.append,
            )

        def project() -> Project:
            return Project.open(tmp_path / "review.nunext", annotator="ab", mode="r")

    bring()
    first = state_of(project())
    places = sorted((n.nucleus.x_px, n.nucleus.y_px) for n in first.nuclei.values())
    assert np.array(places) == pytest.approx(np.array([(x + 4, y + 4) for x, y in CORNERS])), told
    masks = [n.nucleus.mask for n in first.nuclei.values()]
    outlined = name not in POINTS_ALONE
    assert [m.area_px if m else None for m in masks] == [64 if outlined else None] * 3
    assert all(n.touched == (role == "corrections") for n in first.nuclei.values())
    assert first.undo_steps("ab") == 1
    bring()
    again = state_of(project())
    assert again == first
    assert len(again.events) == len(first.events)


def test_an_import_is_proposed_in_words_done_and_undone_in_one_step(controller, tmp_path, tile):
    controller.open.paths([tile])
    path = written(tmp_path, "ours.geojson")
    controller.open.paths([path])  # as when it is dropped
    proposal = controller.imports.model.proposal
    assert proposal.title == "tile.geojson: 3 nuclei of QuPath for tile.png."
    assert proposal.effects["corrections"] == "3 new"
    assert proposal.usual == "predictions"
    proposal.choose("corrections", False)
    assert controller.imports.model.proposal is None
    assert controller.model.notice.words == "Imported into tile.png: 3 new. Undo takes it back."
    assert len(controller.model.state.nuclei) == 3
    assert "Tumour" in {c.name for c in controller.model.categories}
    controller.history.undo()
    assert controller.model.state.nuclei == {}
    assert controller.model.notice is None
    controller.history.redo()
    assert len(controller.model.state.nuclei) == 3
    controller.open.paths([path])
    assert controller.imports.model.proposal is None
    assert controller.model.notice.words == (
        "tile.geojson: 3 nuclei of QuPath for tile.png. 3 as they are here. Nothing changed."
    )


def test_what_qupath_deleted_is_deleted_here_if_that_is_said(controller, tmp_path, tile):
    controller.open.paths([tile])
    controller.imports.take([written(tmp_path, "ours.geojson")])
    controller.imports.model.proposal.choose("corrections", False)
    controller.decide.accept()
    path = tmp_path / "tile.geojson"
    data = json.loads(path.read_text())
    del data["features"][0]
    path.write_text(json.dumps(data))
    controller.imports.take([path])
    proposal = controller.imports.model.proposal
    assert proposal.absent == 1
    assert "1 of yours are not in the file and stay" in proposal.effects["corrections"]
    proposal.choose("corrections", True)
    assert len(controller.model.state.nuclei) == 2
    assert controller.model.state.complete == ()
    assert len(controller.model.state.changed) == 1
    assert controller.images.model.queue.items[0].status == "changed"


def test_a_file_of_another_image_of_the_list_goes_there(controller, tmp_path, tile, tile_path):
    other = tile_path("other.png")
    controller.open.paths([tile, other])
    controller.images.go_to(1)
    controller.open.paths([written(tmp_path, "tile.geojson")])
    assert controller.images.model.open_field.entry.name == "tile.png"
    assert controller.session.is_open(controller.imports.model.proposal.image_sha256)
    controller.images.go_to(1)  # somebody who goes on has answered
    assert controller.imports.model.proposal is None


def test_several_files_are_proposed_one_after_the_other(controller, tmp_path, tile, tile_path):
    other = tile_path("other.png")
    controller.open.paths([tile, other])
    one = written(tmp_path, "tile.geojson")
    two = tmp_path / "other.geojson"
    two.write_bytes(one.read_bytes())
    controller.open.paths([one, two])
    shown = []
    for _ in range(2):
        shown.append(controller.images.model.open_field.entry.name)
        controller.imports.model.proposal.choose("predictions", False)
    assert shown == ["tile.png", "other.png"]
    assert controller.imports.model.proposal is None
    assert controller.model.undo_steps == 2


def test_a_file_with_a_foreign_name_asks(controller, tmp_path, tile):
    controller.open.paths([tile])
    path = written(tmp_path, "tile.geojson").rename(tmp_path / "export.geojson")
    controller.open.paths([path])
    assert controller.imports.model.proposal.title.startswith(
        "export.geojson is named as no image of the list. Is it of tile.png?"
    )
    controller.imports.model.proposal.cancel()
    assert controller.imports.model.proposal is None
    assert controller.model.state.events == ()


def test_a_file_that_reaches_beyond_the_image_is_refused_until_told_otherwise(
    controller, tmp_path, tile
):
    controller.open.paths([tile])
    path = tmp_path / "tile.geojson"
    as_json(path, [feature("Point", [400, 4]), feature("Point", [40, 4])])
    controller.open.paths([path])
    notice = controller.model.notice
    assert "1 of the 2 nuclei of tile.geojson lie outside tile.png (80 x 64 px)" in notice.words
    assert controller.imports.model.proposal is None
    notice.action()
    proposal = controller.imports.model.proposal
    assert proposal.title == (
        "tile.geojson: 1 nucleus of QuPath for tile.png; left out 1 nucleus outside the image."
    )


def test_files_before_any_image_and_beside_one(controller, tmp_path, tile):
    path = written(tmp_path, "tile.geojson")
    controller.open.paths([path])
    assert controller.model.notice.words == "Open the image first, then import tile.geojson."
    controller.open.paths([path, tile])  # both at once
    assert controller.imports.model.proposal is not None


def test_labels_are_told_from_images_to_review(controller, tmp_path, tile, tile_path):
    controller.open.paths([tile])
    labels = [written(tmp_path, name) for name in ("tile.tif", "tile_cp_masks.png")]
    nuclei = [*labels, tmp_path / "x.csv"]
    images = [tile, tile_path("another.png"), tmp_path]
    assert controller.imports.for_import([*images, *nuclei]) == nuclei


def test_a_broken_file_is_a_sentence(controller, tmp_path, tile):
    controller.open.paths([tile])
    (tmp_path / "tile.geojson").write_text("{")
    controller.open.paths([tmp_path / "tile.geojson"])
    assert controller.model.notice.level == "error"
    assert "tile.geojson is not GeoJSON" in controller.model.notice.words
