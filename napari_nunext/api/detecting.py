"""``nn.detect``: the nuclei of an image, found here or at a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.api.images import mpp_of, source_of
from napari_nunext.api.models import Model, load_model, server_at
from napari_nunext.api.nuclei import Nuclei, placed
from napari_nunext.api.segmenting import with_masks
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.naming import search_words
from napari_nunext.core.nuclei import Category
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.process.asked import check_pen
from napari_nunext.models.whole_image.search import detect_image, wanted_of
from napari_nunext.serving.client.found import Found, failed_words
from napari_nunext.serving.protocol import DetectRequest, WindowDone

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from napari_nunext.api.images import ImageLike
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.models.whole_image.gathering import Detections


def detect(
    image: ImageLike,
    mpp: float | None = None,
    *,
    model: Model | str | os.PathLike[str] | None = None,
    masks: bool = False,
    region: Box | Sequence[float] | None = None,
    tissue: bool = False,
    pen: bool = False,
    only: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, windows: None,
    server: str | None = None,
) -> Nuclei:
    """Find the nuclei of an image.

    Parameters
    ----------
    image : path, array or ImageSource
        See `napari_nunext.api.images.source_of`: numpy, dask and zarr; grey or colours, of any
        type of numbers.
    mpp : float, optional
        Micrometres per pixel; what the file says by default.
    model : Model, str or path, optional
        Id of a model, or folder of a checkpoint; the bundled model by default.
    masks : bool
        Draw what each nucleus covers, too.
    region : Box or sequence of float, optional
        What of the image is searched, level-0 pixels; all of it by default.
    tissue : bool
        Leave out windows of bare glass, which saves time.
    pen : bool
        With tissue: leave out green, blue and black ink too; not for blue or green stains.
    only : sequence of str
        Categories that are searched for alone. A model that has learned to be asked for them is;
        of any other the rest is left out. `Nuclei.about` says which.
    progress : callable
        Told after each window how many are done, and of how many: of a slide there are thousands.
    server : str, optional
        Address of a model server, ``http://host:port``; its token is taken from
        ``NAPARI_NUNEXT_TOKEN``. Without one the model runs in this process.

    Returns
    -------
    Nuclei
        With the windows row by row, and of each the nuclei in the order in which they were found.

    Raises
    ------
    InputError
        If the image, its scale, the region or the model will not do, with the reason; or pen is
        given without tissue.
    ServerError
        If the server fails.

    Notes
    -----
    The scale is about 0.25 for a 40x objective and 0.5 for 20x. A model may also be what
    `load_model` gave; at a server it is the id of one of its detectors. A region is
    ``(x0, y0, x1, y1)``.

    Examples
    --------
    >>> import napari_nunext as nn
    >>> from skimage.data import immunohistochemistry
    >>> nuclei = nn.detect(immunohistochemistry()[:128, :128], mpp=0.5)
    >>> len(nuclei) == len(nuclei.points_xy)
    True
    """
    check_pen(tissue=tissue, pen=pen)
    source = source_of(image, mpp)
    wanted = None if region is None else region_of(region, source)
    if server is not None:
        if isinstance(model, Model):
            raise InputError(
                "A model of this process was given, and a server to search at. Leave out one, or "
                "name a detector of the server by its id."
            )
        name = None if model is None else str(model)
        return _at_server(source, server, name, wanted, masks, tissue, pen, only, progress)
    loaded = model if isinstance(model, Model) else load_model(model)
    info = loaded.info
    wanted_only = wanted_of(info, only)
    found = detect_image(
        source,
        loaded.detector,
        mpp=mpp_of(source),
        region=wanted,
        tissue=tissue,
        pen=pen,
        only=wanted_only,
        progress=progress,
    )
    about = info.made_by(info.decoding) | search_words(found.decoding)
    palette = tuple(info.categories)
    region = source.box if wanted is None else wanted
    nuclei = Nuclei(_columns(found, palette), palette, mpp_of(source), region, about)
    return with_masks(source, nuclei, loaded) if masks else nuclei


def region_of(region: Box | Sequence[float], source: ImageSource) -> Box:
    """A region of an image, cut to it.

    Raises
    ------
    InputError
        If it is no box, or nothing of the image lies in it.
    """
    try:
        box = region if isinstance(region, Box) else Box.from_sequence(region)
    except (TypeError, ValueError) as error:
        raise InputError(f"The region is {region!r}; expected (x0, y0, x1, y1) in px.") from error
    inside = box.clipped_to(source.box)
    if inside.width <= 0 or inside.height <= 0:
        raise InputError(
            f"The region {box.as_tuple()} holds nothing of {source.name}, whose pixels are "
            f"{source.box.as_tuple()}."
        )
    return inside


def _columns(found: Detections, palette: Sequence[Category]) -> Predictions:
    names = tuple(dict.fromkeys((*(c.name for c in palette), *found.categories)))
    place = {name: at for at, name in enumerate(names)}
    places = [place[name] for name in found.categories]
    return placed(found.points_xy, places, names, found.confidence, found.position_error_um)


def _at_server(
    source: ImageSource,
    server: str,
    model: str | None,
    region: Box | None,
    masks: bool,
    tissue: bool,
    pen: bool,
    only: Sequence[str],
    progress: Callable[[int, int], None],
) -> Nuclei:
    found = Found()
    with server_at(server) as client:
        request = DetectRequest(
            image=client.put_image(source),
            mpp=mpp_of(source),
            model=model,
            region=None if region is None else region.as_tuple(),
            masks=masks,
            tissue=tissue or None,
            pen=pen or None,
            only=list(only) or None,
            # Whoever works in a window on the same server goes first.
            priority="batch",
        )
        for event in client.detect(request):
            found.take(event)
            if isinstance(event, WindowDone):
                progress(event.done, event.total)
    if words := failed_words(found):
        raise InputError(f"{source.name}: {words}")
    assert found.started is not None  # every stream that is not cancelled begins with it
    info = found.started.model
    decoding = found.started.decoding
    about = info.made_by(decoding) | search_words(decoding) | {"server": server}
    palette = tuple(Category(c.name, c.color) for c in info.categories)
    return Nuclei(
        Predictions.of(found.nuclei()), palette, mpp_of(source), region or source.box, about
    )
