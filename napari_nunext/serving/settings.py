"""What a server may be told, and what it refuses to be told."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.places import models_folder
from napari_nunext.serving.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MIB = 2**20

TOKEN_VARIABLE = "NAPARI_NUNEXT_TOKEN"
"""Environment variable in which a server that we start finds its token."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server is run.

    Raises
    ------
    InputError
        If a limit is not positive, or other machines could reach the server and no token was
        chosen for it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0: the system chooses a free one."""
    token: str | None = field(default=None, repr=False)
    """What callers must show. None makes up one; see `secret`."""
    max_body_bytes: int = 256 * MIB
    """Largest request."""
    image_store_bytes: int = 1024 * MIB
    """Decoded pixels kept; the images that were not used for longest go first."""
    waiting_jobs: int = 8
    """Requests that may wait for the one that runs; more are refused for the moment."""
    max_upload_s: float = 300.0
    max_run_s: float = 6 * 3600.0
    """Longest run; a whole slide on a CPU takes hours."""
    keepalive_s: float = 10.0
    """A stream that has nothing to say sends an empty line this often."""
    preload: bool = True
    """Load the default detector at once, so that the first run need not wait for it."""
    secret: str = field(init=False, repr=False)
    """The token that is required: the chosen one, or a random one."""

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise InputError(
                f"Anyone who reaches {self.host} could use this server. "
                "Give a file that holds a token (--token-file), or listen on 127.0.0.1."
            )
        if self.token is not None and len(self.token) < 16:
            raise InputError(
                f"The token has {len(self.token)} characters; expected at least 16, "
                "for example from `openssl rand -hex 32`."
            )
        limits = (self.max_body_bytes, self.image_store_bytes, self.waiting_jobs)
        times = (self.max_upload_s, self.max_run_s, self.keepalive_s)
        if min(limits) < 1 or not min(times) > 0:
            raise InputError("A limit of the server is not positive; expected 1 or more.")
        object.__setattr__(self, "secret", self.token or secrets.token_urlsafe(32))


def model_folders(further: Sequence[Path] = ()) -> list[Path]:
    """Where checkpoints are looked for, apart from those in the package."""
    return [models_folder(), *further]
