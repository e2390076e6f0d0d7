"""Which Ray cluster searches, as one process tells another. Ray is not imported here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from napari_nunext.core.errors import MissingPackageError


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A cluster, and how many workers of it are wanted."""

    address: str | None = None
    """As Ray takes it; None for ``RAY_ADDRESS``, else the cluster of this machine, else one that is
    started for us."""
    workers: int | None = None
    """Processes, each with the detector in memory; None for as many as there are cores or GPUs."""
    gpus: float = 0.0
    """Of each worker; parts of one are shared."""

    def to_json(self) -> str:
        """All of it, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RayCluster:
        """What `to_json` wrote."""
        return cls(**json.loads(text))


def check_ray() -> None:
    """Refuse where Ray is not installed.

    Raises
    ------
    MissingPackageError
    """
    if find_spec("ray") is None:
        raise MissingPackageError(
            "Ray is not installed here, and --ray searches with it. Run: pip install "
            "'napari-nunext[ray]', or leave out --ray."
        )
