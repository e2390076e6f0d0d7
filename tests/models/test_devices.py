from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from napari_nunext.models import devices
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.checkpoints.loading import decoding_dtype
from napari_nunext.models.devices import choose_device, default_dtype
from napari_nunext.models.next_point.detector import NextPointDetector

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.process.precision import Precision

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
def capabilities(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What the processor says it can do, to be set."""
    said = {"amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: said, raising=False)
    devices.has_bfloat16_units.cache_clear()
    yield said
    devices.has_bfloat16_units.cache_clear()


@pytest.mark.parametrize(
    ("said", "has_units"), [("amx_bf16", True), ("avx512_bf16", True), ("avx512_f", False)]
)
def test_a_cpu_decodes_in_bfloat16_where_it_has_units_for_it(
    built: Path, capabilities: dict[str, bool], said: str, has_units: bool
) -> None:
    capabilities[said] = True
    assert decoding_dtype(built, CPU) == (torch.bfloat16 if has_units else torch.float32)
    decoding = NextPointDetector(built, device="cpu").info.decoding
    assert decoding["dtype"] == ("bfloat16" if has_units else "float32")
    assert decoding["device"] == "cpu"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_person_may_choose(
    built: Path, capabilities: dict[str, bool], precision: Precision
) -> None:
    capabilities["amx_bf16"] = precision == "float32"
    catalog = Catalog([built], precision=precision)
    assert catalog.load_detector(built.name).info.decoding["dtype"] == precision


def test_a_torch_that_cannot_say_has_no_units(
    built: Path, capabilities: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    capabilities["amx_bf16"] = True
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert decoding_dtype(built, CPU) == torch.float32


def test_quantised_weights_keep_their_precision(
    tmp_path: Path, capabilities: dict[str, bool]
) -> None:
    capabilities["amx_bf16"] = True
    stated = {"quant_method": "compressed-tensors", "format": "int-quantized"}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": stated}))
    assert decoding_dtype(tmp_path, CPU) == torch.float32
