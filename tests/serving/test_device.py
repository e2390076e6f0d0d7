from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from napari_nunext.serving.health.device import device_name


def torch_with(cuda: str | None = None, mps: bool = False) -> ModuleType:
    module = ModuleType("torch")
    module.cuda = SimpleNamespace(
        is_available=lambda: cuda is not None, get_device_name=lambda index: cuda
    )
    module.backends = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps))
    return module


@pytest.mark.parametrize(
    ("torch", "name"),
    [
        (None, "cpu"),
        (ModuleType("torch"), "cpu"),  # as another thread sees it while it is imported
        (torch_with(), "cpu"),
        (torch_with(mps=True), "mps"),
        (torch_with(cuda="A card"), "A card"),
    ],
)
def test_the_device_is_named_whether_or_not_torch_is_in_memory(monkeypatch, torch, name):
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert device_name() == name
