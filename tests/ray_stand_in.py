"""A stand-in for Ray, in threads of this process: as much of it as our workers use.

An actor does one task after another, in a thread of its own. A test may let actors die: what they
are asked then fails as Ray says it.
"""

from __future__ import annotations

import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

WORKERS = "napari_nunext.serving.models.ray_workers"


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class RayTaskError(RayError):
    def as_instanceof_cause(self) -> BaseException:
        assert self.__cause__ is not None
        return self.__cause__


class StandIn(ModuleType):
    """What ``import ray`` gives."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = ModuleType("ray.exceptions")
        for error in (RayError, RayActorError, RayTaskError):
            setattr(self.exceptions, error.__name__, error)
        self.resources = {"CPU": 3.0}
        self.options: list[dict[str, Any]] = []
        self.inits: list[dict[str, Any]] = []
        self.refuses: Exception | None = None
        self.tasks: list[tuple[int, Any]] = []
        """What was asked of which actor."""
        self.dying: set[str] = set()
        """Actors die of these methods."""
        self.actors: list[_Actor] = []
        self.cancelled = 0
        self.gcs_address = ""
        """Where the cluster listens; empty where nobody is to knock there."""

    def init(self, **given: Any) -> None:
        self.inits.append(given)
        if self.refuses is not None:
            raise self.refuses

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_runtime_context(self) -> StandIn:
        return self

    def remote(self, made: type) -> _Factory:
        return _Factory(self, made)

    def wait(
        self, refs: Sequence[Future[Any]], *, num_returns: int, timeout: float | None
    ) -> tuple[list[Future[Any]], list[Future[Any]]]:
        assert len(set(refs)) == len(refs) >= num_returns > 0
        wait_for_futures(refs, timeout, FIRST_COMPLETED)
        done = [ref for ref in refs if ref.done()][:num_returns]
        return done, [ref for ref in refs if ref not in done]

    def get(self, ref: Future[Any]) -> Any:
        try:
            return ref.result()
        except RayActorError:
            raise
        except Exception as error:
            raise RayTaskError(str(error)) from error

    def cancel(self, ref: Future[Any]) -> None:
        self.cancelled += 1
        ref.cancel()

    def close(self) -> None:
        for actor in self.actors:
            actor.thread.shutdown()


class _Factory:
    def __init__(self, ray: StandIn, made: type) -> None:
        self._ray, self._made = ray, made

    def options(self, **given: Any) -> _Factory:
        self._ray.options.append(given)
        return self

    def remote(self, *args: Any) -> _Actor:
        actor = _Actor(self._ray, self._made, args, len(self._ray.actors))
        self._ray.actors.append(actor)
        return actor


class _Actor:
    def __init__(self, ray: StandIn, made: type, args: Any, number: int) -> None:
        self._ray, self._number = ray, number
        self.thread = ThreadPoolExecutor(1)
        self._made = self.thread.submit(made, *args)

    def __getattr__(self, name: str) -> _Method:
        return _Method(lambda *args: self.thread.submit(self._do, name, args))

    def _do(self, name: str, args: Any) -> Any:
        if name in self._ray.dying:
            raise RayActorError("The actor died.")
        self._ray.tasks += [(self._number, each) for each in args]
        return getattr(self._made.result(), name)(*args)


class _Method:
    def __init__(self, remote: Any) -> None:
        self.remote = remote


def stand_in(monkeypatch: pytest.MonkeyPatch) -> tuple[StandIn, ModuleType]:
    """Ray's stand-in, and our workers on it; both are gone with the test. Close it at the end."""
    ray = StandIn()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    monkeypatch.delitem(sys.modules, WORKERS, raising=False)
    workers = import_module(WORKERS)
    monkeypatch.setitem(sys.modules, WORKERS, workers)
    return ray, workers
