"""Try the whole way to the model, and say in words where it ends.

From here to there: is a server reached, is it of this version, does it know us, is it well, has it
the model, and does the model find anything in a small picture. What lies behind a check that fails
is not tried, for it could only fail too.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.errors import ServerError
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.review.shown.checks import Check
from napari_nunext.review.shown.find import Checkup
from napari_nunext.serving.protocol import DetectRequest, Done, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.protocol import Health, ModelInfo

MIB = 2**20
LEAST_DISK_BYTES = 1024 * MIB
TRIAL_MPP = 0.5


def examine(connect: Callable[[], Client], *, model_id: str, folder: Path | None) -> Checkup:
    """Check everything, in a background thread: it may take as long as loading a model.

    Parameters
    ----------
    connect : callable
        A client of the server, which is started if it is ours.
    model_id : str
        The detector to try; the server's default if empty.
    folder : Path, optional
        Where the review is kept.

    Returns
    -------
    Checkup
        A check for each thing tried, in that order.
    """
    checks: list[Check] = []
    health = None
    try:
        for check in _ways(connect, model_id):
            if isinstance(check, Check):
                checks.append(check)
            else:
                health = check
    except ServerError as error:
        checks.append(Check(False, str(error)))
    if folder is not None:
        checks.append(disk_check(folder))
    return Checkup("done", tuple(checks), health)


def disk_check(folder: Path) -> Check:
    """Whether there is room for the review."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(False, f"The disk of your review cannot be read ({error.strerror}).")
    if free < LEAST_DISK_BYTES:
        return Check(
            False,
            f"The disk that holds your review has {free / MIB:.0f} MiB left. Free some space: "
            "when it is full, corrections can not be saved.",
        )
    return Check(True, "There is room on the disk for your review")


def _ways(connect: Callable[[], Client], model_id: str) -> Iterator[Check | Health]:
    """The checks, as far as they lead; an error ends them."""
    client = connect()
    health = client.health()
    yield health
    yield Check(True, "The model server answers")
    yield _version_check(health.version)
    if health.device is None:
        yield Check(
            False,
            "The server does not know the token. Ask whoever runs it, and put the token under "
            "Preferences, NuNext, Server.",
        )
        return
    models = [m for m in client.models() if m.kind == "detector"]
    yield Check(True, f"It lets you in, and runs models on {health.device}")
    if health.status == "draining":
        yield Check(False, "The server is about to stop. Wait until it has been started again.")
        return
    for problem in health.problems:
        yield Check(False, problem)
    if not health.problems:
        yield Check(True, "It has memory and disk space")
    model = _chosen(models, model_id)
    yield _model_check(model, models, model_id)
    if model is not None and model.problem is None:
        yield _trial(client, model)


def _version_check(version: str) -> Check:
    """Same major and minor version, by which the protocol goes."""
    if version.split(".")[:2] == __version__.split(".")[:2]:
        return Check(True, f"Its version fits ({version})")
    return Check(
        False,
        f"The server has version {version} and this window {__version__}. "
        "Update the older one: pip install -U napari-nunext.",
    )


def _chosen(models: list[ModelInfo], model_id: str) -> ModelInfo | None:
    return next((m for m in models if (m.id == model_id if model_id else m.default)), None)


def _model_check(model: ModelInfo | None, models: list[ModelInfo], model_id: str) -> Check:
    if model is None:
        known = ", ".join(m.name for m in models if m.problem is None) or "none"
        what = f"the model {model_id}" if model_id else "a default model"
        return Check(False, f"The server does not have {what}. It offers: {known}.")
    if model.problem is not None:
        return Check(False, model.problem)
    return Check(True, f"{model.name} is there")


def _trial(client: Client, model: ModelInfo) -> Check:
    """Search a small picture."""
    began = time.perf_counter()
    last = None
    rgb = trial_rgb()
    sha256 = client.put_image(tile_of_rgb(rgb, "trial"))
    for event in client.detect(DetectRequest(image=sha256, mpp=TRIAL_MPP, model=model.id)):
        last = event
    if isinstance(last, Failed):
        return Check(False, last.message)
    if not isinstance(last, Done):
        return Check(False, f"{model.name} broke off its answer. Try again.")
    took_s = time.perf_counter() - began
    return Check(True, f"{model.name} answers: a small picture took {took_s:.1f} s")


def trial_rgb() -> NDArray[np.uint8]:
    """Four purple discs on pink, 64 x 64 px."""
    rgb = np.full((64, 64, 3), (235, 200, 220), dtype=np.uint8)
    y, x = np.mgrid[:64, :64] + 0.5
    rgb[np.hypot(x % 32 - 16, y % 32 - 16) < 7] = (90, 50, 140)
    return rgb
