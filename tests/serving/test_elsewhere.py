"""Windows that workers search, on Ray's stand-in: what is found is what one process finds."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext import cli
from napari_nunext.commands.export import export_project
from napari_nunext.core.errors import InputError, ServerUnavailableError
from napari_nunext.core.process.ray_cluster import RayCluster
from napari_nunext.images import open_image
from napari_nunext.images.slides import tiff as tiff_module
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.whole_image.search import (
    WindowDamaged,
    detect_image,
    plan_image,
    search,
)
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from napari_nunext.serving.models import elsewhere
from napari_nunext.serving.models.elsewhere import (
    ElsewhereCatalog,
    ElsewhereDetector,
    InFile,
    Sent,
    WindowSearcher,
)
from napari_nunext.synthetic import synthesise
from tests.images.slides.test_tiff_slides import spoil, write_svs
from tests.ray_stand_in import StandIn, stand_in
from tests.serving.conftest import TOKEN, ChoosingDetector
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    made, _ = stand_in(monkeypatch)
    monkeypatch.setattr(elsewhere, "LEAST_WINDOWS", 1)  # small images are cut into tasks, too
    yield made
    made.close()


@pytest.fixture
def module(ray: StandIn) -> ModuleType:
    from napari_nunext.serving.models import ray_workers

    return ray_workers


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """560 x 700 px: several windows of the classical detector."""
    field = synthesise(np.random.default_rng(5), height_px=560, width_px=700, mpp=0.5)
    return field.rgb


@pytest.fixture
def path(tmp_path: Path, tissue: np.ndarray) -> Path:
    path = tmp_path / "tissue ä.png"
    Image.fromarray(tissue).save(path)
    return path


def workers_of(module: ModuleType, count: int | None = 2, model: str = "classical") -> Any:
    return module.RayWorkers(RayCluster(workers=count), model, [], "auto")


def assert_same(found: Any, alone: Any) -> None:
    assert len(alone) > 50
    np.testing.assert_array_equal(found.points_xy, alone.points_xy)
    np.testing.assert_array_equal(found.confidence, alone.confidence)
    assert found.categories == alone.categories


@pytest.mark.parametrize("count", [1, 2, 5])
def test_workers_find_what_one_process_finds_however_many_they_are(ray, module, path, count):
    alone = detect_image(open_image(path), ClassicalDetector(), mpp=0.5)
    detector = ElsewhereDetector(workers_of(module, count))
    assert_same(detect_image(open_image(path), detector, mpp=0.5), alone)
    tasks = [task for _, task in ray.tasks]
    assert len(tasks) == 4
    assert {type(task) for task in tasks} == {InFile}, "pixels travelled, and need not have"
    windows = plan_image(open_image(path), detector.info, mpp=0.5)
    assert sorted(box.as_tuple() for task in tasks for box in task.boxes) == sorted(
        window.box.as_tuple() for window in windows
    )


def test_an_image_without_a_file_is_sent_as_the_pixels_of_its_windows(ray, module, tissue):
    image = tile_of_rgb(tissue, "in memory")
    alone = detect_image(image, ClassicalDetector(), mpp=0.5)
    assert_same(detect_image(image, ElsewhereDetector(workers_of(module)), mpp=0.5), alone)
    assert all(isinstance(task, Sent) for _, task in ray.tasks)


@pytest.mark.parametrize("in_file", [True, False])
def test_workers_choose_from_the_categories_of_the_images_stain(
    ray, module, path, tissue, monkeypatch, in_file
):
    monkeypatch.setattr(Catalog, "load_detector", lambda self, id_: ChoosingDetector())
    image = open_image(path) if in_file else tile_of_rgb(tissue, "in memory")
    found = detect_image(image, ElsewhereDetector(workers_of(module)), mpp=0.5)
    assert set(found.categories) == {"Round"}
    assert found.decoding["stain"] == "H&E"
    assert {type(task) for _, task in ray.tasks} == {InFile if in_file else Sent}


def test_a_worker_that_has_another_file_at_the_path_is_sent_pixels(ray, module, path, tissue):
    image = open_image(path)
    alone = detect_image(image, ClassicalDetector(), mpp=0.5)  # decoded by now
    Image.fromarray(tissue[::-1]).save(path)
    assert_same(detect_image(image, ElsewhereDetector(workers_of(module)), mpp=0.5), alone)
    assert any(isinstance(task, Sent) for _, task in ray.tasks)


def test_windows_on_a_damaged_tile_fail_alone(module, tmp_path, tissue, monkeypatch):
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)  # a small file stands for a large one
    path = write_svs(tmp_path / "slide.svs", np.tile(tissue, (2, 2, 1)), 0.5)
    spoil(path, 0, 0)

    def said(detector: Any, of: Path) -> dict[int, Any]:
        image = open_image(of)
        windows = plan_image(image, detector.info, mpp=0.5)
        told: dict[int, Any] = {}
        for window, event in search(image, detector, list(windows), cancelled=lambda: False):
            if isinstance(event, WindowDamaged):
                told[window.index] = "damaged"
            elif isinstance(event, WindowPoints):
                told.setdefault(window.index, []).extend(event.points_xy.tolist())
        return told

    here = said(ClassicalDetector(), path)
    there = said(ElsewhereDetector(workers_of(module)), path)
    assert there == here
    assert 0 < sum(each == "damaged" for each in here.values()) < len(here)


def test_workers_start_as_the_cluster_has_room_for_them(ray, module):
    assert workers_of(module, None).count == 3
    assert ray.options[-1] == {
        "num_cpus": 1,
        "num_gpus": 0.0,
        "max_restarts": -1,
        "max_task_retries": module.TRIES,
    }
    ray.resources = {"CPU": 8.0, "GPU": 1.0}
    shared = RayCluster(gpus=0.5)
    assert module.RayWorkers(shared, "classical", [], "auto").count == 2
    ray.resources = {"CPU": 8.0}
    with pytest.raises(InputError, match=r"has 0 GPUs, and a worker wants 0\.5"):
        module.RayWorkers(shared, "classical", [], "auto")


def test_windows_of_which_workers_die_again_and_again_are_said(ray, module, path):
    detector = ElsewhereDetector(workers_of(module))
    ray.dying = {"search"}
    with pytest.raises(ServerUnavailableError, match="died 4 times at the same windows"):
        detect_image(open_image(path), detector, mpp=0.5)
    ray.dying = set()
    alone = detect_image(open_image(path), ClassicalDetector(), mpp=0.5)
    assert_same(detect_image(open_image(path), detector, mpp=0.5), alone)


def test_where_the_cluster_is_gone_the_server_ends_and_no_window_is_blamed(ray, module, path):
    class LostError(Exception):
        pass

    def lost():
        raise LostError

    ray.gcs_address = "127.0.0.1:1"
    workers = module.RayWorkers(RayCluster(workers=1), "classical", [], "auto", lost=lost)
    ray.dying = {"search"}
    with pytest.raises(LostError):
        detect_image(open_image(path), ElsewhereDetector(workers), mpp=0.5)


def test_workers_of_which_none_starts_are_said(ray, module):
    ray.dying = {"info"}
    with pytest.raises(ServerUnavailableError, match=r"No worker .* starts \(The actor died"):
        workers_of(module)


def test_a_worker_that_does_not_start_leaves_the_work_to_the_others(ray, module, path):
    info = WindowSearcher.info
    starts = iter([False, True])

    def fails_once(self):
        if not next(starts):
            raise OSError("no such folder")
        return info(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WindowSearcher, "info", fails_once)
        workers = workers_of(module)
        wait_for(lambda: workers.has_room and workers.count == 1)
    alone = detect_image(open_image(path), ClassicalDetector(), mpp=0.5)
    assert_same(detect_image(open_image(path), ElsewhereDetector(workers), mpp=0.5), alone)


def test_what_breaks_in_a_worker_is_told_as_it_was(module):
    with pytest.raises(InputError, match="no detector 'nothing'"):
        workers_of(module, model="nothing")


def test_a_cluster_that_is_away_is_said_in_a_sentence(ray, module):
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:1 cannot be reached \(.+\)"):
        module.connect(RayCluster("127.0.0.1:1"))
    assert not ray.inits
    ray.refuses = ConnectionError("Could not find any running\nRay instance")
    with pytest.raises(ServerUnavailableError, match=r"of this machine .* any running Ray"):
        module.connect(RayCluster())
    ray.refuses = None
    module.connect(RayCluster("auto"))
    assert [each["address"] for each in ray.inits] == [None, "auto"]


def test_a_search_that_is_stopped_takes_its_tasks_back(ray, module, path):
    workers = workers_of(module, 1)
    detector, stop = ElsewhereDetector(workers), threading.Event()
    image = open_image(path)
    windows = list(plan_image(image, detector.info, mpp=0.5))
    for said in search(image, detector, windows, cancelled=stop.is_set):
        if said is not None:
            stop.set()
    assert ray.cancelled > 0
    alone = detect_image(image, ClassicalDetector(), mpp=0.5)
    assert_same(detect_image(image, detector, mpp=0.5), alone)  # nothing of it came late


def test_another_checkpoint_under_the_same_name_is_refused(module, catalog):
    class Other(ClassicalDetector):
        @property
        def info(self):
            return replace(super().info, checkpoint_sha256="another")

    catalog.detectors["classical"] = Other()
    with pytest.raises(InputError, match="another one than that of this machine"):
        ElsewhereCatalog(catalog, lambda id_: workers_of(module, model=id_)).load_detector()


def test_a_batch_on_one_worker_or_on_three_exports_the_same_bytes(
    module, start, catalog, tmp_path, tissue, monkeypatch
):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.roll(tissue, 111 * number, axis=0)).save(folder / f"{number}.png")
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    detectors = dict(catalog.detectors)
    exported = []
    for count in (0, 1, 3):
        detector = ElsewhereDetector(workers_of(module, count)) if count else detectors["classical"]
        catalog.detectors["classical"] = detector
        project = tmp_path / f"{count}.nunext"
        options = ["--mpp", "0.5", "--server", start().url, "--model", "classical"]
        assert cli.main(["detect", str(folder), *options, "--project", str(project)]) == 0
        out = tmp_path / f"{count}.out"
        export_project(project, out, "geojson")
        exported.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert len(exported[0]) == 3
    assert exported[1] == exported[0]
    assert exported[2] == exported[0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--project", "p", "--ray-workers", "2"], "--ray-workers says how .*: give --ray with it"),
        (["--out", "d", "--ray"], "--ray is for a project: give --project FILE instead of --out"),
    ],
)
def test_what_does_not_go_together_is_said(given, words, tmp_path, capsys):
    assert cli.main(["detect", str(tmp_path), *given]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_who_lacks_ray_is_told_what_to_install(tmp_path, path, monkeypatch, capsys):
    monkeypatch.setattr("napari_nunext.core.process.ray_cluster.find_spec", lambda name: None)
    assert cli.main(["detect", str(path), "--project", str(tmp_path / "p"), "--ray"]) == 2
    assert "pip install 'napari-nunext[ray]', or leave out --ray" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_servers_and_a_cluster_are_two_ways(tmp_path, path, module, monkeypatch, capsys):
    monkeypatch.setattr("napari_nunext.core.process.ray_cluster.find_spec", lambda name: object())
    given = ["--ray", "--server", "http://127.0.0.1:1", "--project", str(tmp_path / "p")]
    assert cli.main(["detect", str(path), *given]) == 2
    assert "--ray and --server are two ways to search" in capsys.readouterr().err
