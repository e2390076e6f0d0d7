"""What of a project is truth: the regions that people vouch for, and their corrections.

Most nuclei of a region are as a run said them: they are counted in columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.image.source import MOST_PIXELS
from napari_nunext.core.naming import counts, in_order
from napari_nunext.store.state.acceptance import have_common_area as _touch
from napari_nunext.store.state.acceptance import is_truth, truth_in

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.project import Project
    from napari_nunext.store.state.folding import Base
    from napari_nunext.store.state.state import FieldState


@dataclass(frozen=True, slots=True)
class CompleteRegion:
    """A region that becomes one image of the export."""

    entry: ImageEntry
    state: FieldState
    crop: Box
    """Level-0 px, whole numbers."""

    @property
    def name(self) -> str:
        """File stem."""
        return crop_name(self.entry, self.crop)

    @property
    def known(self) -> tuple[str, ...]:
        """What the models that searched here tell apart, as the project calls it."""
        names = [
            base.aliases.get(category.name, category.name)
            for base in self._bases
            for category in self.state.runs[base.run_id].info.model.categories
        ]
        return tuple(dict.fromkeys(names))

    @property
    def asked(self) -> tuple[str, ...]:
        """Categories that were searched for here alone; none where everything was.

        What a person accepts then is these nuclei: nobody looked for others.
        """
        bases = self._bases
        if not any(b.only for b in bases) or any(
            not b.only and b.searches(self.crop) for b in bases
        ):
            return ()
        return in_order({name for b in bases for name in b.only}, self.known)

    @property
    def _bases(self) -> list[Base]:
        return [b for b in self.state.bases if any(_touch(box, self.crop) for box in b.boxes)]

    @property
    def nuclei(self) -> list[Nucleus]:
        """The nuclei that are exported as truth, level-0 px."""
        asked, there = self.asked, truth_in(self.state.nuclei.within(self.crop), self.crop)
        return [n for n in there if counts(n.category, asked)]

    @property
    def count(self) -> int:
        """How many nuclei that are."""
        return len(self._untouched) + len(self._touched)

    @property
    def corrections(self) -> int:
        """In how many points the truth differs from what the models had shown here.

        A nucleus counts that a person placed, moved, relabelled or outlined anew, and a prediction
        that a person deleted or rejected. One that was only looked at or accepted does not.
        """
        changed = sum(_is_corrected(n, self._said_of(n.uid)) for n in self._touched)
        gone = [xy for uid, xy in self.state.deleted.items() if self._said_of(uid)]
        gone += [
            n.predicted_xy
            for n in self.state.nuclei.touched()
            if not is_truth(n) and n.predicted_xy is not None
        ]
        is_gone = self.crop.contains(as_points_xy(gone))
        return changed + self._called_otherwise() + int(is_gone.sum())

    @property
    def _untouched(self) -> NDArray[np.intp]:
        """Rows of the ground."""
        nuclei = self.state.nuclei
        return np.flatnonzero(self.crop.contains(nuclei.ground.said.points_xy) & nuclei.untouched)

    @property
    def _touched(self) -> list[Nucleus]:
        return truth_in(self.state.nuclei.touched(), self.crop)

    def _said_of(self, uid: UUID) -> Nucleus | None:
        """A nucleus as the run that found it said it; None where none did."""
        for run in reversed(self.state.runs.values()):
            row = run.nuclei.row_of(uid)
            if row is not None:
                return run.nuclei[row]
        return None

    def _called_otherwise(self) -> int:
        """How many that nobody touched have a category that their run calls something else."""
        ground, untouched, total = self.state.nuclei.ground, self._untouched, 0
        for number, run_id in enumerate(ground.run_ids):
            rows = untouched[ground.run[untouched] == number]
            said = self.state.runs[run_id].nuclei
            then = said.category[said.rows_of(ground.said.uids[rows])]
            now = np.array(ground.called, dtype=object)[ground.said.category[rows]]
            total += int((now != np.array(said.names, dtype=object)[then]).sum())
        return total


def _is_corrected(now: Nucleus, said: Nucleus | None) -> bool:
    if said is None:
        return True
    seen = (said.x_px, said.y_px, said.category, said.mask)
    return (now.x_px, now.y_px, now.category, now.mask) != seen


def crop_name(entry: ImageEntry, crop: Box) -> str:
    """File stem of a crop: says what pixels it shows, and nothing of whose they are."""
    return f"{entry.sha256[:16]}-{crop.x0:.0f}-{crop.y0:.0f}-{crop.width:.0f}x{crop.height:.0f}"


def complete_regions(
    project: Project, annotators: Collection[str] | None = None
) -> list[CompleteRegion]:
    """What of a project is truth, image by image, each region cut to whole pixels inside it.

    Whatever shows or uses what people accepted goes through here, so that what is counted is what
    is exported. A region of less than a pixel is left out, and one of more than `MOST_PIXELS`:
    no picture is made of a whole slide.
    """
    regions: list[CompleteRegion] = []
    for entry in project.images():
        said = project.state(entry.sha256, annotators, no_runs=True)
        if said.flagged or not said.acceptances:
            continue
        state = project.state(entry.sha256, annotators)
        crops = (_whole_pixels(box.clipped_to(entry.box)) for box in state.truth_regions)
        unique = dict.fromkeys(crop for crop in crops if crop is not None)
        regions += [CompleteRegion(entry, state, crop) for crop in unique]
    return regions


def _whole_pixels(box: Box) -> Box | None:
    """The largest box of whole pixels inside, for beyond it nobody looked; None for no picture."""
    x0, y0 = np.ceil([box.x0, box.y0]).tolist()
    x1, y1 = np.floor([box.x1, box.y1]).tolist()
    is_picture = x1 > x0 and y1 > y0 and (x1 - x0) * (y1 - y0) <= MOST_PIXELS
    return Box(x0, y0, x1, y1) if is_picture else None
