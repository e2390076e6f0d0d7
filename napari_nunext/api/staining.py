"""``nn.stain``: how brown nuclei are, and what share of them is positive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.api.images import mpp_of, source_of
from napari_nunext.core.formats.region_files import read_regions
from napari_nunext.core.stains.counting import that_count
from napari_nunext.core.stains.measuring import DAB_OD, RADIUS_UM, dab_od_of
from napari_nunext.core.stains.positivity import (
    CUT_OFFS,
    h_score,
    labelling_index,
    suggested_cut_off,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.api.images import ImageLike
    from napari_nunext.api.nuclei import Nuclei
    from napari_nunext.core.stains.positivity import HScore, LabellingIndex


@dataclass(frozen=True, eq=False)
class StainedNuclei:
    """N nuclei and how brown each is; made by `stain`."""

    nuclei: Nuclei
    dab_od: NDArray[np.float64]
    """Mean optical density of DAB, base 10, shape (N,); NaN for a nucleus outside of the image
    or in a region that is left out."""

    def suggested_cut_off(self) -> float:
        """Where these densities divide best in two, 0.2 or more: a suggestion, to be looked at.

        Raises
        ------
        InputError
            If no nucleus was measured.
        """
        return suggested_cut_off(self.dab_od)

    def positive(self, cut_off: float = CUT_OFFS[0]) -> Nuclei:
        """The nuclei that have at least this density."""
        return self.nuclei.where(self.dab_od >= cut_off)

    def labelling_index(self, cut_off: float = CUT_OFFS[0]) -> LabellingIndex:
        """The share of positive nuclei, with Wilson's 95 % interval.

        Raises
        ------
        InputError
            If the cut-off is no finite number.
        """
        return labelling_index(self.dab_od, cut_off)

    def h_score(self, cut_offs: Sequence[float] = CUT_OFFS) -> HScore:
        """Positivity weighed by strength, 0 to 300, with a bootstrap interval.

        Raises
        ------
        InputError
            If these are not three rising numbers.
        """
        return h_score(self.dab_od, cut_offs)

    def to_pandas(self) -> Any:
        """The table of `Nuclei.to_pandas`, with the density as one more column.

        Raises
        ------
        MissingPackageError
            Without pandas.
        """
        return self.nuclei.to_pandas().assign(**{DAB_OD: self.dab_od})

    def to_geojson(self, path: str | PathLike[str] | None = None) -> dict[str, Any]:
        """As `Nuclei.to_geojson`, with the density under the name that QuPath gives it.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        return self.nuclei.to_geojson(path, measurements={DAB_OD: self.dab_od})

    def __len__(self) -> int:
        return len(self.nuclei)

    def __repr__(self) -> str:
        return f"<{self.nuclei!r}; {self.labelling_index()}>"


def stain(
    image: ImageLike,
    nuclei: Nuclei,
    mpp: float | None = None,
    *,
    radius_um: float = RADIUS_UM,
    regions: str | PathLike[str] | None = None,
) -> StainedNuclei:
    """Measure the brown of each nucleus: the mean optical density of DAB.

    Over the mask of a nucleus, or over a disc around its point where it has none. Stains are
    unmixed as QuPath does by default: haematoxylin, DAB and a residual, on white of 255.

    Parameters
    ----------
    image : path, array or ImageSource
        As `detect` takes it; a slide is read in blocks.
    nuclei : Nuclei
        What `detect` or `segment` gave, or a project's.
    mpp : float, optional
        Micrometres per pixel; that of the nuclei by default.
    radius_um : float
        Of the disc where there is no mask.
    regions : path, optional
        GeoJSON with regions, as QuPath and the window write it. A nucleus in one that is left out
        (*Leave out* and *Ignore* classes) has no density and counts nowhere.

    Returns
    -------
    StainedNuclei

    Raises
    ------
    InputError
        If the image or its scale will not do.
    RecordError
        If the regions cannot be read.

    Examples
    --------
    >>> import napari_nunext as nn
    >>> from skimage.data import immunohistochemistry
    >>> image = immunohistochemistry()[:128, :128]
    >>> stained = nn.stain(image, nn.detect(image, mpp=0.5))
    >>> stained.labelling_index(0.2).nuclei == len(stained)
    True
    """
    source = source_of(image, nuclei.mpp if mpp is None else mpp)
    drawn = [] if regions is None else read_regions(Path(regions), kind="interest")
    found = dab_od_of(
        source,
        nuclei.points_xy,
        nuclei.predictions.masks,
        mpp=mpp_of(source),
        radius_um=radius_um,
    )
    return StainedNuclei(nuclei, that_count(found, nuclei.points_xy, drawn))
