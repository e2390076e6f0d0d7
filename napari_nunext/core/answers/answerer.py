"""An answerer of somebody else's: where it is, and what it has to be told apart by."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_args
from urllib.parse import urlsplit

from napari_nunext.core.answers.boxes import BoxConvention
from napari_nunext.core.answers.budget import MOST_TOKENS, PATCH_PX
from napari_nunext.core.answers.reply import Thought
from napari_nunext.core.errors import InputError

_FORM = "NAME=URL#MODEL or NAME=FOLDER, with ,option or ,option=value behind it"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FLAGS = {"may_train": "may_train", "nuclei": "reads_nuclei"}
"""Options that are yes or no, and what they say."""
USUAL_ANSWER, LONGEST_ANSWER = 1024, 8192
"""Tokens of an answer, its thought included: the most where nobody says, and that anyone may."""
OWN_NAMES = ("counts",)
"""Names that no answerer of a server may take."""


@dataclass(frozen=True, slots=True)
class AnswererWays:
    """What an answerer is called, and what its words mean.

    Raises
    ------
    InputError
        If the name or a convention cannot be used.
    """

    name: str
    """What requests name it by."""
    may_train: bool = field(default=False, kw_only=True)
    """Whether its answers may be learned from. Many licences forbid it, so it has to be said."""
    boxes: BoxConvention = field(default="pixels", kw_only=True)
    thought: Thought = field(default="tags", kw_only=True)
    patch_px: int = field(default=PATCH_PX, kw_only=True)
    """Side of one image token."""
    reads_nuclei: bool | None = field(default=None, kw_only=True)
    """Whether it is told the nuclei of the region; None where nobody said. Of a folder that was
    trained here, `napari_nunext.models.answerers.about` knows it then."""
    budget: int | None = field(default=None, kw_only=True)
    """Image tokens of the pictures that it was taught with, which are asked of it where nobody says
    otherwise; None where nobody said."""
    max_tokens: int | None = field(default=None, kw_only=True)
    """Most tokens of an answer, its thought included, where nobody says otherwise; None where
    nobody said."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in OWN_NAMES:
            raise InputError(
                f"{self.name!r} cannot be the name of an answerer; expected letters, digits, and "
                f". _ - between them, and not {' or '.join(OWN_NAMES)}."
            )
        for what, value, known in (
            ("boxes", self.boxes, get_args(BoxConvention)),
            ("thought", self.thought, get_args(Thought)),
        ):
            if value not in known:
                raise InputError(
                    f"{self.name} has {what}={value}; expected one of {', '.join(known)}."
                )
        if not 1 <= self.patch_px <= 224:
            raise InputError(f"{self.name} has patch_px={self.patch_px}; expected 1 to 224.")
        if self.budget is not None and not 1 <= self.budget <= MOST_TOKENS:
            raise InputError(f"{self.name} has budget={self.budget}; expected 1 to {MOST_TOKENS}.")
        if self.max_tokens is not None and not 1 <= self.max_tokens <= LONGEST_ANSWER:
            raise InputError(
                f"{self.name} has max_tokens={self.max_tokens}; expected 1 to {LONGEST_ANSWER}."
            )


@dataclass(frozen=True, slots=True)
class AnswererAddress(AnswererWays):
    """A model of an OpenAI-compatible server.

    Raises
    ------
    InputError
        As `AnswererWays`, and if the address cannot be used.
    """

    url: str
    """Up to ``/v1``, as such servers say it."""
    model: str
    """As that server names it."""
    key: str | None = field(default=None, repr=False, kw_only=True)
    """What the server wants as its API key. Never kept, nor part of any message."""

    def __post_init__(self) -> None:
        AnswererWays.__post_init__(self)
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not self.model:
            raise InputError(
                f"The answerer {self.name} has no address and model; expected {_FORM}, for example "
                "qwen=http://127.0.0.1:11434/v1#qwen2.5vl."
            )
        if parts.username or parts.password or parts.query:
            raise InputError(
                f"The address of {self.name} holds more than a place. Give its key in the "
                f"environment, as {self.key_variable}."
            )

    @property
    def allocates(self) -> bool:
        """Whether it can choose how many image tokens a question deserves: a server cannot."""
        return False

    @property
    def key_variable(self) -> str:
        """The environment variable that holds its key."""
        return f"NAPARI_NUNEXT_KEY_{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}"

    @property
    def host(self) -> str:
        """Where pictures go."""
        return urlsplit(self.url).hostname or ""

    def to_json(self) -> dict[str, Any]:
        """All of it, the key too, for another process of ours."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AnswererFolder(AnswererWays):
    """A model in a folder of this machine, which the model server runs itself.

    Raises
    ------
    InputError
        As `AnswererWays`.
    """

    folder: Path
    """Of a vision-language model, as transformers saves it."""
    adapter: Path | None = field(default=None, kw_only=True)
    """Of additions to it, as PEFT saves them."""
    allocator: Path | None = field(default=None, kw_only=True)
    """Of additions that choose how many image tokens a question deserves
    (`napari_nunext.models.answerers.allocator`). Answers are the same without them."""

    @property
    def model(self) -> str:
        """The folder's name, and the adapter's; callers hear of no path."""
        return "+".join(each.name for each in (self.folder, self.adapter) if each is not None)

    @property
    def allocates(self) -> bool:
        """Whether it can choose how many image tokens a question deserves."""
        return self.allocator is not None

    @property
    def host(self) -> str:
        """Pictures stay where they are."""
        return "localhost"

    def to_json(self) -> dict[str, Any]:
        """All of it, for another process of ours."""
        said = asdict(self)
        return said | {name: said[name] and str(said[name]) for name in _FOLDERS}


_FOLDERS = ("folder", "adapter", "allocator")

AnswererPlace: TypeAlias = AnswererAddress | AnswererFolder
"""Where an answerer is: in a server, or in a folder."""


def parse_answerer(text: str) -> AnswererPlace:
    """From what a command line says of it.

    ``NAME=URL#MODEL,may_train,nuclei,boxes=thousand,thought=gemma,patch_px=32``, or
    ``NAME=FOLDER,adapter=FOLDER,allocator=FOLDER`` with the same options. What has ``://`` in it is
    an address.

    Raises
    ------
    InputError
        If it has neither form, or something in it cannot be used.
    """
    name, _, rest = text.partition("=")
    where, *options = rest.split(",")
    is_address = "://" in where
    given: dict[str, Any] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key in _FLAGS and value in ("", "yes", "no"):
            given[_FLAGS[key]] = value != "no"
        elif key in ("boxes", "thought"):
            given[key] = value
        elif key in ("patch_px", "budget", "max_tokens") and value.isdecimal():
            given[key] = int(value)
        elif key in ("adapter", "allocator") and value and not is_address:
            given[key] = Path(value.strip())
        else:
            raise InputError(
                f"{option!r} is no option of an answerer; expected may_train, nuclei, boxes=, "
                "thought=, patch_px=, budget=, max_tokens= or, of a folder, adapter= and "
                f"allocator=, as in {_FORM}."
            )
    if is_address or not where.strip():
        url, _, model = where.partition("#")
        return AnswererAddress(name.strip(), url.strip().rstrip("/"), model.strip(), **given)
    return AnswererFolder(name.strip(), Path(where.strip()), **given)


def answerer_from_json(data: dict[str, Any]) -> AnswererPlace:
    """What either's `to_json` wrote."""
    if "url" in data:
        return AnswererAddress(**data)
    paths = {name: data.get(name) and Path(data[name]) for name in _FOLDERS}
    return AnswererFolder(**data | paths)
