"""What a batch asks of every image, and which earlier run answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import InputError, ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.core.naming import only_of
from napari_nunext.core.shapes.area import EVERYTHING, Area
from napari_nunext.core.stains.telling import without_stain
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.review.finding.earlier import can_go_on, plan_in_extra
from napari_nunext.serving.protocol import DetectRequest, Failed, Started
from napari_nunext.store import RunInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store import ImageEntry, Run

BLANK_PX = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A search, whatever the image."""

    started: Started
    """As a server described it."""
    region: Box | None = None
    """Level-0 px, cut to each image; None for all of it."""
    tissue: bool = False
    """Whether windows of bare glass are left out."""
    pen: bool = False
    """Whether marks of a pen count as glass."""
    area_of: Callable[[ImageEntry], Area] = lambda _: EVERYTHING
    """What of an image is searched, as polygons; asked from any thread."""

    @property
    def only(self) -> tuple[str, ...]:
        """Categories that are searched for alone; everything where there are none."""
        return only_of(self.started.decoding)

    @property
    def masks(self) -> bool:
        """Whether outlines are wanted too."""
        return self.started.segmenter is not None

    def region_of(self, entry: ImageEntry) -> Box:
        """What of an image is searched.

        Raises
        ------
        InputError
            If the region lies outside of it.
        """
        found = entry.box
        for wanted in (self.region, self.area_of(entry).box):
            found = found if wanted is None else wanted.clipped_to(found)
            if found.width < 1 or found.height < 1:
                assert wanted is not None
                raise InputError(
                    f"The region {wanted.as_tuple()} lies outside {entry.name}, which is "
                    f"{entry.width_px} x {entry.height_px} px. Give one that lies in it."
                )
        return found

    def run_of(self, entry: ImageEntry, runs: Sequence[Run]) -> Run | None:
        """The run over an image that has done this, or begun to; None where there is none.

        Parameters
        ----------
        entry : ImageEntry
        runs : sequence of Run
            Those over the image, in the order they were started.
        """
        region, area = self.region_of(entry), self.area_of(entry)
        info = _info(self.started, entry.mpp, region, tissue=self.tissue, pen=self.pen, area=area)
        wanted = _decisive(info)
        same = [run for run in runs if _decisive(run.info) == wanted]
        complete = [run for run in same if run.status == "complete"]
        begun = [run for run in same if can_go_on(run)]
        return next(reversed(complete or begun), None)

    def differs_from(self, other: Asked) -> bool:
        """Whether another server would find something else."""
        mine, its = (_decisive(_info(each.started, 1.0, Box(0, 0, 1, 1))) for each in (self, other))
        return bool(mine != its)


def ask_for(
    client: Client,
    model: ModelInfo,
    *,
    masks: bool,
    tissue: bool,
    region: Box | None,
    pen: bool = False,
    only: Sequence[str] = (),
) -> Asked:
    """Ask a server how it would search, by an image without anything on it.

    Raises
    ------
    ServerUnavailableError, RequestRejectedError
        If it cannot.
    """
    blank = tile_of_rgb(np.full((BLANK_PX, BLANK_PX, 3), 255, dtype=np.uint8), "blank")
    request = DetectRequest(
        image=client.put_image(blank),
        mpp=model.mpp or 0.5,
        model=model.id,
        masks=masks,
        only=list(only) or None,
    )
    for event in client.detect(request):
        if isinstance(event, Started):
            return Asked(event, region, tissue, pen)
        if isinstance(event, Failed):
            raise ServerUnavailableError(event.message)
    raise ServerUnavailableError("The model server said nothing of how it searches. Try again.")


def _info(
    started: Started,
    mpp: float,
    region: Box,
    *,
    tissue: bool = False,
    pen: bool = False,
    area: Area = EVERYTHING,
) -> RunInfo:
    """What a run keeps of itself that does this."""
    return RunInfo(
        model=started.model.brief(),
        decoding=started.decoding,
        mpp=mpp,
        codec_version=started.codec_version,
        region=region,
        segmenter=None if started.segmenter is None else started.segmenter.brief(),
        extra=plan_in_extra(started, tissue=tissue, pen=pen, area=area),
    )


def _decisive(info: RunInfo) -> Any:
    """What decides what a run finds in its image, as the project keeps it."""
    extra = info.extra
    area = extra.get("area")
    tissue = extra.get("tissue", bool(extra.get("windows_left_out")))
    kept = {name: extra.get(name) for name in ("merge_radius_um", "halo_um")}
    kept |= {"tissue": tissue, "pen": bool(extra.get("pen")), "area": area}
    asked = replace(info, extra=kept, decoding=without_stain(info.decoding))
    return json.loads(json.dumps(asked.to_json()))
