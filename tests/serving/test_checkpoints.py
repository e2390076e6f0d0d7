from __future__ import annotations

import json
import shutil

import pytest

from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.client import local_server as launcher
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import DetectRequest, Done, Points, Started


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkpoint with random weights (of a seed that finds something), and a foreign one."""
    from napari_nunext.models.checkpoints.build import build_checkpoint

    monkeypatch.setattr(launcher, "log_folder", lambda: tmp_path / "logs")
    models = tmp_path / "models"
    build_checkpoint(models / "nano", size="nano", categories=["Lymphocyte", "Tumour"], seed=3)
    shutil.copytree(models / "nano", models / "foreign")
    description = json.loads((models / "foreign" / "nunext.json").read_text("utf-8"))
    description["codec"]["version"] = 999
    (models / "foreign" / "nunext.json").write_text(json.dumps(description))
    return models


def test_a_checkpoint_is_served_and_a_foreign_one_is_listed_with_the_reason(folder, rgb):
    with LocalServer([folder], threads=1) as server:
        client = server.client()
        models = {m.id: m for m in client.models() if m.kind == "detector"}
        assert "999" in models["foreign"].problem
        nano = models["nano"]
        assert nano.problem is None
        assert [c.name for c in nano.categories] == ["Lymphocyte", "Tumour"]
        assert nano.parameters > 100_000

        request = DetectRequest(
            image=client.put_image(tile_of_rgb(rgb, "tile")), mpp=0.5, model="nano", run="r"
        )
        points = []
        for event in client.detect(request):
            if isinstance(event, Started):
                assert event.model.checkpoint_sha256 == nano.checkpoint_sha256
            if isinstance(event, Points):
                points += event.points
                client.cancel("r")
        assert isinstance(event, Done)
        assert points
        for point in points:
            assert 0 <= point.x <= 128
            assert 0 <= point.y <= 96
            assert point.category in ("Lymphocyte", "Tumour")
        assert "nano" in client.health().loaded
