"""The model server as the app meets it: a process of its own, over HTTP.

Time to first points is that of a small checkpoint with random weights, in memory already: from
pressing Run on an image that the server has not seen, which is uploaded first, to the first points
in the client's hand. What weights say does not change what a step costs.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from PIL import Image
from skimage.data import immunohistochemistry

from benchmarks._harness import Claim, measure, report
from napari_nunext.images import open_image
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import DetectRequest, Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.client.client import Client

TILE_PX = 1000
MPP = 0.5
REPEATS = 5


def tile() -> NDArray[np.uint8]:
    """Real tissue of 1000 x 1000 px: the sample image, mirrored to size."""
    sample = immunohistochemistry()
    mirrored = np.pad(sample, ((0, TILE_PX - 512), (0, TILE_PX - 512), (0, 0)), mode="symmetric")
    return np.asarray(Image.fromarray(mirrored))


def first_points_s(client: Client, image: ImageSource, model: str) -> float:
    """Seconds from upload and request to the first points. The rest of the run is cancelled."""
    sha256 = image.id  # known since the image was opened
    run = str(uuid4())
    began = time.perf_counter()
    client.put_image(image)
    took = None
    for event in client.detect(DetectRequest(image=sha256, mpp=MPP, model=model, run=run)):
        if took is None and isinstance(event, Points):
            took = time.perf_counter() - began
            client.cancel(run)
    if took is None:
        raise RuntimeError("The checkpoint found nothing; build it with another seed.")
    return took


def upload_s(client: Client, image: ImageSource) -> float:
    """Seconds until the server has an image, whose id was known since it was opened."""
    _ = image.id
    began = time.perf_counter()
    client.put_image(image)
    return time.perf_counter() - began


def opened(folder: Path, rgb: NDArray[np.uint8]) -> ImageSource:
    """A tile as the app has it: opened from a file."""
    path = folder / f"{uuid4()}.png"
    Image.fromarray(rgb).save(path)
    return open_image(path)


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as folder:
        checkpoint = Path(folder, "tiny")
        build_checkpoint(checkpoint, size="tiny")
        began = time.perf_counter()
        with LocalServer([checkpoint]) as server:
            start_s = time.perf_counter() - began
            client = server.client()
            rgb = tile()
            shifted = [np.roll(rgb, 7 * i, axis=1) for i in range(3 * REPEATS + 1)]
            files = [opened(Path(folder), shifted.pop()) for _ in range(2 * REPEATS + 1)]
            file_s = [upload_s(client, files.pop()) for _ in range(REPEATS)]
            rows_s = [upload_s(client, tile_of_rgb(each, "tile")) for each in shifted]
            cold_s, *warm_s = (first_points_s(client, t, "tiny") for t in files)
            sha256 = client.put_image(files[0])
            classical = DetectRequest(image=sha256, mpp=MPP, model="classical")
            whole = measure(lambda: list(client.detect(classical)), repeats=REPEATS)
            with_masks = classical.model_copy(update={"masks": True})
            masks = measure(lambda: list(client.detect(with_masks)), repeats=2)
    report(
        "serving",
        [
            Claim("loop.first_points_s", float(np.median(warm_s)), goal=1.0, better="lower"),
            Claim("loop.classical_tile_s", whole.median_s, goal=2.0, better="lower"),
            Claim("loop.server_start_s", start_s, goal=2.0, better="lower"),
        ],
        details={
            "first_points_cold_s": cold_s,
            "classical_tile_with_masks_s": masks.median_s,
            "first_points_warm_s": warm_s,
            "upload_from_file_s": file_s,
            "upload_in_rows_s": rows_s,
        },
    )


if __name__ == "__main__":
    main()
