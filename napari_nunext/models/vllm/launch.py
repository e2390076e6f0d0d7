"""How vLLM is started so that its replies are ours: its command line and its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import napari_nunext
from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.integrity import check_adapter_files
from napari_nunext.models.vllm.names import KEY_VARIABLE, LOGPROBS_MODE, PLUGIN
from napari_nunext.models.vllm.offer import check_served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_nunext.models.checkpoints.description import CheckpointDescription

PROMPT_TOKENS = 256
"""Room for what a prompt has besides the image and the latent tokens."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A checkpoint to serve by vLLM.

    Raises
    ------
    CheckpointError
        If vLLM cannot serve it.
    InputError
        If an adapter is not a folder that PEFT wrote as safetensors, or has the checkpoint's name.
    """

    folder: Path
    adapters: Mapping[str, Path]
    """LoRA adapters by the names under which they are served."""
    options: tuple[str, ...] = ()
    """Further arguments of ``vllm serve``; they come last, so that they win."""

    def __post_init__(self) -> None:
        check_served(self.folder)
        for name, folder in self.adapters.items():
            check_adapter_files(folder)
            if name == self.name:
                raise InputError(
                    f"The adapter {name} has the checkpoint's own name. Choose another for it."
                )

    @property
    def name(self) -> str:
        """Under which the checkpoint is served."""
        return self.folder.resolve().name

    def arguments(self, socket_path: Path) -> list[str]:
        """Of the command ``vllm``; it listens where no other user of the machine can reach it."""
        adapters = [f"{name}={folder.resolve()}" for name, folder in self.adapters.items()]
        return [
            "serve",
            str(self.folder.resolve()),
            "--served-model-name",
            self.name,
            "--uds",
            str(socket_path),
            "--disable-uvicorn-access-log",
            "--max-model-len",
            str(_context(check_served(self.folder))),
            *points_options(),
            *(["--enable-lora", "--lora-modules", *adapters] if adapters else []),
            *self.options,
        ]


def points_options() -> list[str]:
    """Options of ``vllm serve`` without which it does not answer with points."""
    return [
        "--logits-processors",
        PLUGIN,
        "--logprobs-mode",
        LOGPROBS_MODE,
        "--scheduling-policy",
        "priority",
        "--generation-config",
        "vllm",
        "--limit-mm-per-prompt",
        json.dumps({"image": 1, "video": 0}),
    ]


def _context(description: CheckpointDescription) -> int:
    """Tokens of the longest prompt and reply.

    By default vLLM keeps memory for what the base model was made for, a hundred times as much.
    """
    prompt = description.image_tokens + len(description.codec.latent_ids) + PROMPT_TOKENS
    return prompt + TOKENS_PER_POINT * description.max_points + 1


def find_python(named: Path | None = None) -> Path:
    """The Python of an environment that has vLLM: the one named, else this one.

    Raises
    ------
    InputError
        If it has no vLLM.
    """
    if named is None:
        if find_spec("vllm") is not None:
            return Path(sys.executable)
        raise InputError(
            "vLLM is not installed beside napari-nunext. Install it (pip install "
            "'napari-nunext[vllm]'), or name the Python of an environment that has it "
            "(--vllm-python)."
        )
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    try:
        found = subprocess.run([named, "-c", look], check=False, capture_output=True).returncode
    except OSError as error:
        raise InputError(f"{named} cannot be run ({error.strerror}). Name a Python.") from error
    if found != 0:
        raise InputError(f"{named} has no vLLM. Name the Python of an environment that has it.")
    return named


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for one vLLM, gone after the block: its socket, and a link to this very package.

    vLLM's environment need not have napari-nunext: the package is lent to it, alone, by that link
    on its path. All that is imported there is numpy and torch, which vLLM brings.
    """
    with tempfile.TemporaryDirectory(prefix="napari-nunext-vllm-") as name:
        package = Path(napari_nunext.__file__).parent
        Path(name, package.name).symlink_to(package, target_is_directory=True)
        yield Path(name)


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for a vLLM that `folder` is for."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    inherited = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    return inherited | {
        "PYTHONPATH": os.pathsep.join(paths),
        # The plugin's interface; see `napari_nunext.models.vllm.plugin`.
        "VLLM_USE_V2_MODEL_RUNNER": "0",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


def command(python: Path, arguments: Sequence[str]) -> list[str]:
    """What to run."""
    return [str(python), "-m", "napari_nunext.models.vllm.host", *arguments]
