"""What a run that was broken off had found, as far as the server has to know it to go on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.seams import near_seams
from napari_nunext.core.shapes.area import EVERYTHING
from napari_nunext.core.tiling import plan_grid
from napari_nunext.core.uids import as_uids, place_in_window, windows_of
from napari_nunext.serving.client.found import Earlier, Held, Seen
from napari_nunext.store.state.folding import REPEAT_RADIUS_UM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.area import Area
    from napari_nunext.core.tiling import WindowGrid
    from napari_nunext.serving.client.found import Finish
    from napari_nunext.serving.protocol import Started
    from napari_nunext.store import Run, RunInfo


def can_go_on(run: Run) -> bool:
    """Whether a run was broken off, and says enough of itself to be gone on with."""
    return run.status == "interrupted" and "plan" in run.info.extra


def plan_in_extra(
    started: Started, *, tissue: bool = False, pen: bool = False, area: Area = EVERYTHING
) -> dict[str, object]:
    """What a run has to remember to be gone on with, for `RunInfo.extra`.

    Parameters
    ----------
    started : Started
    tissue : bool
        Whether windows of bare glass were to be left out.
    pen : bool
        Whether marks of a pen counted as glass.
    area : Area
        What of the region was to be searched.
    """
    said: dict[str, object] = {
        "merge_radius_um": started.merge_radius_um,
        "halo_um": started.halo_um,
        "windows": started.windows,
        "windows_left_out": started.windows_left_out,
        "plan": started.plan,
        "tissue": tissue,
    }
    if pen:
        said["pen"] = True
    return said if area.is_everything else said | {"area": area.to_json()}


def earlier_of(run: Run, image: Box, windows: Mapping[int, Finish]) -> Earlier:
    """What to tell the server of a run.

    Parameters
    ----------
    run : Run
        One that `can_go_on`.
    image : Box
        All of the image, level-0 px.
    windows : mapping of int to "end" or "limit"
        The windows that are done, and how each ended.
    """
    nuclei, info = run.nuclei, run.info
    window = windows_of(run.run_id, nuclei.uids)
    done = np.isin(window, list(windows))
    stands = nuclei.rows_of(as_uids(run.hidden))
    standing = np.ones(len(nuclei), dtype=bool)
    standing[stands[stands >= 0]] = False
    radius_px = info.extra["merge_radius_um"] / info.mpp
    wanted = near_seams(nuclei.points_xy, _grid(info, image), radius_px)
    if info.segmenter is not None:
        wanted |= standing & ~nuclei.masks.drawn
    others = done & standing & ~wanted
    rows = np.flatnonzero(done & wanted)
    return Earlier(
        plan=info.extra["plan"],
        windows=dict(windows),
        seen=tuple(
            Seen(number, nucleus, stood)
            for number, nucleus, stood in zip(
                window[rows].tolist(), nuclei.at(rows), standing[rows].tolist(), strict=True
            )
        ),
        others=int(others.sum()),
        others_outlined=int((others & nuclei.masks.drawn).sum()),
    )


def held_of(run: Run, is_unfinished: NDArray[np.bool_], is_held: NDArray[np.bool_]) -> Held:
    """What stays of the windows of a run that are searched again.

    Parameters
    ----------
    run : Run
    is_unfinished : ndarray of bool, shape (N,)
        Which of its nuclei were found in windows that are not done.
    is_held : ndarray of bool, shape (N,)
        Which of them somebody said something of.
    """
    nuclei: dict[int, list[Nucleus]] = defaultdict(list)
    places = 0
    unfinished = run.nuclei.at(np.flatnonzero(is_unfinished))
    for nucleus, stays in zip(unfinished, is_held[is_unfinished].tolist(), strict=True):
        at = place_in_window(run.run_id, nucleus.uid)
        if at is not None:
            places = max(places, at[1] + 1)
            if stays:
                nuclei[at[0]].append(nucleus)
    return Held(nuclei, REPEAT_RADIUS_UM / run.info.mpp, places)


def _grid(info: RunInfo, image: Box) -> WindowGrid:
    """The windows of the run, as the server cut them."""
    model = info.model
    assert model.window_px is not None
    assert model.mpp is not None
    return plan_grid(
        info.region,
        image,
        window_px=model.window_px,
        window_mpp=model.mpp,
        halo_um=info.extra["halo_um"],
        image_mpp=info.mpp,
    )
