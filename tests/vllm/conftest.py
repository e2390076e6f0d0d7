"""The real engine, on small checkpoints; `make test-vllm` brings what that takes."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from napari_nunext.core.scores.position_error import AS_SPREAD
from napari_nunext.models.checkpoints.loading import (
    LoadedCheckpoint,
    load_checkpoint,
    save_checkpoint,
)
from napari_nunext.models.vllm.connection import VllmConnection
from napari_nunext.models.vllm.launch import Launch
from napari_nunext.serving.process.engine import EngineKeeper
from nunext_training.cli import main as nunext_train
from tests.models.margins import clear_windows
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ENGINE = os.environ.get("NUNEXT_VLLM_PYTHON")
if not ENGINE:
    collect_ignore_glob = ["test_*.py"]

torch.set_num_threads(1)

WINDOW_PX = 32
WINDOWS = 24
START_S = 600.0
"""An idle machine takes a minute."""
ADAPTER = "sharper"
ON_A_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    # Compiling one helper takes longer than all the tests.
    "TORCH_COMPILE_DISABLE": "1",
}
OPTIONS = ("--dtype=float32", "--enforce-eager", "--max-num-seqs=16")


@dataclass(frozen=True)
class Engine:
    """A vLLM that runs on a checkpoint, and the same checkpoint in our own hands."""

    keeper: EngineKeeper
    url: str
    checkpoint: LoadedCheckpoint
    adapters: dict[str, Path]

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder

    def connect(self) -> VllmConnection:
        return VllmConnection(self.url)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """Two engines: on points alone, with an adapter; and on categories and latent tokens."""
    assert ENGINE is not None
    folder = tmp_path_factory.mktemp("vllm")
    points = spread(folder, "points")
    sorted_ = spread(folder, "sorted", "--latents", "2", "--categories", "Round,Pale,Other")
    adapters = {ADAPTER: make_adapter(folder / ADAPTER, points.folder)}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in ON_A_CPU.items():
            patch.setenv(name, value)
        started = {}
        for checkpoint, its in ((points, adapters), (sorted_, {})):
            keeper = EngineKeeper(Launch(checkpoint.folder, its, OPTIONS), Path(ENGINE))
            url = stack.enter_context(keeper.running())
            started[checkpoint.folder.name] = Engine(keeper, url, checkpoint, its)
        for engine in started.values():
            wait_until_it_answers(engine.url)
        yield started


@pytest.fixture(params=["points", "sorted"])
def engine(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    """Each of the engines."""
    return engines[request.param]


@pytest.fixture(scope="session")
def points(engines: dict[str, Engine]) -> Engine:
    """The engine on points alone."""
    return engines["points"]


@pytest.fixture(scope="session")
def windows(
    engines: dict[str, Engine], with_adapter: Callable[[Engine, str], LoadedCheckpoint]
) -> list[NDArray[np.uint8]]:
    """Windows that differ in more than noise, and on which no checkpoint here is undecided."""
    rng = np.random.default_rng(11)
    tried, shape = 3 * WINDOWS, (WINDOW_PX, WINDOW_PX, 3)
    colours = rng.integers(0, 256, (tried, 1, 1, 3)) * 0.7
    noisy = (colours + rng.integers(0, 77, (tried, *shape))).clip(0, 255).astype(np.uint8)
    checkpoints = [engine.checkpoint for engine in engines.values()]
    return clear_windows(
        [*checkpoints, with_adapter(engines["points"], ADAPTER)], list(noisy), WINDOWS
    )


def wait_until_it_answers(url: str) -> None:
    """Wait until the engine at an address answers."""
    with closing(VllmConnection(url)) as connection:
        wait_for(
            lambda: connection.look().problem is None,
            otherwise=lambda: connection.look().problem,
            patience_s=START_S,
        )


def metric(connection: VllmConnection, name: str) -> float:
    """A figure of the engine's, now."""
    text = connection.submit(connection.ask("GET", "/metrics")).result().text
    found = re.findall(rf"^{re.escape(name)}\{{\S* ([0-9.e+]+)$", text, re.MULTILINE)
    assert found, f"there is no {name}"
    return sum(map(float, found))


def wait_until_idle(connection: VllmConnection) -> None:
    """Wait until the engine works for nobody."""
    wait_for(
        lambda: (
            metric(connection, "vllm:num_requests_running")
            + metric(connection, "vllm:num_requests_waiting")
            == 0
        ),
        otherwise=lambda: "the engine goes on for nobody",
    )


def spread(folder: Path, name: str, *options: str) -> LoadedCheckpoint:
    """A new checkpoint, random but not indifferent to its image, some of whose replies end."""
    raw = folder / f"{name}-raw"
    window = ("--window-px", str(WINDOW_PX))
    assert nunext_train(["build", "--out", str(raw), *window, *options]) == 0
    loaded = load_checkpoint(raw, device="cpu")
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.12)
        embeddings: Any = loaded.model.get_input_embeddings().weight
        embeddings[loaded.description.codec.end_id] *= 2.5
    description = replace(loaded.description, position_calibration=AS_SPREAD)
    save_checkpoint(folder / name, loaded.model, loaded.windows.processor, description)
    return load_checkpoint(folder / name, device="cpu")


def make_adapter(folder: Path, checkpoint: Path) -> Path:
    """A LoRA adapter that makes a difference, as PEFT writes it."""
    model = load_checkpoint(checkpoint, device="cpu").model
    language = r".*language_model\.layers\.\d+\.self_attn\.(q|k|v|o)_proj"
    config = LoraConfig(r=8, lora_alpha=16, target_modules=language, init_lora_weights=False)
    with torch.random.fork_rng(devices=[]), without_renaming_warnings():
        torch.manual_seed(3)
        get_peft_model(model, config).save_pretrained(str(folder))
    return folder


@contextmanager
def without_renaming_warnings() -> Iterator[None]:
    """PEFT asks for a property by the name that it had before transformers renamed it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing", FutureWarning)
        yield


@pytest.fixture(scope="session")
def with_adapter() -> Callable[[Engine, str], LoadedCheckpoint]:
    """The engine's checkpoint with an adapter merged into it, in our own hands."""

    def merge(engine: Engine, name: str) -> LoadedCheckpoint:
        base = load_checkpoint(engine.folder, device="cpu")
        with without_renaming_warnings():
            adapted = PeftModel.from_pretrained(base.model, str(engine.adapters[name]))
        return replace(base, model=adapted.merge_and_unload())

    return merge
