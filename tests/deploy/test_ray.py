"""A cluster of one machine with two workers. Needs Ray: `make test-ray` brings it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing, suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if find_spec("ray") is None:
    pytest.skip("Ray is not installed; `make test-ray` brings it", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray warns of its own future
    import psutil
    import ray
    from ray import serve

    from deploy.ray_serve import Arguments, app

from napari_nunext import cli
from napari_nunext.commands.export import export_project
from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.protocol import DetectRequest, Done, Points
from napari_nunext.store import Project
from tests.waiting import PATIENCE_S, wait_for

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


def detected(folder: Path, project: Path, *options: str) -> dict[str, bytes]:
    """What a batch exports that searches a folder of images."""
    assert cli.main(command(folder, project, *options)[3:]) == 0
    return exported(project)


def command(folder: Path, project: Path, *options: str) -> list[str]:
    given = ["--mpp", "0.5", "--model", "classical", *options]
    return [
        *(sys.executable, "-m", "napari_nunext.cli", "detect", str(folder)),
        *("--project", str(project), *given),
    ]


def exported(project: Path) -> dict[str, bytes]:
    out = project.with_suffix(".out")
    export_project(project, out, "geojson")
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def recorded(project: Path) -> set[tuple[str, int]]:
    """The windows that a project has."""
    with Project.open(project, annotator="ab", mode="r") as opened:
        return {
            (run.run_id, window)
            for entry in opened.images()
            for run in opened.predictions(entry.sha256, no_nuclei=True)
            for window in opened.windows_done(run.run_id)
        }


def count(project: Path) -> int:
    """How many there are, also while the project is being made."""
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"file:{project}?mode=ro", uri=True)) as db,
    ):
        return int(
            db.execute("SELECT count(*) FROM run_window WHERE number IS NOT NULL").fetchone()[0]
        )
    return 0


@pytest.fixture
def folder(tissue: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.roll(tissue, 91 * number, axis=1)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def nearby(cluster: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options of a batch on the cluster that runs."""
    address = ray.get_runtime_context().gcs_address
    return ["--ray", "--ray-address", address, "--ray-workers", "2"]


def test_a_batch_on_the_cluster_finds_what_one_process_finds(
    nearby: list[str], folder: Path, tmp_path: Path
) -> None:
    alone = detected(folder, tmp_path / "alone.nunext")
    assert len(alone) == 3
    assert detected(folder, tmp_path / "ray.nunext", *nearby) == alone
    assert detected(folder, tmp_path / "one.nunext", *nearby[:-1], "1") == alone


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_batch_on_the_cluster_that_is_killed_ends_as_one_left_alone(
    nearby: list[str], folder: Path, tmp_path: Path
) -> None:
    alone = detected(folder, tmp_path / "alone.nunext")
    killed = tmp_path / "killed.nunext"
    arguments = command(folder, killed, *nearby)
    before: set[tuple[str, int]] = set()
    for _ in range(2):
        with subprocess.Popen(arguments) as process:
            wait_for(partial(has_more, killed, len(before)))
            process.kill()
            process.wait(PATIENCE_S)
        had = recorded(killed)
        assert before <= had
        before = had
    assert cli.main(arguments[3:]) == 0
    assert before <= recorded(killed)
    assert len(recorded(killed)) == count(killed)
    assert exported(killed) == alone


def has_more(project: Path, windows: int) -> bool:
    return count(project) > windows


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_worker_that_is_killed_costs_no_window(
    nearby: list[str], folder: Path, tmp_path: Path
) -> None:
    alone = detected(folder, tmp_path / "alone.nunext")
    project = tmp_path / "shot.nunext"
    with subprocess.Popen(command(folder, project, *nearby)) as process:
        wait_for(partial(has_more, project, 0))
        workers = [each for each in psutil.process_iter(["name"]) if is_searcher(each)]
        workers[0].kill()
        assert process.wait(PATIENCE_S) == 0
    assert exported(project) == alone


def is_searcher(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.name().startswith("ray::WindowSear")
    return False


def test_a_cluster_that_is_not_there_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--ray", "--ray-address", "127.0.0.1:1"]
    assert cli.main(command(folder, tmp_path / "p.nunext", *given)[3:]) == 2
    assert "The Ray cluster 127.0.0.1:1 cannot be reached" in capsys.readouterr().err
