from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts
from napari_nunext.models.whole_image.search import detect_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Discs: TypeAlias = tuple[tuple[float, float, float], ...]

# What the stand-ins share; the signatures below are those of cellpose 4.2, stardist 0.9 and
# instanseg 0.1, so that an argument they do not take is an error here too.
LABEL = """
import numpy as np
from scipy import ndimage

def label(rgb):
    labels, count = ndimage.label(rgb[..., 1] < (128 if rgb.max() > 1 else 0.5))
    return labels, count
"""
CELLPOSE = (
    LABEL
    + """
import os

class CellposeModel:
    def __init__(self, gpu=False, pretrained_model="cpsam_v2", model_type=None,
                 diam_mean=None, device=None, nchan=None, use_bfloat16=True):
        assert os.path.exists(pretrained_model), "this would download"
        assert device is None or device.type == "cpu"

    def eval(self, x, batch_size=8, resample=True, channels=None, channel_axis=None,
             z_axis=None, normalize=True, rescale=None, diameter=None,
             flow_threshold=0.4, cellprob_threshold=0.0, do_3D=False, anisotropy=None,
             flow3D_smooth=0, stitch_threshold=0.0, min_size=15, max_size_fraction=0.4,
             niter=None, augment=False, tile_overlap=0.1, bsize=None,
             compute_masks=True, progress=None):
        assert x.dtype == np.uint8 and x.shape[channel_axis] == 3
        labels, _ = label(x)
        logits = np.where(labels > 0, np.log(3.0), -5.0).astype(np.float32)
        flows = [np.zeros((*labels.shape, 3)), np.zeros((2, *labels.shape)), logits]
        return labels.astype(np.uint16), flows, np.zeros(256)
"""
)
STARDIST = (
    LABEL
    + """
import pathlib

class StarDist2D:
    def __init__(self, config, name=None, basedir="."):
        assert config is None and (pathlib.Path(basedir) / name / "config.json").exists()

    def predict_instances(self, img, axes=None, normalizer=None, sparse=True, prob_thresh=None,
                          nms_thresh=None, scale=None, n_tiles=None, show_tile_progress=True,
                          verbose=False, return_labels=True, predict_kwargs=None, nms_kwargs=None,
                          overlap_label=None, return_predict=False):
        assert axes == "YXC" and img.dtype == np.float32 and 0 <= img.min() and img.max() <= 1
        labels, count = label(img)
        return labels.astype(np.int32), dict(prob=np.full(count, 0.75, np.float32))
"""
)
INSTANSEG = (
    LABEL
    + """
import torch

class InstanSeg:
    def __init__(self, model_type="brightfield_nuclei", device=None, image_reader="auto",
                 verbosity=1, channels_last=True):
        assert isinstance(model_type, torch.nn.Module), "this would download"

    def eval_small_image(self, image, pixel_size=None, normalise=True, return_image_tensor=True,
                         target="all_outputs", rescale_output=True, **kwargs):
        assert pixel_size == 0.5 and target == "nuclei" and not return_image_tensor
        labels, _ = label(image)
        return torch.from_numpy(labels.astype(np.float32))[None, None]
"""
)
PACKAGES = {
    "cellpose": ("cellpose", "4.2.1", {"cellpose/__init__.py": "", "cellpose/models.py": CELLPOSE}),
    "stardist": (
        "stardist",
        "0.9.2",
        {"stardist/__init__.py": "", "stardist/models/__init__.py": STARDIST},
    ),
    "instanseg": ("instanseg-torch", "0.1.2", {"instanseg/__init__.py": INSTANSEG}),
}
CONFIDENCE = {"cellpose": 0.75, "stardist": 0.75, "instanseg": 1.0}

# torch says that of loading TorchScript, which is what InstanSeg is published as.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
each = pytest.mark.parametrize("name", PACKAGES)


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are looked for in the test's own folders."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "cellpose"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("INSTANSEG_BIOIMAGEIO_PATH", str(tmp_path / "instanseg"))


def fetch_weights(name: str, folder: Path) -> None:
    """Lay out weights as the package's own download does."""
    if name == "cellpose":
        file = folder / "cellpose" / "cpsam_v2"
    elif name == "stardist":
        model = "2D_versatile_he"
        file = folder / "keras" / "models" / "StarDist2D" / model / model / "weights_best.h5"
    else:
        file = folder / "instanseg" / "brightfield_nuclei" / "0.1.1" / "instanseg.pt"
    file.parent.mkdir(parents=True)
    if name == "instanseg":
        import torch

        torch.jit.script(torch.nn.Identity()).save(str(file))
        return
    file.write_bytes(b"weights")
    (file.parent / "config.json").write_text("{}", encoding="utf-8")


def entries(catalog: Catalog, name: str) -> dict[str, Any]:
    return {e.kind: e for e in catalog.entries() if e.id == name}


def empty_catalog(tmp_path: Path) -> Catalog:
    return Catalog(device="cpu", bundled=tmp_path / "nothing")


def test_packages_that_are_not_installed_are_not_listed(tmp_path: Path) -> None:
    assert {e.id for e in empty_catalog(tmp_path).entries()} & set(PACKAGES) == set()


@each
def test_without_weights_the_command_that_fetches_them_is_told(
    name: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    install(*PACKAGES[name])
    catalog = empty_catalog(tmp_path)
    listed = entries(catalog, name)
    assert set(listed) == {"detector", "segmenter"}
    assert "no weights on this machine. Run: python -c" in listed["detector"].problem
    with pytest.raises(CheckpointError, match="no weights"):
        catalog.load_detector(name)
    fetch_weights(name, tmp_path)
    assert entries(catalog, name)["detector"].problem is None  # seen without a new start
    assert name not in sys.modules


@each
def test_nuclei_are_found_where_they_are_at_the_packages_own_scale(
    name: str, install: Callable[..., Path], tmp_path: Path, discs_rgb: np.ndarray, discs: Discs
) -> None:
    distribution, version, files = PACKAGES[name]
    install(distribution, version, files)
    fetch_weights(name, tmp_path)
    catalog = empty_catalog(tmp_path)
    detector = catalog.load_detector(name)
    assert detector.info.provenance == {"package": f"{distribution} {version}"}
    image = image_from_pixels("discs", 128, 128, discs_rgb.copy)
    found = detect_image(image, detector, mpp=0.5)
    expected = sorted((x, y) for x, y, _ in discs)
    np.testing.assert_allclose(sorted(found.points_xy.tolist()), expected, atol=0.3)
    np.testing.assert_allclose(found.confidence, CONFIDENCE[name], atol=1e-6)


@each
def test_masks_are_those_of_the_labels_at_the_images_scale(
    name: str, install: Callable[..., Path], tmp_path: Path, discs_rgb: np.ndarray, discs: Discs
) -> None:
    install(*PACKAGES[name])
    fetch_weights(name, tmp_path)
    segmenter = empty_catalog(tmp_path).load_segmenter(name)
    image = image_from_pixels("discs", 128, 128, discs_rgb.copy)
    prompts = point_prompts(np.array([(x, y) for x, y, _ in discs]))
    drawn = {m.index: m for batch in draw_masks(image, prompts, segmenter, mpp=0.5) for m in batch}
    for index, (x, y, radius) in enumerate(discs):
        mask = drawn[index].mask
        assert mask.centroid_xy == pytest.approx((x, y), abs=0.3)
        assert mask.area_px == pytest.approx(np.pi * radius**2, rel=0.08)


@each
def test_detector_and_segmenter_share_one_network(
    name: str, install: Callable[..., Path], tmp_path: Path
) -> None:
    install(*PACKAGES[name])
    fetch_weights(name, tmp_path)
    catalog = empty_catalog(tmp_path)
    detector: Any = catalog.load_detector(name)
    segmenter: Any = catalog.load_segmenter(name)
    assert detector.labeller is segmenter.labeller
    assert catalog.load_detector(name) is detector
    assert catalog.loaded == (name, name)


def test_a_version_without_adapter_and_a_namesake_are_listed_with_the_command_that_helps(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install("cellpose", "3.1.1", PACKAGES["cellpose"][2])
    install("instanseg", "0.0.2", PACKAGES["instanseg"][2])  # of the same import name
    catalog = empty_catalog(tmp_path)
    problem = entries(catalog, "cellpose")["detector"].problem
    assert "is version 3.1.1 here; expected 4.x. Run: pip install 'cellpose==4.*'" in problem
    problem = entries(catalog, "instanseg")["segmenter"].problem
    assert "not of instanseg-torch" in problem


def test_a_package_that_does_not_import_is_a_problem_in_words(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    install("stardist", "0.9.2", {"stardist/__init__.py": "import tensorflow_is_missing"})
    fetch_weights("stardist", tmp_path)
    with pytest.raises(CheckpointError, match=r"StarDist cannot be loaded .*tensorflow_is_missing"):
        empty_catalog(tmp_path).load_detector("stardist")


def test_the_newest_instanseg_is_taken_by_number(tmp_path: Path) -> None:
    from napari_nunext.models.packages.instanseg import find_weights

    for version in ("0.1.9", "0.1.10", "notes"):
        folder = tmp_path / "instanseg" / "brightfield_nuclei" / version
        folder.mkdir(parents=True)
        (folder / "instanseg.pt").touch()
    found = find_weights()
    assert found is not None
    assert found.parent.name == "0.1.10"


def test_listing_imports_none_of_them(install: Callable[..., Path], tmp_path: Path) -> None:
    for package in PACKAGES.values():
        site = install(*package)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from napari_nunext.models.catalog import Catalog\n"
        "print([e.id for e in Catalog().entries() if e.kind == 'detector'][-3:])\n"
        "print({'torch', 'cellpose', 'stardist', 'instanseg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['cellpose', 'stardist', 'instanseg']", "set()"]
