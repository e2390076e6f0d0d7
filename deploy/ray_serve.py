"""The model server on a Ray cluster: replicas that scale with the load, and look like one server.

    serve run deploy.ray_serve:app token_file=/run/secrets/token models=/models gpus=1

Every replica is the server of ``napari-nunext serve``, with its own models in memory. `Board` holds
what they share, so that requests of one client may go to any of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig
from ray.serve.exceptions import RayServeException

if TYPE_CHECKING:
    import numpy as np
    from fastapi import FastAPI
    from numpy.typing import NDArray
    from ray.serve.handle import DeploymentHandle

MIB = 2**20
ANSWER_AFTER_S = 20.0
"""Longest that `Board.cancels` keeps a replica waiting."""
REMEMBERED_CANCELS = 1000
AT_ONCE = 256
"""Requests that a replica takes: its own queue says which run, and refuses beyond its limits."""
DRAIN_S = 60.0


class Arguments(BaseModel):
    """What ``serve run deploy.ray_serve:app NAME=VALUE`` takes."""

    model_config = ConfigDict(extra="forbid")

    token_file: Path
    """Holds the token that callers must show; at this path on every machine."""
    models: str = ""
    """Folders of checkpoints, separated by colons; at these paths on every machine."""
    min_replicas: int = 1
    max_replicas: int = 4
    runs_per_replica: float = 2.0
    """Requests under way for each replica that is aimed at; more make Ray start another."""
    gpus: float = 0.0
    """Of one replica; a half puts two on a GPU."""
    cpus: float = 1.0
    shared_mib: int = 2048
    """Images that the replicas hold in common."""


class Board:
    """What the replicas have in common: the images used last, and which runs to stop.

    Parameters
    ----------
    capacity_bytes : int
        Pixels kept.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._images: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._cancels: deque[tuple[int, str]] = deque(maxlen=REMEMBERED_CANCELS)
        self._last = 0
        self._news = asyncio.Condition()

    async def share(self, sha256: str, rgb: NDArray[np.uint8]) -> None:
        """Keep an image; those used longest ago make room."""
        self._images[sha256] = rgb
        self._images.move_to_end(sha256)
        while sum(image.nbytes for image in self._images.values()) > self._capacity_bytes:
            self._images.popitem(last=False)

    async def find(self, sha256: str) -> NDArray[np.uint8] | None:
        """An image, or None where it is not kept (any more)."""
        rgb = self._images.get(sha256)
        if rgb is not None:
            self._images.move_to_end(sha256)
        return rgb

    async def cancel(self, run: str) -> None:
        """Tell everybody who listens."""
        async with self._news:
            self._last += 1
            self._cancels.append((self._last, run))
            self._news.notify_all()

    async def cancels(self, after: int) -> tuple[int, list[str]]:
        """As `napari_nunext.serving.http.peers.Peers.cancels`."""
        if after < 0:
            return self._last, []
        async with self._news:
            try:
                async with asyncio.timeout(ANSWER_AFTER_S):
                    await self._news.wait_for(lambda: self._last > after)
            except TimeoutError:
                return self._last, []
            return self._last, [run for number, run in self._cancels if number > after]


class BoardPeers:
    """The board, seen from a replica; a `napari_nunext.serving.http.peers.Peers`."""

    def __init__(self, board: DeploymentHandle) -> None:
        self._board = board

    async def share(self, sha256: str, rgb: NDArray[np.uint8]) -> None:
        """Keep the pixels of an image for the others."""
        await self._ask("share", sha256, rgb)

    async def find(self, sha256: str) -> NDArray[np.uint8] | None:
        """Pixels that somebody shared, or None."""
        found: NDArray[np.uint8] | None = await self._ask("find", sha256)
        return found

    async def cancel(self, run: str) -> None:
        """Tell everybody to stop a run."""
        await self._ask("cancel", run)

    async def cancels(self, after: int) -> tuple[int, list[str]]:
        """Wait for cancellations later than number `after`."""
        answer: tuple[int, list[str]] = await self._ask("cancels", after)
        return answer

    async def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return await getattr(self._board, method).remote(*arguments)
        except (RayError, RayServeException) as error:
            raise ConnectionError(f"the board of the replicas is away ({error})") from error


@serve.ingress()
class Server:
    """A replica."""

    def __init__(self, token_file: Path, models: tuple[Path, ...], board: DeploymentHandle) -> None:
        self._token = token_file.read_text(encoding="utf-8").strip()
        self._models = models
        self._peers = BoardPeers(board)

    def __serve_build_asgi_app__(self) -> FastAPI:  # Ray calls it so
        """The server's app, joined to its peers."""
        from napari_nunext.models.catalog import Catalog
        from napari_nunext.serving.http.app import create_app
        from napari_nunext.serving.http.peers import join
        from napari_nunext.serving.settings import ServerSettings, model_folders

        settings = ServerSettings(token=self._token)
        joined = create_app(settings, Catalog(model_folders(self._models)))
        join(joined, self._peers)
        return joined


def app(arguments: Arguments) -> serve.Application:
    """What ``serve run`` and a configuration file deploy."""
    board = serve.deployment(Board, name="board").options(
        num_replicas=1,
        # Each replica always waits for cancellations.
        max_ongoing_requests=AT_ONCE * arguments.max_replicas,
        ray_actor_options={"num_cpus": 0},
        # Nothing is lost with it: who waits for cancellations asks again.
        graceful_shutdown_timeout_s=1.0,
    )
    server = serve.deployment(Server, name="server").options(
        max_ongoing_requests=AT_ONCE,
        graceful_shutdown_timeout_s=DRAIN_S,
        autoscaling_config=AutoscalingConfig(
            min_replicas=arguments.min_replicas,
            max_replicas=arguments.max_replicas,
            target_ongoing_requests=arguments.runs_per_replica,
        ),
        ray_actor_options={"num_cpus": arguments.cpus, "num_gpus": arguments.gpus},
    )
    folders = tuple(Path(folder) for folder in arguments.models.split(":") if folder)
    return server.bind(arguments.token_file, folders, board.bind(arguments.shared_mib * MIB))
