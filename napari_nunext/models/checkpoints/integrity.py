"""Whether the files of a checkpoint are whole and belong together, and their hash.

Everything here reads JSON and file sizes: torch and transformers are not imported.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from napari_nunext.core.codec import (
    SEPARATOR_TEXT,
    category_token,
    coordinate_token,
    latent_token,
)
from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.formats.json_text import parse_json
from napari_nunext.core.identity import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.codec import Codec

FILE_NAME = "nunext.json"

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def check_weight_files(folder: Path) -> None:
    """Raise `CheckpointError` unless `folder` has its config and all its safetensors weights."""
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder.name} has no config.json. Copy the whole folder of the checkpoint."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
        missing = [s for s in shards if not (folder / s).is_file()]
        if missing or not shards:
            raise CheckpointError(
                f"{folder.name} lacks {len(missing)} of {len(shards)} weight files"
                f"{f' (first: {missing[0]})' if missing else ''}. Copy the whole folder again."
            )
    elif not (folder / "model.safetensors").is_file():
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLED)
        if pickled:
            raise CheckpointError(
                f"{folder.name} has only pickled weights ({pickled[0]}), which can run code when "
                "loaded and are refused. Export the checkpoint with safetensors."
            )
        raise CheckpointError(
            f"{folder.name} has no model.safetensors. Copy the whole folder of the checkpoint."
        )


def check_adapter_files(folder: Path) -> None:
    """Raise `CheckpointError` unless `folder` holds additions that PEFT wrote as safetensors."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder.name} has no {name}. Name the folder of a LoRA adapter, as PEFT writes "
                "it."
            )


def check_token_ids(folder: Path, codec: Codec) -> None:
    """Raise `CheckpointError` unless the tokenizer in `folder` has every token at the codec's id.

    A tokenizer that was changed or mixed up would otherwise turn every point into another one.
    """
    data = read_json(
        folder / "tokenizer.json",
        missing=f"{folder.name} has no tokenizer.json. Copy the whole folder of the checkpoint.",
    )
    ids = dict(data.get("model", {}).get("vocab", {}))
    ids |= {token["content"]: token["id"] for token in data.get("added_tokens", [])}
    for text, expected in token_ids(codec).items():
        if ids.get(text) != expected:
            raise CheckpointError(
                f"{folder.name}: the tokenizer has {text!r} at {ids.get(text, 'no id')}, but "
                f"{FILE_NAME} says {expected}. Export the checkpoint again."
            )
    if codec.end_id not in ids.values():
        raise CheckpointError(
            f"{folder.name}: the end token {codec.end_id} of {FILE_NAME} is not in the tokenizer. "
            "Export the checkpoint again."
        )


def token_ids(codec: Codec) -> dict[str, int]:
    """Every token of the codec that has a fixed text, and the id it must have."""
    expected = {coordinate_token(i): codec.coordinate_start_id + i for i in range(codec.bins)}
    expected |= {latent_token(i): token for i, token in enumerate(codec.latent_ids)}
    expected |= {category_token(i): token for i, token in enumerate(codec.category_ids)}
    return expected | {SEPARATOR_TEXT: codec.separator_id}


_hashes: dict[str, tuple[int, int, str]] = {}


def checkpoint_sha256(folder: Path) -> str:
    """SHA-256 over the files of a checkpoint, hex.

    Hashed are, in the order of their relative paths, each file's path and the SHA-256 of its bytes.
    Hidden files, and whole hidden folders, do not count. Hashes of files are remembered for the
    life of the process while size and modification time stay.

    Raises
    ------
    CheckpointError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; expected a checkpoint.")
    digest = hashlib.sha256()
    files = {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}
    for relative in sorted(files, key=lambda p: p.as_posix()):
        if not any(part.startswith(".") for part in relative.parts):
            digest.update(f"{relative.as_posix()}\0{_cached_sha256(files[relative])}\n".encode())
    return digest.hexdigest()


def _cached_sha256(path: Path) -> str:
    stat, key = path.stat(), str(path.resolve())
    known = _hashes.get(key)
    if known is None or known[:2] != (stat.st_mtime_ns, stat.st_size):
        known = _hashes[key] = (stat.st_mtime_ns, stat.st_size, file_sha256(path))
    return known[2]


def read_json(path: Path, *, missing: str | None = None) -> dict[str, Any]:
    """A JSON object; `missing` is said where there is no file, and `CheckpointError` is raised."""
    try:
        data = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(missing or f"{path.name} is missing.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} of {path.parent.name} cannot be read ({error}). "
            "Copy the checkpoint again."
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path.name} of {path.parent.name} is not a JSON object.")
    return data
