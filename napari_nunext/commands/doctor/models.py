"""torch, the weights that come with the package, and the model server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from napari_nunext.commands.doctor.finding import Finding, ProbeError, probe
from napari_nunext.core.errors import NunextError
from napari_nunext.models.checkpoints.integrity import (
    FILE_NAME,
    check_weight_files,
    read_json,
)
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE, LocalServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.serving.client.client import Client

TORCH = """
import json, torch
gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
print(json.dumps([torch.__version__, torch.version.cuda or "", gpu or (
    "Apple GPU" if torch.backends.mps.is_available() else "")]))
"""
CPU_BUILD = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cpu"


def model_findings() -> list[Finding]:
    """Of torch, and of the weights."""
    return [torch_finding(), *weights_findings()]


def torch_finding() -> Finding:
    """Which build of torch is there, and whether it sees a GPU."""
    try:
        seen, cuda, gpu = probe(TORCH)
    except ProbeError as error:
        words = f"torch cannot be loaded ({error}). Type: pip install --force-reinstall torch"
        return Finding("torch", False, words)
    if gpu:
        return Finding("torch", True, f"torch {seen} sees a GPU: {gpu}")
    if not cuda:
        return Finding("torch", True, f"torch {seen} runs on the CPU")
    words = (
        f"torch {seen} is built for CUDA {cuda}, but sees no GPU; models run on the CPU. "
        f"If there is a GPU, update its driver; if not, the CPU build saves gigabytes: {CPU_BUILD}"
    )
    return Finding("torch", False, words, needed=False)


def weights_findings(folder: Path = BUNDLED_WEIGHTS) -> list[Finding]:
    """Whether each checkpoint that comes with the package is whole."""
    checkpoints = sorted(p for p in folder.glob("*") if p.is_dir() and p.name[0] not in "._")
    if not checkpoints:
        words = (
            "The weights that come with the package are not there; expected nunext-small. "
            "Type: pip install --force-reinstall --no-deps napari-nunext"
        )
        return [Finding("weights", False, words)]
    return [_weights_finding(each) for each in checkpoints]


def _weights_finding(checkpoint: Path) -> Finding:
    name = f"weights {checkpoint.name}"
    again = "Type: pip install --force-reinstall --no-deps napari-nunext"
    try:
        read_json(checkpoint / FILE_NAME)
        check_weight_files(checkpoint)
        # Opening compares the header with the size of the file, and reads no weights.
        for file in sorted(checkpoint.glob("*.safetensors")):
            with safe_open(file, framework="numpy"):
                pass
    except (NunextError, SafetensorError, OSError) as error:
        said = str(error).rstrip(".")
        return Finding(name, False, f"{checkpoint.name} is not whole ({said}). {again}")
    return Finding(name, True, f"{checkpoint.name} is whole")


def server_findings(url: str | None) -> list[Finding]:
    """Whether a model server answers and finds nuclei: one elsewhere, or else one started here."""
    try:
        if url is not None:
            from napari_nunext.serving.client.client import Client

            with Client(url, os.environ.get(TOKEN_VARIABLE)) as client:
                return _tried(lambda: client)
        with LocalServer() as server:
            return _tried(server.client)
    except (NunextError, OSError) as error:
        return [Finding("server", False, str(error))]


def _tried(connect: Callable[[], Client]) -> list[Finding]:
    from napari_nunext.review.finding.checkup import examine

    checks = examine(connect, model_id="", folder=None).checks
    return [Finding("server", each.passed, each.words) for each in checks]
