"""A cluster of one machine with two workers. Needs Ray: `make test-ray` brings it."""

from __future__ import annotations

import json
import os
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if find_spec("ray") is None:
    pytest.skip("Ray is not installed; `make test-ray` brings it", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray warns of its own future
    import ray
    from ray import serve

    from deploy.ray_batch import Model, find_nuclei, main
    from deploy.ray_serve import Arguments, app

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images import open_image
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.models.whole_image.search import detect_image
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.protocol import DetectRequest, Done, Points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Nor are its later warnings ours, such as those of sockets that it leaves open.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),
]
TOKEN = "a-token-for-tests-0123456789"
PORT = 18_433


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, which gives away four CPUs whatever it has."""
    # A busy machine needs longer to start Ray's own processes.
    waits = {
        "RAY_agent_register_timeout_ms": "180000",
        "RAY_worker_register_timeout_seconds": "180",
    }
    os.environ |= waits | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_metrics_collection": "0"}
    ray.init(
        num_cpus=4, include_dashboard=False, object_store_memory=150 * 2**20, log_to_driver=False
    )
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Dark discs on pink, 1400 x 1100 px: several windows."""
    rng = np.random.default_rng(3)
    image = np.full((1100, 1400, 3), (235, 200, 220), dtype=np.uint8)
    rows, columns = np.mgrid[:1100, :1400] + 0.5
    for x, y in rng.uniform((20, 20), (1380, 1080), (250, 2)):
        box = np.s_[int(y) - 10 : int(y) + 11, int(x) - 10 : int(x) + 11]
        image[box][np.hypot(columns[box] - x, rows[box] - y) < 7] = (90, 50, 140)
    return image


@pytest.fixture(scope="module")
def urls(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server of two replicas."""
    token_file = tmp_path_factory.mktemp("secret") / "token"
    token_file.write_text(f"{TOKEN}\n", encoding="utf-8")
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    arguments = Arguments(
        token_file=token_file, min_replicas=2, max_replicas=2, cpus=0.5, shared_mib=64
    )
    serve.run(app(arguments), name="nunext")
    return f"http://127.0.0.1:{PORT}"


def test_requests_find_their_image_whichever_replica_answers(urls: str, tissue: np.ndarray) -> None:
    rgb = tissue[:256, :256].copy()
    answers = set()
    for _ in range(10):
        with Client(urls, TOKEN) as client:  # a connection of its own, to be routed anew
            sha256 = client.put_image(tile_of_rgb(rgb, "tile"))
            events = list(client.detect(DetectRequest(image=sha256, mpp=0.5, model="classical")))
        last = events[-1]
        assert isinstance(last, Done)
        points = [(p.x, p.y) for e in events if isinstance(e, Points) for p in e.points]
        assert len(points) == last.points > 0
        answers.add(tuple(sorted(points)))
    assert len(answers) == 1
    assert sha256 == pixels_sha256(rgb)


def test_strangers_are_refused_by_every_replica(urls: str) -> None:
    for _ in range(4):
        with Client(urls, "of-something-else-entirely") as client:
            with pytest.raises(RequestRejectedError) as refused:
                client.models()
            assert refused.value.status == 401


def test_windows_that_were_shared_out_give_what_one_process_finds(
    cluster: None, tissue: np.ndarray, tmp_path: Path
) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    Image.fromarray(tissue).save(paths[0])
    Image.fromarray(tissue[:300, :400]).save(paths[1])
    results = find_nuclei(
        [open_image(path, mpp=0.5) for path in paths],
        Model("classical"),
        workers=2,
        windows_at_once=2,
    )
    for path in paths:
        alone = detect_image(open_image(path), ClassicalDetector(), mpp=0.5)
        assert len(alone) > 5
        np.testing.assert_array_equal(results[path].points_xy, alone.points_xy)
        np.testing.assert_array_equal(results[path].confidence, alone.confidence)
        assert results[path].categories == alone.categories


def test_the_command_writes_a_file_for_each_image(
    cluster: None, tissue: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tile.png"
    Image.fromarray(tissue[:300, :400]).save(path)
    assert main([str(path), "--out", str(tmp_path), "--model", "classical"]) == 2
    assert "tile.png does not say its scale" in capsys.readouterr().err
    options = ["--out", str(tmp_path), "--mpp", "0.5", "--workers", "1"]
    assert main([str(path), *options, "--model", "nothing"]) == 2
    assert "no detector 'nothing'. Name one of classical" in capsys.readouterr().err
    assert main([str(path), *options, "--model", "classical"]) == 0
    written = json.loads((tmp_path / "tile.geojson").read_text(encoding="utf-8"))
    alone = detect_image(open_image(path), ClassicalDetector(), mpp=0.5)
    assert len(written["features"]) == len(alone)
