from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from napari_nunext.models import devices
from napari_nunext.models.decoding import NextPointDetector
from napari_nunext.models.devices import choose_device, decoding_dtype, default_dtype

if TYPE_CHECKING:
    from pathlib import Path

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_device_decides_the_precision() -> None:
    assert default_dtype(CUDA) == torch.bfloat16
    assert default_dtype(CPU) == torch.float32


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device().type == chosen
    assert choose_device("cpu") == CPU


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds of a product by precision, to be set."""
    seconds = {torch.float32: 1.0, torch.bfloat16: 1.0}
    monkeypatch.setattr(devices, "_product_s", lambda dtype: seconds[dtype])
    devices.bfloat16_pays.cache_clear()
    yield seconds
    devices.bfloat16_pays.cache_clear()


@pytest.mark.parametrize(("seconds", "pays"), [(0.2, True), (0.9, False), (3.0, False)])
def test_a_cpu_decodes_in_bfloat16_where_that_is_faster_by_far(
    built: Path, speeds: dict[torch.dtype, float], seconds: float, pays: bool
) -> None:
    speeds[torch.bfloat16] = seconds
    assert decoding_dtype(built, CPU) == (torch.bfloat16 if pays else torch.float32)
    decoding = NextPointDetector(built, device="cpu").info.decoding
    assert decoding["dtype"] == ("bfloat16" if pays else "float32")
    assert decoding["device"] == "cpu"
    asked_for = NextPointDetector(built, device="cpu", dtype=torch.float32)
    assert asked_for.info.decoding["dtype"] == "float32"


def test_quantised_weights_keep_their_precision(
    tmp_path: Path, speeds: dict[torch.dtype, float]
) -> None:
    speeds[torch.bfloat16] = 0.1
    stated = {"quant_method": "compressed-tensors", "format": "int-quantized"}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": stated}))
    assert decoding_dtype(tmp_path, CPU) == torch.float32


def test_the_speed_of_a_product_is_the_shortest_of_some_by_the_processors_clock() -> None:
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0])
    assert devices._product_s(torch.float32, lambda: next(times), repeats=3) == 2.0
