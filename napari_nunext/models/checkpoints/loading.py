"""Checkpoints into memory, and back to disk whole or not at all.

Nothing here reaches the network, and nothing but safetensors is read.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForImageTextToText
from transformers.utils import logging as transformers_logging

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.process.permissions import open_up
from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE
from napari_nunext.models.checkpoints.description import (
    CheckpointDescription,
    Description,
    describe,
    read_description,
    write_description,
)
from napari_nunext.models.checkpoints.integrity import check_weight_files
from napari_nunext.models.checkpoints.processor import WindowProcessor
from napari_nunext.models.checkpoints.quantised import (
    is_int8,
    load_unpacked,
    quantisation_of,
    use_int8,
)
from napari_nunext.models.checkpoints.second_look import LOOK_FILE, LookLayer
from napari_nunext.models.devices import choose_device, default_dtype, has_bfloat16_units
from napari_nunext.models.families import Family, check_window, embedding_rows, get_family

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from transformers import PreTrainedModel, ProcessorMixin

NOTICE_FILE = "NOTICE.txt"
"""Says whose weights those of a checkpoint began as, and under which licence."""
_OF_TRUNK = Path(__file__).parent / "efficientnet_lite0"
"""Where the notice lies of weights that `pretrained_trunk` puts into a checkpoint."""

PARTS = {"atomic": HEAD_FILE, "second_look": LOOK_FILE}
"""What a checkpoint may have besides its weights, which reads their states: the field of its
description, and the file in its folder."""


@dataclass(frozen=True, eq=False, slots=True)
class LoadedCheckpoint:
    """A detector's checkpoint in memory, its model in evaluation mode."""

    folder: Path
    description: CheckpointDescription
    family: Family
    model: PreTrainedModel
    windows: WindowProcessor
    atomic_head: AtomicHead | None = None
    """Where there is one; the description says how it is used."""
    look_layer: LookLayer | None = None
    """Of the second look at categories, where there is one."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device


def load_checkpoint(
    folder: Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    attention: str | None = None,
    to_decode: bool = False,
) -> LoadedCheckpoint:
    """Load the detector's checkpoint in `folder`.

    Parameters
    ----------
    folder : Path
    device : str or torch.device, optional
        As `choose_device`.
    dtype : torch.dtype, optional
        As `default_dtype`; training asks for float32 where inference would not.
    attention : str, optional
        Of every part of the model, as transformers names it (``"eager"``, ``"sdpa"``); its own
        choice when None. Not kept with the weights.
    to_decode : bool
        That is all that it will do: `decoding_dtype` where no other is asked for.

    Raises
    ------
    CheckpointError
        If the folder is not a detector's checkpoint, or does not hold together.
    """
    description = read_description(folder)
    family = get_family(description.family)
    family.register()
    chosen = choose_device(device)
    usual = decoding_dtype(folder, chosen) if to_decode else default_dtype(chosen)
    model = load_weights(
        AutoModelForImageTextToText,
        folder,
        device=chosen,
        dtype=dtype or usual,
        attention=attention,
    )
    if model.config.model_type != family.name:
        raise CheckpointError(
            f"{folder.name} says family {family.name}, but its config.json says "
            f"{model.config.model_type}. Export the checkpoint again."
        )
    check_window(description.window_px, family.token_px(model.config))
    rows = embedding_rows(model)
    codec = description.codec
    largest = max(codec.coordinate_start_id + codec.bins - 1, codec.end_id, *codec.latent_ids, -1)
    if max(largest, *codec.category_ids, -1) >= rows:
        raise CheckpointError(
            f"{folder.name} has {rows} embeddings, fewer than its tokens. Export it again."
        )
    windows = WindowProcessor(family, family.load_processor(folder), description)
    head = None if description.atomic is None else AtomicHead.load(folder, model, codec)
    look = None
    if description.second_look is not None:
        embeddings: Any = model.get_input_embeddings()
        look = LookLayer.read(folder, description.second_look, embeddings.weight.shape[1])
    return LoadedCheckpoint(folder, description, family, model, windows, head, look)


def load_weights(
    auto_class: Any,
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype | str,
    attention: str | None = None,
) -> PreTrainedModel:
    """Model in `folder` through `auto_class`, in evaluation mode, complete or not at all.

    `attention` is as in `load_checkpoint`.

    Raises
    ------
    CheckpointError
        If weights are missing, superfluous, of another shape, unreadable or pickled, or if the
        configuration is not one that transformers knows.
    """
    check_weight_files(folder)
    quantisation = quantisation_of(folder)
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": attention}
    try:
        with without_progress_bars():
            if quantisation is not None:
                model, report = load_unpacked(auto_class, folder, **options)
            else:
                model, report = auto_class.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,  # nor asks whether to
                    output_loading_info=True,
                    **options,
                )
    except Exception as error:  # transformers and those that it asks have errors of their own
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise
        raise CheckpointError(
            f"{folder.name} cannot be loaded ({error}). Copy the checkpoint again."
        ) from error
    wrong = [f"{len(names)} {kind.replace('_', ' ')}" for kind, names in report.items() if names]
    if wrong:
        raise CheckpointError(
            f"The weights of {folder.name} do not fit its configuration ({', '.join(wrong)}). "
            "Export the checkpoint again."
        )
    if quantisation is not None and is_int8(quantisation) and device.type == "cpu":
        use_int8(model)
    return model.to(device).eval()


def save_checkpoint(
    folder: Path,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    description: CheckpointDescription,
    *,
    parent: Path | None = None,
) -> None:
    """Write a checkpoint that `load_checkpoint`, the Auto classes and vLLM load.

    The folder appears whole or not at all, with the notice of a `parent`, and of a trunk whose
    weights were published; see `new_folder`.

    Raises
    ------
    InputError
        If `folder` exists and is not empty.
    """
    family = get_family(description.family)
    with new_checkpoint_folder(folder, description, parent=parent) as part:
        with without_progress_bars():
            model.save_pretrained(part)
        family.save_processor(processor, part)
        finish_checkpoint(part, description)


def new_checkpoint_folder(
    folder: Path, description: Description, *, parent: Path | None = None
) -> AbstractContextManager[Path]:
    """As `new_folder`, with the notice of a published trunk where one was put into the weights."""
    other = _OF_TRUNK if description.provenance.get("trunk") else None
    return new_folder(folder, parent=parent, other=other)


def finish_checkpoint(folder: Path, description: Description) -> None:
    """Add ``nunext.json``, then check the folder as a reader would.

    A head for atomic points or a second look that was not written along is no part of the
    checkpoint: it read the states of other weights.
    """
    if isinstance(description, CheckpointDescription):
        missing: dict[str, Any] = {
            name: None for name, file in PARTS.items() if not (folder / file).is_file()
        }
        description = replace(description, **missing)
    write_description(folder, description)
    describe(folder)


@contextmanager
def new_folder(
    folder: Path, *, parent: Path | None = None, other: Path | None = None
) -> Iterator[Path]:
    """Yield a folder beside `folder` that takes its name once the block ends without an error.

    What is made of weights that others began says so: the notice of `parent`, the checkpoint that
    it is made of, goes along, and that of an `other`. Their licence asks for it.

    Raises
    ------
    InputError
        If `folder` exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already. Choose another folder, or remove it first.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield part
        words = b""
        for path in (p / NOTICE_FILE for p in (parent, other) if p is not None):
            if path.is_file() and (more := path.read_bytes()) not in words:
                words += b"\n" * bool(words) + more
        if words:
            (part / NOTICE_FILE).write_bytes(words)
        open_up(part)
        if folder.exists():
            folder.rmdir()  # empty: Windows does not rename onto it
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """A server's log is no place for bars; what the caller had set is put back."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def without_renaming_warnings() -> Iterator[None]:
    """PEFT and TRL ask for a property by the name that it had before transformers renamed it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".is_gradient_checkpointing", FutureWarning)
        yield


def decoding_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """What a checkpoint is decoded in: bfloat16 where the device has units for it.

    Quantised checkpoints keep float32 beside their small integers on a CPU.
    """
    if device.type == "cpu" and quantisation_of(folder) is None and has_bfloat16_units():
        return torch.bfloat16
    return default_dtype(device)
