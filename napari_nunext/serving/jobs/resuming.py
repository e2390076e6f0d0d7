"""Going on with a search that was broken off: whether it is the same one, and what it had found."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from napari_nunext.core.codec import CODEC_VERSION
from napari_nunext.core.errors import InputError
from napari_nunext.models.whole_image.gathering import Sighting

if TYPE_CHECKING:
    from collections.abc import Set

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.model_description import ModelDescription
    from napari_nunext.core.tiling import WindowGrid
    from napari_nunext.models.detector import DetectorInfo
    from napari_nunext.models.whole_image.gathering import Gathering
    from napari_nunext.serving.protocol import DetectRequest, Resume


def plan_of(
    request: DetectRequest,
    region: Box,
    windows: WindowGrid,
    info: DetectorInfo,
    *,
    model: ModelDescription,
    segmenter: ModelDescription | None,
    merge_radius_um: float,
    left_out: Set[int] = frozenset(),
) -> str:
    """A hash of all that decides what a search finds; where it begins is none of that."""
    plan: dict[str, Any] = {
        "image": request.image,
        "mpp": request.mpp,
        "region": region.as_tuple(),
        "windows": len(windows),
        "model": model.brief().to_json(),
        "segmenter": None if segmenter is None else segmenter.brief().to_json(),
        "window_px": info.window_px,
        "window_mpp": info.mpp,
        "halo_um": info.halo_um,
        "decoding": info.decoding,
        "codec_version": CODEC_VERSION,
        "merge_radius_um": merge_radius_um,
    }
    if left_out:
        plan["left_out"] = sorted(left_out)
    if not request.area.is_everything:
        plan["area"] = request.area.to_json()
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def take_up(
    resume: Resume, windows: WindowGrid, found: Gathering, left_out: Set[int] = frozenset()
) -> list[int]:
    """Tell a gathering what was found before, and return what of it stands for good.

    Raises
    ------
    InputError
        If that cannot be the search that it is said to be.
    """
    done = set(resume.done)
    is_part = all(0 <= i < len(windows) and i not in left_out for i in done)
    if len(done) != len(resume.done) or not is_part:
        raise InputError(
            f"The search to go on with has {found.windows_wanted} windows, and others are said to "
            "be done. Search anew."
        )
    strange = {seen.window for seen in resume.sighted} - done
    if strange:
        raise InputError(
            f"Nuclei are given of windows that are not said to be done ({min(strange)}, for "
            "example). Search anew."
        )
    return found.go_on(
        done,
        [Sighting(s.window, s.x, s.y, s.category, s.confidence) for s in resume.sighted],
    )
