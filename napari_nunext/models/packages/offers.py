"""What can be had besides checkpoints: label models of known packages, and plugins.

Looking imports nothing: a package is there if Python could find it, and its weights are if their
files lie where it downloads them to. Nothing is downloaded: without weights, the offer says which
command fetches them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.packages import cellpose, instanseg, stardist
from napari_nunext.models.packages.labelling import (
    LabelDetector,
    Labeller,
    LabelSegmenter,
    LabelSettings,
)
from napari_nunext.models.packages.plugins import find_plugins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.models.detector import Detector, DetectorInfo
    from napari_nunext.models.packages.labelling import LabelModel
    from napari_nunext.models.packages.plugins import Kind
    from napari_nunext.models.segmenter import Segmenter, SegmenterInfo


class Offer(Protocol):
    """A detector or segmenter that is made when it is asked for."""

    @property
    def name(self) -> str:
        """Its id, unless that is taken."""
        ...

    @property
    def kind(self) -> Kind:
        """What it is."""
        ...

    @property
    def origin(self) -> str:
        """Package and version that it comes from."""
        ...

    @property
    def info(self) -> DetectorInfo | SegmenterInfo | None:
        """What it is described as; None where that is known only once it is made."""
        ...

    @property
    def problem(self) -> str | None:
        """One sentence where it cannot be had."""
        ...

    def load(self) -> Detector | Segmenter:
        """Make it; `CheckpointError` where that fails."""
        ...


class EngineOffer(Offer, Protocol):
    """A checkpoint that runs in another process, which may not be there yet."""

    @property
    def folder(self) -> Path:
        """The checkpoint."""
        ...

    @property
    def passing(self) -> bool:
        """Whether its problem, if it has one, may be over in a moment."""
        ...


@dataclass(frozen=True, slots=True)
class _Package:
    """A package that an adapter was written for."""

    name: str
    title: str
    module: str
    distribution: str
    series: str
    """What its versions begin with."""
    mpp: float
    window_px: int
    find_weights: Callable[[], Path | None]
    fetch: str
    """Command that downloads the weights."""
    load: Callable[[Path, str | None], LabelModel]


PACKAGES = (
    _Package(
        "cellpose",
        "Cellpose",
        "cellpose",
        "cellpose",
        "4.",
        cellpose.MPP,
        cellpose.WINDOW_PX,
        cellpose.find_weights,
        cellpose.FETCH,
        lambda weights, device: cellpose.CellposeModel(weights, device=device),
    ),
    _Package(
        "stardist",
        "StarDist",
        "stardist",
        "stardist",
        "0.",
        stardist.MPP,
        stardist.WINDOW_PX,
        stardist.find_weights,
        stardist.FETCH,
        lambda weights, _: stardist.StarDistModel(weights),  # TensorFlow chooses the device
    ),
    _Package(
        "instanseg",
        "InstanSeg",
        "instanseg",
        "instanseg-torch",
        "0.",
        instanseg.MPP,
        instanseg.WINDOW_PX,
        instanseg.find_weights,
        instanseg.FETCH,
        lambda weights, device: instanseg.InstanSegModel(weights, device=device),
    ),
)
"""In the order in which they are listed."""


class _PackageOffer:
    """A label model of a known package, as a detector or a segmenter."""

    def __init__(
        self,
        kind: Kind,
        package: _Package,
        device: str | None,
        labellers: WeakValueDictionary[Path, Labeller],
    ) -> None:
        self.kind = kind
        self.name = package.name
        self._package = package
        self._device = device
        self._labellers = labellers
        self._version = _version_of(package.distribution)
        self.origin = f"{package.distribution} {self._version or 'of unknown version'}"
        settings = LabelSettings(
            name=package.title,
            family=package.name,
            mpp=package.mpp,
            window_px=package.window_px,
            package=self.origin,
        )
        self._detector_info = settings.detector_info()
        self._segmenter_info = settings.segmenter_info()

    @property
    def info(self) -> DetectorInfo | SegmenterInfo:
        """What it is described as."""
        return self._detector_info if self.kind == "detector" else self._segmenter_info

    @property
    def problem(self) -> str | None:
        """Looked for anew each time: weights may arrive."""
        package = self._package
        if self._version is None:
            return (
                f"The module {package.module} that is installed here is not of "
                f"{package.distribution}. Run: pip install {package.distribution}"
            )
        if not self._version.startswith(package.series):
            return (
                f"{package.title} is version {self._version} here; expected {package.series}x. "
                f"Run: pip install '{package.distribution}=={package.series}*'"
            )
        if package.find_weights() is None:
            return self._without_weights
        return None

    @property
    def _without_weights(self) -> str:
        return f"{self._package.title} has no weights on this machine. Run: {self._package.fetch}"

    def load(self) -> Detector | Segmenter:
        """Make it, or take the network that the other kind has in memory."""
        weights = self._package.find_weights()
        if weights is None:
            raise CheckpointError(self._without_weights)
        labeller = self._labellers.get(weights)
        if labeller is None:
            try:
                labeller = Labeller(self._package.load(weights, self._device))
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                raise CheckpointError(
                    f"{self._package.title} cannot be loaded ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}). Install {self._package.distribution} "
                    f"anew, and fetch its weights again: {self._package.fetch}"
                ) from error
            self._labellers[weights] = labeller
        if self.kind == "detector":
            return LabelDetector(labeller, self._detector_info)
        return LabelSegmenter(labeller, self._segmenter_info)


def find_offers(device: str | None = None) -> list[Offer]:
    """Detectors and segmenters of installed packages: the known ones, then plugins.

    Parameters
    ----------
    device : str, optional
        Where networks of the known packages run; chosen by the package when None.
    """
    labellers: WeakValueDictionary[Path, Labeller] = WeakValueDictionary()
    kinds: tuple[Kind, ...] = ("detector", "segmenter")
    known = [
        _PackageOffer(kind, package, device, labellers)
        for package in PACKAGES
        if find_spec(package.module) is not None
        for kind in kinds
    ]
    return [*known, *find_plugins()]


def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
