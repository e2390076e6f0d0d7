from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.quantised import (
    Int8Linear,
    int8_config,
    quantise_rows,
    quantised_linears,
    save_int8,
    unpack_int4,
)
from napari_nunext.models.families import family_names
from napari_nunext.models.next_point.detector import NextPointDetector

if TYPE_CHECKING:
    from pathlib import Path


def saved_int8(plain: Path, folder: Path) -> Path:
    """The checkpoint in `plain` with its linear layers as int8."""
    shutil.copytree(plain, folder)
    (folder / "model.safetensors").unlink()
    save_int8(load_checkpoint(plain, device="cpu").model, folder)
    return folder


@pytest.fixture
def int8_folder(tmp_path, built) -> Path:
    return saved_int8(built, tmp_path / "int8")


def test_a_row_spans_all_levels_and_a_row_of_zeros_stays_zero(rng):
    weight = torch.from_numpy(rng.normal(size=(5, 12)).astype(np.float32))
    weight[3] = 0
    ints, scale = quantise_rows(weight)
    for row, whole, s in zip(weight.tolist(), ints.tolist(), scale[:, 0].tolist(), strict=True):
        step = max(map(abs, row)) / 127 or 1.0
        assert s == pytest.approx(step)
        assert whole == [round(w / step) for w in row]
    assert ints.abs().amax(dim=1).tolist() == [127, 127, 127, 0, 127]


def test_quantising_twice_is_quantising_once(rng):
    weight = torch.from_numpy(rng.normal(size=(64, 48)).astype(np.float32))
    ints, scale = quantise_rows(weight)
    again, scale_again = quantise_rows(ints.float() * scale)
    assert torch.equal(ints, again)
    torch.testing.assert_close(scale, scale_again, rtol=1e-6, atol=0)


def test_a_layer_multiplies_integers(rng):
    linear = nn.Linear(24, 16)
    x = torch.from_numpy(rng.normal(size=(2, 3, 24)).astype(np.float32))
    got = Int8Linear(linear)(x)
    weight, bias = linear.weight.detach().double().numpy(), linear.bias.detach().double().numpy()
    expected = np.empty((2, 3, 16))
    w_step = np.abs(weight).max(axis=1) / 127
    for i, j in np.ndindex(2, 3):
        row = x[i, j].double().numpy()
        step = np.abs(row).max() / 127
        product = np.rint(weight / w_step[:, None]).astype(int) @ np.rint(row / step).astype(int)
        expected[i, j] = product * step * w_step + bias
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(rng):
    layer = Int8Linear(nn.Linear(32, 8, bias=False))
    x = torch.from_numpy(rng.normal(size=(6, 32)).astype(np.float32))
    x[0] *= 1000  # an outlier beside
    assert torch.equal(layer(x)[3:], layer(x[3:]))


@pytest.mark.parametrize(
    "checkpoint", [(family, "both") for family in family_names()], ids="-".join, indirect=True
)
def test_a_checkpoint_of_int8_serves_by_the_normal_path(tmp_path, checkpoint, windows):
    folder = saved_int8(checkpoint.folder, tmp_path / "int8")
    plain = load_checkpoint(checkpoint.folder, device="cpu")
    loaded = load_checkpoint(folder, device="cpu")
    layers = [m for m in loaded.model.modules() if isinstance(m, Int8Linear)]
    assert len(layers) == len(quantised_linears(plain.model))
    assert not quantised_linears(loaded.model)  # none is left but the head
    inputs = plain.windows(windows[:2])
    with torch.no_grad():
        expected, got = plain.model(**inputs).logits, loaded.model(**inputs).logits
    assert 0 < (got - expected).norm() < 0.05 * expected.norm()
    detector = NextPointDetector(folder, device="cpu")
    assert list(detector.detect(windows[:1], cancelled=lambda: False))


def test_what_is_kept_is_int8_with_a_scale_for_each_row(int8_folder, built):
    kept = load_file(int8_folder / "model.safetensors")
    plain = load_file(built / "model.safetensors")
    scales = {name.removesuffix("_scale") for name in kept if name.endswith("_scale")}
    assert len(scales) == len(quantised_linears(load_checkpoint(built).model))
    assert kept.keys() - {f"{name}_scale" for name in scales} == plain.keys()
    for name, tensor in plain.items():
        if name in scales:
            assert kept[name].dtype == torch.int8
            error = (kept[name] * kept[f"{name}_scale"] - tensor).abs()
            assert (error <= kept[f"{name}_scale"] * 0.501).all()
        else:
            assert torch.equal(kept[name], tensor)
    config = json.loads((int8_folder / "config.json").read_text())
    assert config["quantization_config"] == int8_config()


@pytest.mark.parametrize("columns", [8, 32, 20])
def test_four_bits_are_unpacked_lowest_first(rng, columns):
    values = rng.integers(-8, 8, (3, columns))
    words = np.zeros((3, -(-columns // 8)), dtype=np.uint32)
    for i, j in np.ndindex(values.shape):
        words[i, j // 8] |= np.uint32((values[i, j] + 8) << 4 * (j % 8))
    packed = torch.from_numpy(words.view(np.int32))
    assert unpack_int4(packed, (3, columns)).tolist() == values.tolist()


def test_packed_weights_are_unpacked_when_they_are_loaded(tmp_path, built, rng):
    """In the layout of llmcompressor: a scale for each group of 32 in a row."""
    folder = tmp_path / "w4"
    shutil.copytree(built, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("down_proj.weight") and "layers" in n)
    rows, columns = weights[name].shape
    ints = rng.integers(-8, 8, (rows, columns))
    scale = rng.uniform(0.01, 0.02, (rows, columns // 32)).astype(np.float32)
    shifted = (ints + 8).astype(np.uint32).reshape(rows, -1, 8)
    words = sum(shifted[..., i] << np.uint32(4 * i) for i in range(8))
    del weights[name]
    weights[f"{name}_packed"] = torch.from_numpy(words.astype(np.uint32).view(np.int32))
    weights[f"{name}_scale"] = torch.from_numpy(scale)
    weights[f"{name}_shape"] = torch.tensor([rows, columns])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
    }
    (folder / "config.json").write_text(json.dumps(config))

    loaded = load_checkpoint(folder, device="cpu").model
    expected = torch.from_numpy(ints * np.repeat(scale, 32, axis=1)).float()
    found = [p for _, p in loaded.named_parameters() if p.shape == expected.shape]
    assert any(torch.allclose(p, expected, rtol=1e-6) for p in found)


def test_a_quantisation_that_is_not_read_is_named(int8_folder):
    path = int8_folder / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = {"quant_method": "awq", "bits": 4}
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"quantised as awq.*expected compressed-tensors"):
        load_checkpoint(int8_folder, device="cpu")


def test_a_missing_scale_is_a_checkpoint_that_does_not_fit(int8_folder):
    weights = load_file(int8_folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("_scale"))
    del weights[name]
    weights["model.stray.weight"] = torch.zeros(1)
    save_file(weights, int8_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"do not fit|cannot be loaded"):
        load_checkpoint(int8_folder, device="cpu")
