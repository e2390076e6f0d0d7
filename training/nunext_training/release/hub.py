"""A released folder to the Hugging Face Hub, and nothing but it.

Private unless somebody says otherwise. Who one is, is the Hub's own affair: its login or its
environment variables; nothing of it is read or kept here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import httpx
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import validate_repo_id

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.identifying import identifying_words
from napari_nunext.core.sentences import counted
from napari_nunext.models.checkpoints.description import describe
from napari_nunext.models.checkpoints.integrity import read_json
from napari_nunext.models.checkpoints.loading import NOTICE_FILE, PARTS
from nunext_training.release.front_matter import split_card
from nunext_training.release.release import CARD_FILE
from nunext_training.runs.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_nunext.models.checkpoints.description import Description

_SENT = (
    "*.safetensors",
    "*.safetensors.index.json",
    "nunext.json",
    "config.json",
    "generation_config.json",
    "*processor_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    CARD_FILE,
    NOTICE_FILE,
)
"""What a released folder is made of. All else might hold images, or who reviewed them."""

CODE_FILE = "nunext_auto.py"
"""What ``auto_map`` names: published folders alone have it."""

_DETECTOR = '''"""Loads this model by the package napari-nunext: pip install napari-nunext."""

from napari_nunext.models.families.conv_qwen_model import (
    ConvQwenConfig,
    ConvQwenForConditionalGeneration,
)
from napari_nunext.models.families.conv_qwen_processor import ConvQwenProcessor
'''
_SEGMENTER = '''"""Loads this model by the package napari-nunext: pip install napari-nunext."""

from napari_nunext.models.sam.trunk_sam import TrunkSamConfig, TrunkSamModel
'''

CODE: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "conv_qwen": (
        _DETECTOR,
        {
            "config.json": {
                "AutoConfig": "ConvQwenConfig",
                "AutoModelForImageTextToText": "ConvQwenForConditionalGeneration",
            },
            "processor_config.json": {"AutoProcessor": "ConvQwenProcessor"},
        },
    ),
    "trunk_sam": (
        _SEGMENTER,
        {
            "config.json": {
                "AutoConfig": "TrunkSamConfig",
                "AutoModelForMaskGeneration": "TrunkSamModel",
            }
        },
    ),
}
"""By the ``model_type`` of architectures of ours: what `CODE_FILE` says, and in which file which
class an Auto class is to take. Nothing is defined there: whoever trusts it trusts a package that is
installed anyway."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What would be sent: bytes for what is made for the Hub, and paths for what is there."""

    files: dict[str, bytes | Path]
    """By the place in the repository."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(
            len(content) if isinstance(content, bytes) else content.stat().st_size
            for content in self.files.values()
        )

    def __str__(self) -> str:
        return f"{counted(len(self.files), 'file')}, {self.size / 1e6:.1f} MB: " + ", ".join(
            sorted(self.files)
        )


def pack(folder: Path) -> Parcel:
    """What of a released folder is sent.

    Raises
    ------
    InputError
        If the folder has no card with a licence, holds a file that no release has, or has words
        that seem to name somebody. Nothing of such a folder is sent.
    CheckpointError
        If it is no checkpoint.
    """
    description = describe(folder)
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    }
    if strangers := [name for name in files if not _is_sent(name)]:
        raise InputError(
            f"{folder.name} holds {counted(len(strangers), 'file')} that no release has (first: "
            f"{strangers[0]}): it may be of patients. Nothing was sent. Move it out of the folder."
        )
    _check_words(folder, description)
    parcel: dict[str, bytes | Path] = dict(files)
    ours = CODE.get(read_json(folder / "config.json").get("model_type", ""))
    if ours is not None:
        code, named = ours
        parcel |= {name: _with_auto_map(folder / name, kinds) for name, kinds in named.items()}
        parcel[CODE_FILE] = code.encode()
    return Parcel(parcel)


def publish(folder: Path, repo: str, *, private: bool = True, tell: Callable[[str], None]) -> str:
    """Send a released folder to a repository of the Hub, which is made if it is not there.

    Parameters
    ----------
    folder : Path
    repo : str
        ``owner/name``, or a name of one's own.
    private : bool
        A repository that is made; one that is there stays as it is.
    tell : callable
        Told what is sent where, before it is.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    InputError
        As `pack`; or if `repo` is no name of a repository.
    TrainingError
        If the Hub does not take it.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(
            f"{repo!r} is no name of a repository ({error}). Expected owner/name."
        ) from error
    parcel = pack(folder)
    hub = HfApi(library_name="napari-nunext")
    who = "private, if it is new" if private else "public, if it is new"
    tell(f"Sending to {hub.endpoint}/{repo} ({who}): {parcel}")
    try:
        made = hub.create_repo(repo, private=private, exist_ok=True)
        sent = hub.create_commit(
            made.repo_id,
            [CommitOperationAdd(name, content) for name, content in parcel.files.items()],
            commit_message=f"{folder.name}, by nunext-train release",
        )
    except (httpx.HTTPError, OSError, RuntimeError) as error:  # those of the Hub's client
        raise TrainingError(_why(error, hub.endpoint, folder)) from error
    return str(sent.commit_url)


def _is_sent(name: str) -> bool:
    if "/" in name:
        return name in {file.as_posix() for file in PARTS.values()}
    return any(PurePosixPath(name).match(pattern) for pattern in _SENT)


def _check_words(folder: Path, description: Description) -> None:
    """Whether the card has a licence, and nobody is named in what people wrote."""
    card = folder / CARD_FILE
    said, text = split_card(card.read_text(encoding="utf-8")) if card.is_file() else ({}, "")
    if not said.get("license"):
        raise InputError(
            f"{folder.name} has no model card that says its licence: nobody could use it. Release "
            "it with --card FILE.md, whose front matter has a line 'license: ...'."
        )
    recipe = description.provenance.get("recipe")
    written = [description.name, *(c.name for c in getattr(description, "categories", ())), text]
    written.append(str(recipe.get("name", "")) if isinstance(recipe, dict) else "")
    if (folder / NOTICE_FILE).is_file():
        written.append((folder / NOTICE_FILE).read_text(encoding="utf-8", errors="replace"))
    if words := identifying_words(written):
        raise InputError(
            f"Of {folder.name}, {words}, as cases of patients have. Nothing was sent. Change its "
            "card, its name or its categories."
        )


def _with_auto_map(path: Path, classes: Mapping[str, str]) -> bytes:
    module = CODE_FILE.removesuffix(".py")
    named = {kind: f"{module}.{name}" for kind, name in classes.items()}
    return json.dumps(read_json(path) | {"auto_map": named}, indent=2).encode() + b"\n"


def _why(error: Exception, endpoint: str, folder: Path) -> str:
    """What the Hub said, and what to do."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    kept = f"{folder} is as it was: the same command without --checkpoint and --data sends it."
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return f"The Hub does not know who you are. Run `hf auth login`, or set HF_TOKEN. {kept}"
    if status == 403:
        return f"The Hub does not let you write there ({_first_line(error)}). {kept}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, so that nothing is sent. Unset it. {kept}"
    return f"{endpoint} did not take it ({_first_line(error)}). {kept}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
