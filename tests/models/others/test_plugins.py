from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.detector import WindowEnd
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.models.describe import completed, describe
from napari_nunext.serving.protocol import DetectRequest, Started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = """
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.detector import DetectorInfo, WindowEnd

class Nothing:
    info = DetectorInfo("Nothing at all", "mine", default_categories(["A", "B"]), mpp={mpp},
                        window_px=64, halo_um={halo_um})

    def detect(self, windows, *, cancelled):
        for index in range(len(windows)):
            yield WindowEnd(index, "end")
"""


def source(mpp: float = 0.5, halo_um: float = 4.0) -> str:
    return GOOD.format(mpp=mpp, halo_um=halo_um)


def one(target: str, name: str = "mine", kind: str = "detectors") -> str:
    return f"[napari_nunext.{kind}]\n{name} = {target}\n"


def catalog(tmp_path: Path) -> Catalog:
    return Catalog(device="cpu", bundled=tmp_path / "nothing")


def test_a_plugin_is_listed_without_import_and_described_once_loaded(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install("my-nuclei", "1.2", {"my_nuclei.py": source()}, one("my_nuclei:Nothing"))
    models = catalog(tmp_path)
    entry = models.entries()[-1]
    assert (entry.id, entry.kind, entry.info, entry.problem) == ("mine", "detector", None, None)
    assert "my_nuclei" not in sys.modules
    told = describe(entry, default=False)
    assert (told.name, told.family, told.mpp) == ("mine", "my-nuclei 1.2", None)
    detector = models.load_detector("mine")
    window = np.zeros((64, 64, 3), np.uint8)
    assert list(detector.detect([window], cancelled=lambda: False)) == [WindowEnd(0, "end")]
    after = completed(told, detector.info)
    assert (after.id, after.name, after.mpp, after.window_px) == ("mine", "Nothing at all", 0.5, 64)
    assert [c.name for c in after.categories] == ["A", "B"]
    assert describe(models.entries()[-1], default=False) == after
    assert models.load_detector("mine") is detector
    assert models.default_detector_id == "classical"


@pytest.mark.parametrize(
    ("code", "target", "words"),
    [
        ("raise OSError('no disk\\nhere')", "broken:X", "OSError: no disk here"),
        ("raise SystemExit('I want to leave')", "broken:X", "SystemExit: I want to leave"),
        ("", "broken:missing", "AttributeError: .*'missing'"),
        ("", "no_such_module:X", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("X = dict", "broken:X", "returned a dict; expected an object with a method detect"),
        (source(mpp=0.0), "broken:Nothing", "CalibrationError"),
        (source(halo_um=16.0), "broken:Nothing", "halo of 16 um does not leave anything"),
    ],
)
def test_a_broken_plugin_is_a_listed_problem_and_the_others_are_served(
    install: Callable[..., Path], tmp_path: Path, code: str, target: str, words: str
) -> None:
    install("broken-nuclei", "0.1", {"broken.py": code}, one(target))
    models = catalog(tmp_path)
    assert models.entries()[-1].problem is None  # nobody knows yet
    with pytest.raises(CheckpointError, match=words):
        models.load_detector("mine")
    problem = models.entries()[-1].problem
    assert problem is not None
    assert problem.startswith("The detector mine of broken-nuclei 0.1 cannot be made (")
    assert "\n" not in problem
    assert models.load_detector("classical").info.family == "classical"


def test_a_segmenter_is_no_detector(install: Callable[..., Path], tmp_path: Path) -> None:
    install("mixed-up", "1", {"mixed.py": source()}, one("mixed:Nothing", kind="segmenters"))
    models = catalog(tmp_path)
    assert models.entries()[-1].kind == "segmenter"
    with pytest.raises(CheckpointError, match="expected an object with a method segment"):
        models.load_segmenter("mine")


def test_a_run_remembers_what_was_known_only_once_the_plugin_was_loaded(
    install: Callable[..., Path], tmp_path: Path, discs_rgb: np.ndarray
) -> None:
    install("my-nuclei", "1.2", {"my_nuclei.py": source()}, one("my_nuclei:Nothing"))
    models = catalog(tmp_path)
    before = describe(models.entries()[-1], default=False)
    image = image_from_pixels("discs", 128, 128, discs_rgb.copy)
    request = DetectRequest(image="0" * 64, mpp=0.5)
    detector = models.load_detector("mine")
    started = next(iter(detect_events(image, request, detector, run="r", model=before)))
    assert isinstance(started, Started)
    assert (started.model.id, started.model.family, started.model.window_px) == ("mine", "mine", 64)
    assert [c.name for c in started.model.categories] == ["A", "B"]


def test_equal_names_are_told_apart(install: Callable[..., Path], tmp_path: Path) -> None:
    for number in (1, 2):
        module = f"twin_{number}"
        install(f"twin-{number}", "1", {f"{module}.py": source()}, one(f"{module}:Nothing"))
    install("trickster", "1", {"trick.py": source()}, one("trick:Nothing", name="classical"))
    models = catalog(tmp_path)
    ids = [e.id for e in models.entries() if e.kind == "detector"]
    assert ids == ["classical", "classical-2", "mine", "mine-2"]
    assert models.load_detector("classical-2").info.name == "Nothing at all"
