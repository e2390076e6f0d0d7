"""An image of a batch, from its file to what is to be searched of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import CalibrationError, StoreError
from napari_nunext.core.image.plausible import scale_doubt
from napari_nunext.review.fields import entry_of, known_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.review.batch.asked import Asked
    from napari_nunext.review.writer import JournalWriter
    from napari_nunext.store import ImageEntry, Project

GIB = 2**30
AT_ONCE = 2
"""Images side by side at each server: while one is sent, it is busy with the other."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How images are taken."""

    mpp: float | None = None
    """Micrometres per pixel of all of them; prevails over what files and project say."""
    although_doubtful: bool = False
    """Whether an image is searched at a scale that looks wrong."""
    at_once: int = AT_ONCE
    """Images side by side at each server."""
    bytes_in_flight: int = 2 * GIB
    """Pixels of all images together that are open; one that is larger is alone."""
    patience_s: float = 12 * 3600.0
    """How long a server or a drive may be away."""


@dataclass(eq=False, slots=True)
class Job:
    """An image that is to be searched."""

    path: Path
    entry: ImageEntry
    source: ImageSource
    windows_done: int = 0
    """When it was last begun."""
    tries: int = 0


class Taker:
    """Makes images known to the project, and finds out whether they were searched.

    Parameters
    ----------
    project, writer
        Open for writing, and the one thread that writes to it.
    asked : Asked
    options : BatchOptions
    say : callable
        Told a line about whatever a person should know.
    """

    def __init__(
        self,
        project: Project,
        writer: JournalWriter,
        asked: Asked,
        options: BatchOptions,
        say: Callable[[str], None],
    ) -> None:
        self._project = project
        self._writer = writer
        self._asked = asked
        self._options = options
        self._say = say

    def take(self, path: Path, image: ImageSource) -> Job | None:
        """Take an image; None where it was searched to its end.

        Raises
        ------
        ImageError
            If it cannot be read.
        CalibrationError
            If it has no scale, or one that looks wrong.
        StoreError
            If the project cannot be written, or knows it at another size.
        InputError
            If the region lies outside of it.
        """
        entry = self._writer.call(lambda: self._known(image, path.absolute()))
        self._check_scale(entry)
        runs = self._project.predictions(entry.sha256, no_nuclei=True)
        run = self._asked.run_of(entry, runs)
        if run is not None and run.status == "complete":
            return None
        for note in image.notes:
            self._say(f"{image.name}: {note}")
        return Job(path, entry, image)

    def _known(self, image: ImageSource, path: Path) -> ImageEntry:
        """The image as the project knows it from now on; one without a scale does not join it."""
        project, entry = self._project, entry_of(image, path, default_mpp=0.5)
        if entry.mpp_source == "assumed":
            entry = project.with_scale_of_all(entry)
            with suppress(StoreError):
                entry = project.image(entry.sha256)
        if entry.mpp_source == "assumed":
            raise CalibrationError(
                f"{entry.name} does not say its scale. Give the micrometres per pixel, "
                "for example --mpp 0.5 (20x) or --mpp 0.25 (40x)."
            )
        return known_to(project, entry, mpp=self._options.mpp)

    def _check_scale(self, entry: ImageEntry) -> None:
        """Refuse an image with a scale that looks wrong."""
        doubt = scale_doubt(
            entry.mpp, entry.width_px, entry.height_px, model_mpp=self._asked.started.model.mpp
        )
        if doubt and not self._options.although_doubtful:
            raise CalibrationError(
                f"{entry.name}: {doubt} Give the micrometres per pixel as --mpp, or search all "
                "the same with --yes."
            )
