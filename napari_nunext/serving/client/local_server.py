"""Start a model server on this machine, for this process alone.

The server is a child process on loopback, at a port that the system chooses, with a random token
that travels in the child's environment (a command line could be read by other users). It says where
it listens in one line on its standard output, and it ends when its standard input does: that pipe
closes with this process, however this process ends.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.places import log_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.core.process.ray_cluster import RayCluster
    from napari_nunext.serving.client.client import Client

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "NAPARI_NUNEXT_TOKEN"
"""Environment variable in which a server that we start finds its token."""
FILES_KEY_VARIABLE = "NAPARI_NUNEXT_FILES_KEY"
"""And this is where it finds the key of who may name files to it: us alone."""
RELAY_TOKEN_VARIABLE = "NAPARI_NUNEXT_RELAY_TOKEN"
"""And this holds the token of the server that searches in its place."""
START_TIMEOUT_S = 60.0
"""Later starts take about a second, but the first after an installation compiles every import."""
RAY_TIMEOUT_S = 300.0
"""One that has to start Ray, or reach its cluster, before it answers."""
STOP_TIMEOUT_S = 5.0
LOGS_KEPT = 10


class LocalServer:
    """A model server that belongs to this process.

    Safe to share between threads. As a context manager it starts on entry and stops on exit.

    Parameters
    ----------
    model_paths : sequence of Path
        Further folders to search for checkpoints.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of detectors; by the device when ``"auto"``.
    threads : int, optional
        CPU threads that models may use; by default all cores but one, which the window needs.
    answerers : sequence of str
        Models of other servers that it asks, as ``serve --answerer`` takes them. It finds their
        keys in the environment.
    ray : RayCluster, optional
        Whose workers search, in place of the server itself.
    relay : str, optional
        Address of a server that searches in its place: it is sent windows' pixels.
    relay_token : str, optional
        Of that server.
    start_timeout_s : float
        How long to wait until it answers.
    """

    def __init__(
        self,
        model_paths: Sequence[Path] = (),
        threads: int | None = None,
        *,
        precision: Precision = "auto",
        answerers: Sequence[str] = (),
        ray: RayCluster | None = None,
        relay: str = "",
        relay_token: str | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.precision: Precision = precision
        self.answerers = tuple(answerers)
        self._arguments = [arg for path in model_paths for arg in ("--models", str(path))]
        self._arguments += ["--dtype", precision]
        if ray is not None:
            self._arguments += ["--ray", ray.to_json()]
            start_timeout_s = max(start_timeout_s, RAY_TIMEOUT_S)
        if relay:
            self._arguments += ["--relay", relay]
        self._relay_token = relay_token
        self._threads = threads or max((os.cpu_count() or 2) - 1, 1)
        self._start_timeout_s = start_timeout_s
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._log_path: Path | None = None
        self._closed = False
        self._launched = 0.0
        self.token = secrets.token_urlsafe(32)
        self._files_key = secrets.token_urlsafe(32)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the server; None when it was never started or was stopped."""
        return None if self._process is None else self._process.pid

    @property
    def log_path(self) -> Path | None:
        """What the server writes to its standard error, since its last start."""
        return self._log_path

    @property
    def url(self) -> str:
        """Where it listens; it is started when it does not run."""
        return self.client().url

    def client(self) -> Client:
        """A client of the server, which is started when it does not run.

        Raises
        ------
        ServerUnavailableError
            If it does not start; the message ends in the last line it logged.
        """
        with self._lock:
            if self._client is None or not self.alive:
                self.start()
            assert self._client is not None
            return self._client

    def launch(self) -> None:
        """Start the process, and leave waiting for it to `start`. Nothing, if it already runs.

        Takes milliseconds and imports nothing, for who has much to import meanwhile.
        """
        with self._lock:
            if self.alive:
                return
            self.stop()
            if self._closed:
                raise ServerUnavailableError("The model server was closed with its window.")
            self._launched = time.monotonic()
            self._launch()

    def start(self) -> None:
        """Start the server and wait until it answers. Nothing, if it already does."""
        with self._lock:
            self.launch()
            if self._client is not None:
                return
            try:
                # While the server starts; and whoever launches it has imported nothing yet.
                from napari_nunext.serving.client.client import Client

                client = Client(self._address(), self.token, files_key=self._files_key)
                self._client = client
                client.health()
            except KeyboardInterrupt:
                self.kill()
                raise
            except BaseException:
                self.stop()
                raise
            logger.info("model server ready after %.1f s", time.monotonic() - self._launched)

    def restart(self) -> None:
        """Stop the server if it runs, and start it again."""
        with self._lock:
            self.stop()
            self.start()

    def take_answerers(self, texts: Sequence[str]) -> None:
        """Have it ask these models of other servers; it is started again if it runs."""
        with self._lock:
            self.answerers = tuple(texts)
            if self.alive:
                self.restart()

    def close(self) -> None:
        """End the server for good, whatever it is at: nobody starts it again."""
        self._closed = True
        process = self._process
        if process is not None and self._client is None:
            process.kill()  # it is only starting, which takes seconds to wait for
        self.stop()

    def kill(self) -> None:
        """End the server at once, whatever it is at."""
        process = self._process
        if process is not None:
            process.kill()
        self.stop()

    def stop(self) -> None:
        """End the server: politely, and by force after a few seconds. Nothing, if there is none."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _launch(self) -> None:
        """Start the process."""
        log = _open_log()
        self._log_path = Path(log.name)
        asked = [arg for text in self.answerers for arg in ("--answerer", text)]
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "napari_nunext.serving", *self._arguments, *asked],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
                # Ctrl+C in a terminal is for the app, which then still needs its server to save.
                start_new_session=os.name == "posix",
                creationflags=_windows_flags(),
            )
        if self._closed:
            self._process.kill()

    def _address(self) -> str:
        """Where the process says that it listens."""
        assert self._process is not None
        line = _first_line(self._process, self._start_timeout_s)
        if line:
            url: str = json.loads(line)["url"]
            return url
        what = (
            f"did not answer within {self._start_timeout_s:g} s"
            if line is None
            else f"ended with code {self._process.wait()}"
        )
        raise ServerUnavailableError(
            f"The model server {what} when it was started. {self._last_words()}"
        )

    def _environment(self) -> dict[str, str]:
        environment = os.environ | {
            TOKEN_VARIABLE: self.token,
            FILES_KEY_VARIABLE: self._files_key,
            "PYTHONUNBUFFERED": "1",
        }
        if self._relay_token is not None:
            environment[RELAY_TOKEN_VARIABLE] = self._relay_token
        # Read when numpy and torch are imported, so too late for the child to set.
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        return environment | dict.fromkeys(names, str(self._threads))

    def _last_words(self) -> str:
        assert self._log_path is not None
        text = self._log_path.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            return "It logged nothing. Try again."
        return f"It logged last: {lines[-1]} (more in {self._log_path})"


def _open_log() -> BinaryIO:
    """Open a new log; the oldest are removed. A home that cannot be written costs no server."""
    folder = log_folder()
    name = f"server-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{secrets.token_hex(2)}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("server-*.log"))[: -(LOGS_KEPT - 1)]:
            old.unlink(missing_ok=True)
        return (folder / name).open("wb")
    except OSError as error:
        logger.warning("the model server logs to a temporary folder: %s", error.strerror)
        return Path(tempfile.mkdtemp(prefix="napari-nunext-"), name).open("wb")


def _first_line(process: subprocess.Popen[bytes], timeout_s: float) -> bytes | None:
    """The first line that a process prints; empty if it ends, None if it takes too long.

    Without a line, the process is killed.
    """
    assert process.stdout is not None
    lines: list[bytes] = []
    # A thread, for no other way to wait for a pipe with a time limit works on every system.
    reader = threading.Thread(
        target=lambda stream: lines.append(stream.readline()), args=(process.stdout,), daemon=True
    )
    reader.start()
    reader.join(timeout_s)
    in_time = bool(lines)
    if not in_time or not lines[0]:
        process.kill()
        reader.join()
    return lines[0] if in_time else None


def _windows_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW
    return 0
