"""Which models there are: classical, the bundled checkpoint, those in folders, those of packages.

Looking reads descriptions and hashes files; torch, and whatever other packages bring, is imported
when a model is loaded.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.checkpoints.description import (
    CheckpointDescription,
    Description,
    describe,
)
from napari_nunext.models.checkpoints.integrity import FILE_NAME, checkpoint_sha256
from napari_nunext.models.classical.adapters import ClassicalDetector, ClassicalSegmenter
from napari_nunext.models.families import check_family
from napari_nunext.models.packages.offers import find_offers
from napari_nunext.models.sam.embeddings import EMBEDDINGS_BYTES, new_embeddings
from napari_nunext.places import BUNDLED_WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.detector import Detector, DetectorInfo
    from napari_nunext.models.packages.offers import EngineOffer, Offer
    from napari_nunext.models.packages.plugins import Kind
    from napari_nunext.models.segmenter import Segmenter, SegmenterInfo

logger = logging.getLogger(__name__)

CLASSICAL = "classical"
"""Id of the models that need no checkpoint, one detector and one segmenter."""

KEPT_IN_MEMORY = 2
"""Checkpoints of a kind that stay loaded; the one used longest ago goes first."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model that is there, whether it can be served or not."""

    id: str
    """Unique among the models of its kind."""
    kind: Kind
    info: DetectorInfo | SegmenterInfo | None
    """None where there is a problem, and of a plugin that was not loaded yet."""
    folder: Path | None = None
    """None for what has no checkpoint."""
    problem: str | None = None
    """One sentence where it cannot be served."""
    passing: bool = False
    """Whether the problem may be over in a moment."""
    offer: Offer | None = None
    """Where it comes from another package."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a folder held when its files had these times and sizes."""

    signature: tuple[tuple[str, int, int], ...]
    description: Description | None
    sha256: str | None
    problem: str | None


class Catalog:
    """The models that a server offers.

    Parameters
    ----------
    paths : sequence of Path
        Each is a checkpoint, or a folder of checkpoints. One that does not exist (yet) is empty.
    device : str, optional
        Where checkpoints are loaded; the first GPU, else the CPU, when None.
    bundled : Path
        Folder of the checkpoints that come with the package; the first is the default detector.
    engines : sequence of EngineOffer
        Checkpoints that run in another process; the first is the default detector instead. What
        their folders hold is not offered a second time.
    embeddings_bytes : int
        Memory for what segmenters remember of windows, all of them together.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of detectors that are checkpoints; by the device when ``"auto"``.
    """

    def __init__(
        self,
        paths: Sequence[Path] = (),
        *,
        device: str | None = None,
        bundled: Path = BUNDLED_WEIGHTS,
        engines: Sequence[EngineOffer] = (),
        embeddings_bytes: int = EMBEDDINGS_BYTES,
        precision: Precision = "auto",
    ) -> None:
        self._paths = [bundled, *paths]
        self._engines = tuple(engines)
        self._bundled = bundled
        self._device = device
        self._precision = precision
        self.embeddings = new_embeddings(embeddings_bytes)
        self._looks: dict[Path, _Look] = {}
        self._loaded: OrderedDict[tuple[Kind, str], tuple[str | None, Detector | Segmenter]] = (
            OrderedDict()
        )
        self._offers: list[Offer] | None = None

    def entries(self) -> tuple[CatalogEntry, ...]:
        """What is there now: classical, engines', bundled, by path and name, then other packages'.

        Files are read again only where their time or size has changed. Packages are looked for
        once: what is installed later is seen when the process is started again.
        """
        found = [
            CatalogEntry(CLASSICAL, "detector", ClassicalDetector().info),
            CatalogEntry(CLASSICAL, "segmenter", ClassicalSegmenter().info),
        ]
        found += [_at_engine(engine) for engine in self._engines]
        taken = {entry.id for entry in found}
        for folder in self._folders():
            look = self._look(folder)
            id_ = _unique(folder.name, taken)
            taken.add(id_)
            found.append(_entry(id_, folder, look))
        if self._offers is None:
            self._offers = find_offers(self._device)
        for offer in self._offers:
            id_ = _unique(offer.name, {e.id for e in found if e.kind == offer.kind})
            problem = offer.problem
            info = offer.info if problem is None else None
            found.append(CatalogEntry(id_, offer.kind, info, problem=problem, offer=offer))
        return tuple(found)

    @property
    def default_detector_id(self) -> str:
        """The first engine's; else the bundled one where that is sound; else ``"classical"``."""
        if self._engines:
            return self._engines[0].name
        for entry in self.entries():
            bundled = entry.folder is not None and entry.folder.is_relative_to(self._bundled)
            if bundled and entry.kind == "detector" and entry.problem is None:
                return entry.id
        return CLASSICAL

    @property
    def default_segmenter_id(self) -> str:
        """The first sound segmenter with a checkpoint, else ``"classical"``."""
        for entry in self.entries():
            if entry.kind == "segmenter" and entry.problem is None and entry.folder is not None:
                return entry.id
        return CLASSICAL

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the models in memory, the one used longest ago first; not the classical ones."""
        return tuple(id_ for _, id_ in self._loaded)

    def load_detector(self, id_: str | None = None) -> Detector:
        """Detector by id, the default one when None; kept in memory for the next time.

        Raises
        ------
        InputError
            If no detector has this id.
        CheckpointError
            If it cannot be served, with the reason.
        """
        entry = self._entry("detector", self.default_detector_id if id_ is None else id_)
        kept = self._kept(entry)
        if kept is None and entry.offer is not None:
            kept = self._keep(entry, entry.offer.load())
        elif kept is None and entry.folder is not None:
            from napari_nunext.models.devices import named_dtype
            from napari_nunext.models.next_point.detector import NextPointDetector

            dtype = named_dtype(self._precision)
            detector = NextPointDetector(entry.folder, device=self._device, dtype=dtype)
            kept = self._keep(entry, detector)
        elif kept is None:
            return ClassicalDetector()
        return kept  # type: ignore[return-value]  # kept under its kind

    def load_segmenter(self, id_: str | None = None) -> Segmenter:
        """Segmenter by id, the default one when None; errors as `load_detector`."""
        entry = self._entry("segmenter", self.default_segmenter_id if id_ is None else id_)
        kept = self._kept(entry)
        if kept is None and entry.offer is not None:
            kept = self._keep(entry, entry.offer.load())
        elif kept is None and entry.folder is not None:
            from napari_nunext.models.sam.segmenter import SamSegmenter

            kept = self._keep(
                entry, SamSegmenter(entry.folder, device=self._device, embeddings=self.embeddings)
            )
        elif kept is None:
            return ClassicalSegmenter()
        return kept  # type: ignore[return-value]  # kept under its kind

    def _entry(self, kind: Kind, id_: str) -> CatalogEntry:
        entries = [e for e in self.entries() if e.kind == kind]
        for entry in entries:
            if entry.id == id_:
                if entry.problem is not None and not entry.passing:
                    raise CheckpointError(entry.problem)
                return entry
        known = ", ".join(e.id for e in entries)
        raise InputError(f"There is no {kind} {id_!r}; this server has {known}.")

    def _kept(self, entry: CatalogEntry) -> Detector | Segmenter | None:
        """The model in memory, unless its files have changed since."""
        kept = self._loaded.get((entry.kind, entry.id))
        if kept is None or entry.info is None or kept[0] != entry.info.checkpoint_sha256:
            return None
        self._loaded.move_to_end((entry.kind, entry.id))
        return kept[1]

    def _keep(self, entry: CatalogEntry, model: Detector | Segmenter) -> Detector | Segmenter:
        self._loaded[entry.kind, entry.id] = (model.info.checkpoint_sha256, model)
        self._loaded.move_to_end((entry.kind, entry.id))
        same_kind = [key for key in self._loaded if key[0] == entry.kind]
        for key in same_kind[:-KEPT_IN_MEMORY]:
            del self._loaded[key]
            logger.info("unloaded a %s to make room", key[0])
        return model

    def _folders(self) -> Iterator[Path]:
        """Folders that are, or want to be, checkpoints; each once."""
        seen = {engine.folder.resolve() for engine in self._engines}
        for path in self._paths:
            if _looks_like_checkpoint(path):
                candidates = [path]
            elif path.is_dir():
                candidates = sorted(p for p in path.iterdir() if _looks_like_checkpoint(p))
            else:
                candidates = []
            for folder in candidates:
                if (resolved := folder.resolve()) not in seen:
                    seen.add(resolved)
                    yield folder

    def _look(self, folder: Path) -> _Look:
        signature = _signature(folder)
        known = self._looks.get(folder)
        if known is not None and known.signature == signature:
            return known
        try:
            description = describe(folder)
            if isinstance(description, CheckpointDescription):
                check_family(description.family)
            look = _Look(signature, description, checkpoint_sha256(folder), None)
        except CheckpointError as error:
            look = _Look(signature, None, None, str(error))
        except OSError as error:  # taken away or forbidden while we looked
            look = _Look(signature, None, None, f"{folder.name} cannot be read ({error.strerror}).")
        self._looks[folder] = look
        return look


def _at_engine(engine: EngineOffer) -> CatalogEntry:
    """Described whether its process is there or not: its folder is."""
    problem = engine.problem
    passing = problem is not None and engine.passing
    return CatalogEntry(
        engine.name, engine.kind, engine.info, problem=problem, passing=passing, offer=engine
    )


def _entry(id_: str, folder: Path, look: _Look) -> CatalogEntry:
    if look.description is None:
        return CatalogEntry(id_, _kind_of_broken(folder), None, folder, look.problem)
    kind: Kind = "detector" if isinstance(look.description, CheckpointDescription) else "segmenter"
    return CatalogEntry(id_, kind, look.description.info(look.sha256), folder)


def _kind_of_broken(folder: Path) -> Kind:
    """Where a checkpoint that cannot be read is listed."""
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "detector"
    return "segmenter" if '"segmenter"' in text else "detector"


def _looks_like_checkpoint(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and any((path / name).is_file() for name in (FILE_NAME, "config.json"))


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a file does; empty for a folder that is being taken away."""
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files)
    except OSError:
        return ()


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
