"""Workers on a Ray cluster: each is an actor with its detector in memory.

Ray starts a worker again that dies, on another machine where its own is gone, and gives it the task
that it had. A task of which workers die again and again is given up. Where the cluster itself is
gone, this process ends: whoever needs it starts it again, and waits until it can connect.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from napari_nunext.core.errors import InputError, ServerUnavailableError
from napari_nunext.serving.models.elsewhere import WindowSearcher

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.core.process.ray_cluster import RayCluster
    from napari_nunext.models.detector import DetectorInfo
    from napari_nunext.serving.models.elsewhere import Finding, Task

logger = logging.getLogger(__name__)

AHEAD = 2
"""Tasks that a worker is given at a time: one that it does, and the next."""
LOST = 3
"""How this process ends where the cluster is gone."""
KNOCK_S = 10.0
"""How long a cluster's machine may take to answer at all."""
TRIES = 3
"""So often a task is given again whose worker died."""


def connect(cluster: RayCluster) -> None:
    """Connect this process to a cluster, or start one on this machine.

    Raises
    ------
    ServerUnavailableError
        If it cannot be reached.
    """
    try:
        _knock(cluster.address)
        ray.init(address=cluster.address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, OSError, RuntimeError, ValueError, RayError) as error:
        where = cluster.address or "of this machine"
        raise ServerUnavailableError(
            f"The Ray cluster {where} cannot be reached ({' '.join(str(error).split())[:200]}). "
            "Start it with `ray start --head`, or check its address. If it wants a token, set "
            "RAY_AUTH_MODE=token."
        ) from error


class RayWorkers:
    """Actors of the cluster that this process is connected to; see `elsewhere.Workers`.

    Parameters
    ----------
    cluster : RayCluster
    model_id : str
    paths : sequence of Path
        Where checkpoints are looked for; the same on every machine.
    precision : {"auto", "float32", "bfloat16"}
    lost : callable
        Called where the cluster is gone; returns no more.

    Raises
    ------
    InputError
        If the cluster has not what a worker wants, or workers would search differently.
    ServerUnavailableError
        If none starts.
    """

    reads_files = True

    def __init__(
        self,
        cluster: RayCluster,
        model_id: str,
        paths: Sequence[Path],
        precision: Precision,
        *,
        lost: Callable[[], NoReturn] = lambda: os._exit(LOST),
    ) -> None:
        self._lost = lost
        self._address: str = ray.get_runtime_context().gcs_address
        wanted = _workers_wanted(cluster)
        actor = ray.remote(WindowSearcher).options(
            num_cpus=1, num_gpus=cluster.gpus, max_restarts=-1, max_task_retries=TRIES
        )
        actors = [actor.remote(model_id, list(paths), precision) for _ in range(wanted)]
        self._starting = {each.info.remote(): each for each in actors}
        self._given: Counter[Any] = Counter()
        """Tasks that each worker has, of those that are ready."""
        self._busy: dict[Any, Any] = {}
        """The worker of each task that has not ended."""
        self._ended: set[Any] = set()
        self._dropped: set[Any] = set()
        self._info: DetectorInfo | None = None
        while self._info is None:
            self._welcome(wait_s=None)

    @property
    def info(self) -> DetectorInfo:
        """What they search with."""
        assert self._info is not None
        return self._info

    @property
    def count(self) -> int:
        """How many there are, those included that are not ready yet."""
        return len(self._given) + len(self._starting)

    @property
    def has_room(self) -> bool:
        """Whether one that is ready has not enough to do."""
        if self._starting:
            self._welcome(wait_s=0.0)
        self._look(0.0)
        return any(tasks < AHEAD for tasks in self._given.values())

    def give(self, task: Task) -> Hashable:
        """Give a task to the worker with least to do."""
        actor = min(self._given, key=self._given.__getitem__)
        ref: Hashable = actor.search.remote(task)
        self._given[actor] += 1
        self._busy[ref] = actor
        return ref

    def ended(self, tasks: Sequence[Hashable], wait_s: float) -> Sequence[Hashable]:
        """Those of some tasks that have ended; waits for anybody's first for so long."""
        if self._ended.isdisjoint(tasks):
            self._look(wait_s)
        return [task for task in tasks if task in self._ended]

    def take(self, task: Hashable) -> Finding:
        """What came of a task that has ended; see `elsewhere.Workers.take`."""
        self._ended.discard(task)
        try:
            found: Finding = ray.get(task)
        except RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except RayActorError as error:
            if not _answers(self._address):
                logger.critical("the Ray cluster is gone: this server ends, to be started again")
                self._lost()
            raise ServerUnavailableError(
                f"Workers of the Ray cluster died {TRIES + 1} times at the same windows. "
                "See the cluster's logs; it may be short of memory."
            ) from error
        return found

    def drop(self, task: Hashable) -> None:
        """Nobody wants it any more; one that is being done ends all the same."""
        self._ended.discard(task)
        if task in self._busy:
            self._dropped.add(task)
            ray.cancel(task)

    def _look(self, wait_s: float) -> None:
        """Note which tasks have ended, whoever gave them; waits for the first for so long."""
        if not self._busy:
            time.sleep(wait_s)
            return
        refs = list(self._busy)
        if not ray.wait(refs, num_returns=1, timeout=wait_s)[0]:
            return
        for ref in ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
            self._given[self._busy.pop(ref)] -= 1
            if ref in self._dropped:
                self._dropped.discard(ref)
            else:
                self._ended.add(ref)

    def _welcome(self, wait_s: float | None) -> None:
        """Take up workers that have become ready."""
        ready, _ = ray.wait(list(self._starting), num_returns=1, timeout=wait_s)
        for ref in ready:
            actor = self._starting.pop(ref)
            try:
                info = ray.get(ref)
            except (RayTaskError, RayActorError) as error:
                if self._given or self._starting:  # the others do its work
                    logger.warning("a worker did not start: %s", _said(error))
                    continue
                if isinstance(error, RayTaskError):
                    raise error.as_instanceof_cause() from error
                raise ServerUnavailableError(
                    f"No worker of the Ray cluster starts ({_said(error)}). Install the same "
                    "napari-nunext on every machine."
                ) from error
            self._info = self._info or info
            if info != self._info:
                raise InputError(
                    "Workers of the Ray cluster would search differently: their checkpoints, "
                    "devices or arithmetic are not the same. Give --dtype, and the same files at "
                    "the same path on every machine."
                )
            self._given[actor] = 0
            logger.info("a worker is ready; %d are", len(self._given))


def _knock(address: str | None) -> None:
    """Fail soon where nobody listens: Ray itself tries for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def _answers(address: str) -> bool:
    """Whether a cluster is there."""
    try:
        _knock(address)
    except OSError:
        return False
    return True


def _workers_wanted(cluster: RayCluster) -> int:
    has = ray.cluster_resources()
    kind, each = ("GPU", cluster.gpus) if cluster.gpus else ("CPU", 1.0)
    fit = int(has.get(kind, 0.0) / each)
    wanted = fit if cluster.workers is None else cluster.workers
    if wanted < 1:
        raise InputError(
            f"The Ray cluster has {has.get(kind, 0.0):g} {kind}s, and a worker wants {each:g}. "
            "Add machines, or ask for less by --ray-gpus."
        )
    if wanted > fit:
        logger.warning("%d workers are wanted; %d fit until the cluster grows", wanted, fit)
    return wanted


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
