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
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import ImageEntry, Run
    from napari_nunext.store.project import Project
    from napari_nunext.store.state.folding import Base
    from napari_nunext.store.state.reviewed import ReviewedNucleus
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
            base.called(category.name)
            for base in self._bases
            for category in self.state.runs[base.run_id].info.model.categories
        ]
        return tuple(dict.fromkeys(names))

    @property
    def asked(self) -> tuple[str, ...]:
        """Categories that were searched for here alone; none where everything was.

        What a person accepts then is these nuclei: nobody looked for others.
        """
        return () if self.only is None else in_order(self.only, self.known)

    @property
    def is_known(self) -> bool:
        """Whether any category was searched for here: none was that was merged with others."""
        return self.only is None or bool(self.only)

    @property
    def only(self) -> frozenset[str] | None:
        """As `Base.only`, of all that was searched here."""
        bases = self._bases
        if any(b.only is None and b.searches(self.crop) for b in bases):
            return None
        only = [b.only for b in bases if b.only is not None]
        return frozenset().union(*only) if only else None

    @property
    def _bases(self) -> list[Base]:
        return [b for b in self.state.bases if any(_touch(box, self.crop) for box in b.boxes)]

    @property
    def nuclei(self) -> list[Nucleus]:
        """The nuclei that are exported as truth, level-0 px."""
        return truth_in(self.reviewed, self.crop)

    @property
    def reviewed(self) -> list[ReviewedNucleus]:
        """The nuclei that the region is about, rejected ones too: of what was searched for here."""
        asked = self.asked
        there = self.state.nuclei.within(self.crop)
        return [n for n in there if counts(n.nucleus.category, asked)]

    @property
    def count(self) -> int:
        """How many nuclei that are."""
        asked = self.asked
        touched = [n for n in self._touched if counts(n.category, asked)]
        return len(self._untouched(asked)) + len(touched)

    @property
    def corrections(self) -> int:
        """In how many points the truth differs from what the models had shown here.

        A nucleus counts that a person placed, moved, relabelled or outlined anew, and a prediction
        that a person deleted or rejected. One that was only looked at or accepted does not, nor
        one that is, and was said to be, of a category that was not searched for here.
        """
        asked = self.asked
        changed = sum(self._is_corrected(n, asked) for n in self._touched)
        gone = [xy for uid, xy in self.state.deleted.items() if self._said_of(uid, asked)]
        gone += [
            n.predicted_xy
            for n in self.state.nuclei.touched()
            if not is_truth(n) and n.predicted_xy is not None and self._said_of(n.uid, asked)
        ]
        is_gone = self.crop.contains(as_points_xy(gone))
        return changed + self._called_otherwise(asked) + int(is_gone.sum())

    def _untouched(self, asked: Sequence[str]) -> NDArray[np.intp]:
        """Rows of the ground."""
        nuclei, ground = self.state.nuclei, self.state.nuclei.ground
        of_these = np.array([counts(name, asked) for name in ground.called], dtype=bool)
        is_here = self.crop.contains(ground.said.points_xy) & nuclei.untouched
        return np.flatnonzero(is_here & of_these[ground.said.category])

    @property
    def _touched(self) -> list[Nucleus]:
        return truth_in(self.state.nuclei.touched(), self.crop)

    def _is_corrected(self, now: Nucleus, asked: Sequence[str]) -> bool:
        said = self._said_of(now.uid, asked)
        if not counts(now.category, asked):
            return said is not None
        return said is None or _look(now) != _look(said)

    def _said_of(self, uid: UUID, asked: Sequence[str]) -> Nucleus | None:
        """A nucleus as the run that found it said it; None where none did, or it counts not."""
        for run in reversed(self.state.runs.values()):
            row = run.nuclei.row_of(uid)
            if row is not None:
                said = run.nuclei[row]
                return said if counts(self._called(run, said.category), asked) else None
        return None

    def _called(self, run: Run, category: str) -> str:
        """What a category of a run is called now."""
        bases = (base for base in self.state.bases if base.run_id == run.run_id)
        base = next(bases, None)
        return category if base is None else base.called(category)

    def _called_otherwise(self, asked: Sequence[str]) -> int:
        """How many that nobody touched have a category that their run calls something else."""
        ground, untouched, total = self.state.nuclei.ground, self._untouched(asked), 0
        for number, run_id in enumerate(ground.run_ids):
            rows = untouched[ground.run[untouched] == number]
            said = self.state.runs[run_id].nuclei
            then = said.category[said.rows_of(ground.said.uids[rows])]
            now = np.array(ground.called, dtype=object)[ground.said.category[rows]]
            total += int((now != np.array(said.names, dtype=object)[then]).sum())
        return total


def _look(nucleus: Nucleus) -> tuple[object, ...]:
    """What of a nucleus a person can correct."""
    return nucleus.x_px, nucleus.y_px, nucleus.category, nucleus.mask


def crop_name(entry: ImageEntry, crop: Box) -> str:
    """File stem of a crop: says what pixels it shows, and nothing of whose they are."""
    return f"{entry.sha256[:16]}-{crop.x0:.0f}-{crop.y0:.0f}-{crop.width:.0f}x{crop.height:.0f}"


def complete_regions(
    project: Project, annotators: Collection[str] | None = None
) -> list[CompleteRegion]:
    """What of a project is truth, image by image, each region cut to whole pixels inside it.

    Whatever shows or uses what people accepted goes through here, so that what is counted is what
    is exported. A region of less than a pixel is left out, and one of more than `MOST_PIXELS`:
    no picture is made of a whole slide. So is one where what was searched for was merged with what
    was not: no category of it is known whole.
    """
    regions: list[CompleteRegion] = []
    for entry in project.images():
        said = project.state(entry.sha256, annotators, no_runs=True)
        if said.flagged or not said.acceptances:
            continue
        state = project.state(entry.sha256, annotators)
        crops = (_whole_pixels(box.clipped_to(entry.box)) for box in state.truth_regions)
        unique = dict.fromkeys(crop for crop in crops if crop is not None)
        found = [CompleteRegion(entry, state, crop) for crop in unique]
        regions += [region for region in found if region.is_known]
    return regions


def _whole_pixels(box: Box) -> Box | None:
    """The largest box of whole pixels inside, for beyond it nobody looked; None for no picture."""
    x0, y0 = np.ceil([box.x0, box.y0]).tolist()
    x1, y1 = np.floor([box.x1, box.y1]).tolist()
    is_picture = x1 > x0 and y1 > y0 and (x1 - x0) * (y1 - y0) <= MOST_PIXELS
    return Box(x0, y0, x1, y1) if is_picture else None
