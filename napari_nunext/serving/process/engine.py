"""Keep a vLLM running beside the model server, for that server alone.

It lives in the process of the supervisor rather than the server's: a server that dies and is
started again finds it as it was, with its weights in the GPU's memory.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from napari_nunext.models.vllm.connection import SOCKET
from napari_nunext.models.vllm.launch import command, environment, private_folder
from napari_nunext.serving.process.supervisor import how_it_ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

SOCKET_NAME = "vllm.sock"
STDERR = 2
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
SOUND_AFTER_S = 300.0
"""One that lived so long did not die of its start, which may take minutes."""
END_S = 20.0
"""How long it may take to end."""


class Served(Protocol):
    """What is to be served, as the arguments of vLLM."""

    def arguments(self, socket_path: Path) -> list[str]:
        """Arguments after ``vllm``."""


class EngineKeeper:
    """Runs vLLM, again and again, on one socket.

    While it is away, requests are refused for the moment, and say so. It never gives up: what
    makes vLLM fail (a GPU that others have filled, say) may pass.

    Parameters
    ----------
    launch : Launch, or another that is served
    python : Path
        Of an environment that has vLLM.
    """

    def __init__(self, launch: Served, python: Path) -> None:
        self._launch = launch
        self._python = python
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the present vLLM, and of its process group; None before the first."""
        return None if self._process is None else self._process.pid

    @contextmanager
    def running(self) -> Iterator[str]:
        """Keep it running for as long as the block lasts; yields its address."""
        with private_folder() as folder:
            thread = threading.Thread(target=self._keep, args=(folder,), name="vllm")
            thread.start()
            try:
                yield f"{SOCKET}{folder / SOCKET_NAME}"
            finally:
                self._ending.set()
                self._stop()
                thread.join()

    def _keep(self, folder: Path) -> None:
        deaths = 0
        while not self._ending.is_set():
            began = time.monotonic()
            code = self._run(folder)
            if self._ending.is_set():
                return
            deaths = 1 if time.monotonic() - began > SOUND_AFTER_S else deaths + 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (deaths - 1), LONGEST_PAUSE_S)
            logger.error("%s; it is started again in %g s", how_it_ended(code, "vLLM"), pause_s)
            self._ending.wait(pause_s)

    def _run(self, folder: Path) -> int:
        """Start it, and wait until it ends."""
        socket_path = folder / SOCKET_NAME
        socket_path.unlink(missing_ok=True)  # one that died leaves it
        with subprocess.Popen(
            command(self._python, self._launch.arguments(socket_path)),
            stdin=subprocess.PIPE,
            stdout=STDERR,  # it logs there, and our own is for results
            env=environment(folder),
            # A group of its own, which `host` ends as a whole.
            start_new_session=True,
        ) as process:
            self._process = process
            if self._ending.is_set():  # came between
                self._stop()
            return process.wait()

    def _stop(self) -> None:
        """Close the pipe, at which `host` ends itself and what vLLM has started."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
