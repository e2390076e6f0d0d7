"""``nn.segment``: what nuclei cover, drawn from their points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.api.images import mpp_of, source_of
from napari_nunext.api.models import Model, load_model, server_at
from napari_nunext.api.nuclei import Nuclei, placed
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.uids import as_uuids
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts
from napari_nunext.serving.protocol import MOST_PROMPTS, MaskPrompt, PromptPoint, SegmentRequest

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike

    from napari_nunext.api.images import ImageLike
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.shapes.masks import Mask


def segment(
    image: ImageLike,
    nuclei: Nuclei | ArrayLike,
    mpp: float | None = None,
    *,
    model: Model | str | os.PathLike[str] | None = None,
    server: str | None = None,
) -> Nuclei:
    """Draw what nuclei cover.

    Parameters
    ----------
    image : path, array or ImageSource
        As `detect` takes it.
    nuclei : Nuclei or array_like, shape (N, 2)
        What `detect` found, or points (x, y) in level-0 px.
    mpp : float, optional
        Micrometres per pixel; that of the nuclei, or of the file, by default.
    model : Model, str or path, optional
        A segmenter by its id or folder, or what `load_model` gave; the bundled one by default.
    server : str, optional
        As `detect` takes it.

    Returns
    -------
    Nuclei
        The same, with masks. A point on which nothing is drawn has none.

    Raises
    ------
    InputError
        If the image, its scale or the model will not do, or a point lies beside the image.
    ServerError
        If the server fails.
    """
    if mpp is None and isinstance(nuclei, Nuclei):
        mpp = nuclei.mpp
    source = source_of(image, mpp)
    given = nuclei if isinstance(nuclei, Nuclei) else _of_points(nuclei, source)
    if not source.box.contains(given.points_xy).all():
        raise InputError(
            f"Some points lie beside {source.name}, whose pixels are {source.box.as_tuple()}. "
            "Points are (x, y): column, then row."
        )
    if server is None:
        loaded = model if isinstance(model, Model) else load_model("classical", segmenter=model)
        return with_masks(source, given, loaded)
    if isinstance(model, Model):
        raise InputError("A model of this process was given, and a server. Leave out one.")
    drawn: dict[int, Mask] = {}
    points = [PromptPoint(x=x, y=y) for x, y in given.points_xy.tolist()]
    with server_at(server) as client:
        sent = client.put_image(source)
        for start in range(0, len(points), MOST_PROMPTS):
            reply = client.segment(
                SegmentRequest(
                    image=sent,
                    mpp=mpp_of(source),
                    segmenter=None if model is None else str(model),
                    prompts=[
                        MaskPrompt(points=[point]) for point in points[start : start + MOST_PROMPTS]
                    ],
                )
            )
            drawn |= {start + mask.index: mask.to_mask() for mask in reply.masks}
            by = reply.segmenter
    return _masked(given, drawn, by) if drawn else given


def with_masks(source: ImageSource, nuclei: Nuclei, model: Model) -> Nuclei:
    """Nuclei with the masks that a model of this process draws of them."""
    segmenter = model.segmenter
    batches = draw_masks(source, point_prompts(nuclei.points_xy), segmenter, mpp=mpp_of(source))
    drawn = {each.index: each.mask for batch in batches for each in batch}
    return _masked(nuclei, drawn, segmenter.info.name)


def _masked(nuclei: Nuclei, drawn: dict[int, Mask], by: str) -> Nuclei:
    uids = as_uuids(nuclei.predictions.uids)
    masks = {uids[index]: mask for index, mask in drawn.items()}
    outlined = nuclei.predictions.with_masks(masks)
    return replace(nuclei, predictions=outlined, about={**nuclei.about, "segmenter": by})


def _of_points(points: ArrayLike, source: ImageSource) -> Nuclei:
    points_xy = as_points_xy(points)
    count = len(points_xy)
    unsaid = np.full(count, np.nan)
    predictions = placed(points_xy, np.zeros(count), (UNCATEGORISED,), unsaid, unsaid)
    palette = default_categories([UNCATEGORISED])
    return Nuclei(predictions, palette, mpp_of(source), source.box, {})
