"""The models that a server has at hand: what they are, which one is meant, which are in memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, TypeVar

from napari_nunext.core.errors import NunextError
from napari_nunext.core.process.collector import collector_at_rest
from napari_nunext.serving.health.failures import failure
from napari_nunext.serving.models.describe import describe
from napari_nunext.serving.refusals import Refusal, away

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.models.catalog import CatalogEntry
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.packages.plugins import Kind
    from napari_nunext.models.sam.embeddings import Embeddings
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.models.answerers import Answerers
    from napari_nunext.serving.protocol import ModelInfo

logger = logging.getLogger(__name__)

_Model = TypeVar("_Model")


class ModelCatalog(Protocol):
    """As much of `napari_nunext.models.catalog.Catalog` as is used."""

    @property
    def embeddings(self) -> Embeddings:
        """What its segmenters remember."""
        ...

    def entries(self) -> Sequence[CatalogEntry]:
        """What is there now."""
        ...

    @property
    def default_detector_id(self) -> str:
        """The detector where none is named."""
        ...

    @property
    def default_segmenter_id(self) -> str:
        """The segmenter where none is named."""
        ...

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the checkpoints in memory."""
        ...

    def load_detector(self, id_: str | None = None) -> Detector:
        """The detector, in memory."""
        ...

    def load_segmenter(self, id_: str | None = None) -> Segmenter:
        """The segmenter, in memory."""
        ...


class Shelf:
    """A catalogue, as requests see it.

    Looking reads the disk: not for the event loop's thread. Taking a model loads it: for the
    worker's thread alone.

    Parameters
    ----------
    catalog : ModelCatalog
    answerers : Answerers
    """

    def __init__(self, catalog: ModelCatalog, answerers: Answerers) -> None:
        self._catalog = catalog
        self.answerers = answerers
        self.loading = False
        """Whether a checkpoint is brought into memory."""
        self.loaded: tuple[str, ...] = ()
        """Ids of those in memory."""
        self.default_problem: str | None = None
        """Why the default detector could not be loaded ahead."""

    def embeddings_bytes(self) -> int:
        """Memory that embeddings of windows take."""
        return self._catalog.embeddings.size_bytes

    def describe_all(self) -> list[ModelInfo]:
        """Every model, looked for anew."""
        defaults = {kind: self._default_id(kind) for kind in ("detector", "segmenter")}
        return [
            describe(entry, default=entry.id == defaults[entry.kind])
            for entry in self._catalog.entries()
        ]

    def away(self) -> list[str]:
        """Of each model whose own process is not there, what is the matter."""
        return [e.problem for e in self._catalog.entries() if e.passing and e.problem is not None]

    def choose(self, kind: Kind, id_: str | None) -> ModelInfo:
        """The model that a request names, or the default one.

        Raises
        ------
        Refusal
            404 where there is none of this id, 422 for one that cannot be served, 503 for one that
            may be back in a moment.
        """
        wanted = self._default_id(kind) if id_ is None else id_
        same_kind = [entry for entry in self._catalog.entries() if entry.kind == kind]
        for entry in same_kind:
            if entry.id == wanted:
                if entry.problem is not None and entry.passing:
                    raise away(entry.problem)
                if entry.problem is not None:
                    raise Refusal(422, "broken_model", entry.problem)
                return describe(entry, default=id_ is None)
        known = ", ".join(entry.id for entry in same_kind)
        raise Refusal(
            404, "unknown_model", f"There is no {kind} {wanted!r}. Choose one of: {known}."
        )

    def take_detector(self, id_: str) -> Detector:
        """The detector, in memory."""
        return self._take(self._catalog.load_detector, id_)

    def take_segmenter(self, id_: str) -> Segmenter:
        """The segmenter, in memory."""
        return self._take(self._catalog.load_segmenter, id_)

    def preload(self) -> None:
        """Bring the default detector into memory, so that the first run can begin at once.

        Importing torch alone may take longer than a person likes to wait after pressing Run.
        """
        default = self._catalog.default_detector_id
        try:
            with collector_at_rest():
                self.take_detector(default)
        except NunextError as error:
            logger.warning("the default model was not loaded ahead: %s", error)
            self.default_problem = str(error)
        except Exception as error:
            logger.exception("the default model was not loaded ahead")
            self.default_problem = failure(default, error).message

    def _default_id(self, kind: Kind) -> str:
        if kind == "detector":
            return self._catalog.default_detector_id
        return self._catalog.default_segmenter_id

    def _take(self, load: Callable[[str], _Model], id_: str) -> _Model:
        self.loading = True
        try:
            return load(id_)
        finally:
            self.loading = False
            self.loaded = self._catalog.loaded
