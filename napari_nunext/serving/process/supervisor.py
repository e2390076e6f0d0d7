"""Keep a model server running: when its process dies, another takes its place.

A model is native code over a lot of memory, and can take its process with it, by a fault or because
the system had no memory left. The supervisor holds the socket, so that callers who come meanwhile
wait rather than be refused; those whose answers broke off are told by their client, and send their
image again. Models stay in the server's process: images then reach them without being copied.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import FrameType

    from napari_nunext.serving.settings import ServerSettings

logger = logging.getLogger(__name__)

BAD_INPUT = 2
INTERRUPTED = 130
HANGS = 70
"""Exit code of a server in which a model hangs."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
SOUND_AFTER_S = 60.0
"""A server that lived so long did not die of its start."""
MOST_DEATHS = 6
"""In a row, each soon after the start; then there is no point in trying on."""


class Supervisor:
    """Runs servers, one after the other, on one socket. POSIX only: it hands on the socket.

    Parameters
    ----------
    settings : ServerSettings
    models : sequence of Path
        Further folders to search for checkpoints.
    listening : socket
        Bound, and listening.
    as_json : bool
        Whether the servers log as JSON.
    """

    def __init__(
        self,
        settings: ServerSettings,
        models: Sequence[Path],
        listening: socket.socket,
        *,
        as_json: bool = False,
    ) -> None:
        # A token that was made up stays the same from server to server.
        self._settings = replace(settings, token=settings.secret or None)
        self._listening = listening
        self._arguments = [
            "--listen-fd",
            str(listening.fileno()),
            *(argument for path in models for argument in ("--models", str(path))),
            *(["--log-json"] if as_json else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._interrupted = False
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """Process id of the present server; None before the first."""
        return None if self._process is None else self._process.pid

    def run(self) -> int:
        """Serve until a server ends by itself, and return its exit code.

        SIGTERM and SIGINT are handed on. To be called from the main thread.
        """
        before = {sig: signal.signal(sig, self._hand_on) for sig in (signal.SIGTERM, signal.SIGINT)}
        try:
            while True:
                began = time.monotonic()
                code = self._serve()
                if self._ending.is_set():
                    return INTERRUPTED if self._interrupted else 0
                if code in (0, BAD_INPUT):
                    return code
                self._deaths = 1 if time.monotonic() - began > SOUND_AFTER_S else self._deaths + 1
                words = how_it_ended(code)
                if self._deaths >= MOST_DEATHS:
                    logger.critical("%s %d times, each soon after its start", words, self._deaths)
                    return 1
                logger.error("%s; it is started again", words)
                self._settings = replace(self._settings, died=_told(words))
                pause_s = min(FIRST_PAUSE_S * 2 ** (self._deaths - 1), LONGEST_PAUSE_S)
                if self._ending.wait(pause_s):
                    return INTERRUPTED if self._interrupted else 0
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _serve(self) -> int:
        with subprocess.Popen(
            [sys.executable, "-m", "napari_nunext.serving", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[self._listening.fileno()],
            # Ctrl+C in a terminal reaches it through us.
            start_new_session=True,
        ) as process:
            self._process = process
            assert process.stdin is not None
            try:
                # Its end tells the server that we are gone; a command line could be read by others.
                process.stdin.write(self._settings.to_json().encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                logger.debug("the server died before it could be told anything")
            return process.wait()

    def _hand_on(self, sig: int, _: FrameType | None) -> None:
        self._ending.set()
        self._interrupted = self._interrupted or sig == signal.SIGINT
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, sig)


def how_it_ended(code: int, what: str = "The model server") -> str:
    """An exit code, in words."""
    if code == -signal.SIGKILL:
        return f"{what} was killed, most likely because memory ran out"
    if code < 0:
        return f"{what} crashed ({signal.Signals(-code).name})"
    if code == HANGS:
        return "A model hung"
    return f"{what} ended with code {code}"


def _told(words: str) -> str:
    return (
        f"{words}, at {datetime.now().astimezone():%H:%M}, and was started again. If it happens "
        "again, choose a smaller model; the server's log says more."
    )


def supervised(
    settings: ServerSettings,
    models: Sequence[Path],
    *,
    as_json: bool,
    ready: Callable[[str], None],
) -> int:
    """Listen, say where, and keep a server running there; returns the exit code."""
    from napari_nunext.serving.process.serve import address_of, listen

    with listen(settings) as listening:
        ready(address_of(listening, settings.host))
        return Supervisor(settings, models, listening, as_json=as_json).run()
