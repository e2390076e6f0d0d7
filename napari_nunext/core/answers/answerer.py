"""An answerer of somebody else's: where it is, and what it has to be told apart by."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, get_args
from urllib.parse import urlsplit

from napari_nunext.core.answers.boxes import BoxConvention
from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.answers.reply import Thought
from napari_nunext.core.errors import InputError

_FORM = "NAME=URL#MODEL, or NAME=URL#MODEL,option,option=value"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OWN_NAMES = ("counts",)
"""Names that no answerer of a server may take."""


@dataclass(frozen=True, slots=True)
class AnswererAddress:
    """A model of an OpenAI-compatible server, and its ways.

    Raises
    ------
    InputError
        If the name, the address or a convention cannot be used.
    """

    name: str
    """What requests name it by."""
    url: str
    """Up to ``/v1``, as such servers say it."""
    model: str
    """As that server names it."""
    may_train: bool = False
    """Whether its answers may be learned from. Many licences forbid it, so it has to be said."""
    boxes: BoxConvention = "pixels"
    thought: Thought = "tags"
    patch_px: int = PATCH_PX
    """Side of one image token."""
    key: str | None = field(default=None, repr=False)
    """What the server wants as its API key. Never kept, nor part of any message."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in OWN_NAMES:
            raise InputError(
                f"{self.name!r} cannot be the name of an answerer; expected letters, digits, and "
                f". _ - between them, and not {' or '.join(OWN_NAMES)}."
            )
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

    @property
    def key_variable(self) -> str:
        """The environment variable that holds its key."""
        return f"NAPARI_NUNEXT_KEY_{re.sub(r'[^A-Z0-9]', '_', self.name.upper())}"

    @property
    def host(self) -> str:
        """Where pictures go."""
        return urlsplit(self.url).hostname or ""

    @classmethod
    def parse(cls, text: str) -> AnswererAddress:
        """From ``NAME=URL#MODEL,may_train,boxes=thousand,thought=gemma,patch_px=32``."""
        name, _, rest = text.partition("=")
        url, _, rest = rest.partition("#")
        model, *options = rest.split(",")
        given: dict[str, Any] = {}
        for option in options:
            key, _, value = option.partition("=")
            if key == "may_train" and value in ("", "yes", "no"):
                given[key] = value != "no"
            elif key in ("boxes", "thought"):
                given[key] = value
            elif key == "patch_px" and value.isdecimal():
                given[key] = int(value)
            else:
                raise InputError(
                    f"{option!r} is no option of an answerer; expected may_train, boxes=, thought= "
                    f"or patch_px=, as in {_FORM}."
                )
        return cls(name.strip(), url.strip().rstrip("/"), model.strip(), **given)

    def to_json(self) -> dict[str, Any]:
        """All of it, the key too, for another process of ours."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AnswererAddress:
        """What `to_json` wrote."""
        return cls(**data)
