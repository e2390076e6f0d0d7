"""Models in this process, each loaded once, and the servers that have others."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.models.catalog import CLASSICAL, Catalog
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from napari_nunext.serving.client.relayed import RelayedClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.detector import Detector, DetectorInfo
    from napari_nunext.models.segmenter import Segmenter, SegmenterInfo


@dataclass(frozen=True, eq=False)
class Model:
    """A detector of nuclei, and a segmenter that draws what it finds; made by `load_model`."""

    detector: Detector
    _catalog: Catalog
    _segmenter: str | None

    @property
    def info(self) -> DetectorInfo:
        """Categories, scale, windows and checkpoint of the detector."""
        return self.detector.info

    @cached_property
    def segmenter(self) -> Segmenter:
        """Loaded when it is first wanted."""
        return self._catalog.load_segmenter(self._segmenter)

    def __repr__(self) -> str:
        names = ", ".join(category.name for category in self.info.categories)
        return f"<{self.info.name}: {names}; {self.info.mpp:g} um/px>"


_catalogs: dict[tuple[str | None, Precision, tuple[Path, ...]], Catalog] = {}


def load_model(
    name: str | os.PathLike[str] | None = None,
    *,
    segmenter: str | os.PathLike[str] | None = None,
    device: str | None = None,
    dtype: Precision = "auto",
) -> Model:
    """Load a model into this process; a second time it is there already.

    Parameters
    ----------
    name : str or path, optional
        Id of a detector (``"nunext-small"``, ``"classical"``, one of a package), or the folder of
        a checkpoint; the bundled one by default.
    segmenter : str or path, optional
        What draws masks, named likewise.
    device : str, optional
        For example ``"cuda:1"``; the first GPU where there is one, else the CPU.
    dtype : {"auto", "float32", "bfloat16"}
        Arithmetic of the detector; by the device when ``"auto"``.

    Raises
    ------
    InputError
        If there is no such model, or it cannot be loaded, with the reason.
    """
    folders = tuple(
        path.resolve() for each in (name, segmenter) if (path := _folder(each)) is not None
    )
    catalog = _catalogs.setdefault(
        (device, dtype, folders), Catalog(folders, device=device, precision=dtype)
    )
    return Model(catalog.load_detector(_id(catalog, name)), catalog, _id(catalog, segmenter))


def list_models() -> dict[str, DetectorInfo | SegmenterInfo | None]:
    """The models that `load_model` knows by name, and what is known of them."""
    return {entry.id: entry.info for entry in Catalog().entries() if entry.problem is None}


@contextmanager
def server_at(url: str) -> Iterator[RelayedClient]:
    """A server that others share; its token is taken from ``NAPARI_NUNEXT_TOKEN``."""
    with RelayedClient(url, os.environ.get(TOKEN_VARIABLE)) as client:
        yield client


def _folder(name: str | os.PathLike[str] | None) -> Path | None:
    """The folder that a model is named by."""
    if name is None or name == CLASSICAL or not (path := Path(name)).is_dir():
        return None
    return path


def _id(catalog: Catalog, name: str | os.PathLike[str] | None) -> str | None:
    """What the catalog calls it."""
    if (folder := _folder(name)) is None:
        return None if name is None else str(name)
    folder = folder.resolve()
    there = (e.id for e in catalog.entries() if e.folder and e.folder.resolve() == folder)
    return next(there, folder.name)
