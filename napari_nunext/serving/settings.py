"""What a server may be told, and what it refuses to be told."""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.answers.answerer import AnswererPlace, answerer_from_json
from napari_nunext.core.errors import InputError
from napari_nunext.core.process.precision import PRECISIONS
from napari_nunext.core.process.vllm_address import VllmAddress
from napari_nunext.images.picture import MAX_PIXELS
from napari_nunext.models.sam.embeddings import EMBEDDINGS_BYTES
from napari_nunext.places import models_folder
from napari_nunext.serving.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.process.precision import Precision

MIB = 2**20


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
    """What callers must show. None makes up one, unless there are keys; see `secret`."""
    keys_file: Path | None = None
    """Keys of persons; see `napari_nunext.serving.http.keys`."""
    files_key: str = field(default="", repr=False)
    """What a caller must show, beside the token, to name files of this machine: of a server that
    belongs to one program. Empty: nobody may."""
    max_body_bytes: int = 256 * MIB
    """Largest image file."""
    max_json_bytes: int = 32 * MIB
    """Largest request of any other kind."""
    max_held_bytes: int = 1024 * MIB
    """Most that is read of all requests together; more is refused for the moment."""
    max_image_pixels: int = MAX_PIXELS
    """Largest image; what its header says is looked at before its pixels are decoded."""
    max_decoding_bytes: int = 4096 * MIB
    """Memory for decoding, of all images together: the largest takes nearly all of it. One for
    which there is none at the moment waits."""
    decoders: int = 2
    """Images that are decoded at a time."""
    image_store_bytes: int = 1024 * MIB
    """Decoded pixels kept; the images that were not used for longest go first."""
    embeddings_bytes: int = EMBEDDINGS_BYTES
    """Memory for what windows look like to segmenters, which makes further clicks fast."""
    waiting_jobs: int = 64
    """Requests that may wait for their first turn; more are refused for the moment."""
    waiting_per_user: int = 16
    """How many of those may be one person's (or, with one token for all, one address's)."""
    runs_at_once: int = 4
    """Requests that take turns with the model; see `napari_nunext.serving.jobs.fair_queue`."""
    max_upload_s: float = 300.0
    max_silence_s: float = 30.0
    """Longest pause between two pieces of an upload."""
    max_head_s: float = 10.0
    """Until the head of a request is there, from its connection or its first byte."""
    max_idle_s: float = 20.0
    """Longest pause between two requests on a connection; longer than our own client keeps one."""
    max_stranger_s: float = 60.0
    """How long a connection may last on which nobody has shown a token or key."""
    strangers: int = 256
    """Connections of those who have not, all together."""
    strangers_per_peer: int = 64
    """And of one address."""
    connections: int = 512
    """All connections."""
    max_run_s: float = 6 * 3600.0
    """Longest run, from its first turn; a whole slide on a CPU takes hours."""
    asks_at_once: int = 16
    """Questions that wait for answerers at a time; these are in other processes."""
    max_ask_s: float = 600.0
    """Longest that a question may take, from its first turn."""
    max_wait_s: float = 1800.0
    """Longest wait for a first turn."""
    max_segment_s: float = 600.0
    """Longest segmentation, from its arrival."""
    drain_s: float = 60.0
    """How long runs may still take to end when the server is told to by SIGTERM."""
    max_step_s: float = 1800.0
    """A model that has not moved for so long hangs: the server ends, to be started again."""
    keepalive_s: float = 10.0
    """A stream that has nothing to say sends an empty line this often."""
    precision: Precision = "auto"
    """Arithmetic of detectors; by the device when ``"auto"``."""
    preload: bool = True
    """Load the default detector at once, so that the first run need not wait for it."""
    vllm: VllmAddress | None = None
    """A vLLM whose models are served beside the others."""
    answerers: tuple[AnswererPlace, ...] = field(default=(), repr=False)
    """Models that answer questions, in other servers or in folders."""
    died: str = ""
    """In words, how the server ended that this one replaces."""
    secret: str = field(init=False, repr=False)
    """The token that is required: the chosen one, or a random one; empty if keys alone count."""

    def __post_init__(self) -> None:
        if self.token is None and self.keys_file is None and not is_loopback(self.host):
            raise InputError(
                f"Anyone who reaches {self.host} could use this server. Give a file that holds "
                "a token (--token-file) or keys (--keys), or listen on 127.0.0.1."
            )
        if self.files_key and (len(self.files_key) < 16 or not is_loopback(self.host)):
            raise InputError(
                "Files of this machine may only be named to a server on 127.0.0.1, with a key of "
                "at least 16 characters. Leave the key out: pixels are then sent."
            )
        if self.token is not None and len(self.token) < 16:
            raise InputError(
                f"The token has {len(self.token)} characters; expected at least 16, "
                "for example from `openssl rand -hex 32`."
            )
        if self.precision not in PRECISIONS:
            raise InputError(
                f"The precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}."
            )
        for name in LIMITS:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(
                    f"The server's limit {name} is {value}, not positive and finite; "
                    "expected a number above 0."
                )
        made_up = "" if self.keys_file is not None else secrets.token_urlsafe(32)
        object.__setattr__(self, "secret", self.token or made_up)

    def to_json(self) -> str:
        """All of it, the token too, for `from_json`."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        values["keys_file"] = self.keys_file and str(self.keys_file)
        values["vllm"] = self.vllm and self.vllm.to_json()
        values["answerers"] = [each.to_json() for each in self.answerers]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> ServerSettings:
        """What `to_json` wrote."""
        values = json.loads(text)
        keys_file, vllm = values.pop("keys_file"), values.pop("vllm")
        answerers = values.pop("answerers")
        return cls(
            **values,
            answerers=tuple(answerer_from_json(each) for each in answerers),
            keys_file=None if keys_file is None else Path(keys_file),
            vllm=None if vllm is None else VllmAddress.from_json(vllm),
        )


LIMITS = {
    each.name: int if each.type == "int" else float
    for each in fields(ServerSettings)
    if each.type in {"int", "float"} and each.name != "port"
}
"""The settings that are numbers, each with the type of its values."""


def model_folders(further: Sequence[Path] = ()) -> list[Path]:
    """Where checkpoints are looked for, apart from those in the package."""
    return [models_folder(), *further]
