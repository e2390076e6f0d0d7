"""Reading an image into the review, and what is known of the images of a project."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError, StoreError
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.sentences import counted
from napari_nunext.images import open_image
from napari_nunext.images.picture import MAX_PIXELS
from napari_nunext.images.slides.slide import Slide
from napari_nunext.review.shown.checks import Check
from napari_nunext.review.shown.images import OpenField, QueueItem
from napari_nunext.review.shown.learn import Harvest
from napari_nunext.store import ImageEntry
from napari_nunext.store.exports.answers.gathering import judged_answers
from napari_nunext.store.exports.regions import complete_regions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.review.shown.images import ItemStatus
    from napari_nunext.review.writer import JournalWriter
    from napari_nunext.store import FieldState, Project

_TCGA_PATIENT = re.compile(r"TCGA-\w{2}-\w{4}")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedField:
    """An image that was read, registered with the project, and its review so far."""

    field: OpenField
    state: FieldState


def load_field(
    project: Project, writer: JournalWriter, path: Path, *, mpp: float | None, default_mpp: float
) -> LoadedField:
    """Read an image, make it known to the project, and fold its review so far.

    Parameters
    ----------
    mpp : float or None
        Scale that the user gave for this session; it prevails over the file's.
    default_mpp : float
        Scale where neither file nor user gives one; it is then marked as assumed.

    Raises
    ------
    ImageError, StoreError
        If the image cannot be read or the project cannot be written.
    """
    image = open_image(path, mpp=mpp)
    _check_that_it_can_be_shown(image)
    entry = entry_of(image, path, default_mpp)
    known = writer.call(lambda: known_to(project, entry, mpp=mpp))
    field, state = OpenField(known, image), project.state(known.sha256)
    state.nuclei.ground.get_ready()
    state.seen_in(field.box)  # here, and kept up from here: to accept the field is then no work
    return LoadedField(field, state)


@dataclass(frozen=True, slots=True)
class FieldReader:
    """Reads images of a project, at the scale that the person gave where they gave one."""

    project: Project
    writer: JournalWriter
    mpp: float | None
    default_mpp: float

    def load(self, path: Path) -> LoadedField:
        """Read an image and its review, as `load_field`."""
        return load_field(
            self.project, self.writer, path, mpp=self.mpp, default_mpp=self.default_mpp
        )

    def look(self, path: Path) -> ImageEntry:
        """An image as the project would know it; it is not made known."""
        image = open_image(path, mpp=self.mpp)
        entry = self.project.with_scale_of_all(entry_of(image, path, self.default_mpp))
        if self.mpp is None:
            with suppress(StoreError):
                return self.project.image(entry.sha256)
        return entry


def _check_that_it_can_be_shown(image: ImageSource) -> None:
    """Refuse what the canvas would read whole, and the memory does not hold."""
    width, height = image.box.width, image.box.height
    if width * height > MAX_PIXELS and not isinstance(image, Slide):
        raise ImageError(
            f"{image.name} is {width:.0f} x {height:.0f} px; the window shows up to "
            f"{MAX_PIXELS // 1_000_000} million pixels. Export the region to review as a TIFF."
        )


def known_to(project: Project, entry: ImageEntry, *, mpp: float | None) -> ImageEntry:
    """Add an image to a project, or find it again, with the scale that counts.

    That is the one that the user gave, else the project's, else the file's.
    """
    known = project.add_image(project.with_scale_of_all(entry))
    if mpp is None or mpp == known.mpp:
        return known
    project.set_scale(known.sha256, mpp, "user")
    return replace(known, mpp=mpp, mpp_source="user")


def entry_of(image: ImageSource, path: Path, default_mpp: float) -> ImageEntry:
    """An image as a project knows it; where nobody says its scale, that is marked as assumed."""
    assumed = image.scale.mpp is None
    return ImageEntry(
        sha256=image.id,
        path=str(path),
        name=image.name,
        width_px=round(image.box.width),
        height_px=round(image.box.height),
        mpp=default_mpp if image.scale.mpp is None else image.scale.mpp,
        mpp_source="assumed" if assumed else str(image.scale.source),
        patient=patient_of(image.name),
    )


def patient_of(name: str) -> str | None:
    """The patient that a TCGA barcode in an image's name stands for; None without one."""
    found = _TCGA_PATIENT.search(name)
    return found.group() if found else None


def status_of(state: FieldState) -> ItemStatus:
    """Where the review of an image stands.

    A flag asks for a second look and goes before all else; then what was accepted and has changed.
    What is *done* is accepted as it stands: exactly that is exported and learnt from.
    """
    if state.flagged:
        return "flagged"
    if state.changed:
        return "changed"
    return "done" if state.truth_regions else "open"


def status_in(project: Project, image_sha256: str) -> ItemStatus:
    """The status of an image; what models found is read only where somebody vouches for it."""
    said = project.state(image_sha256, no_runs=True)
    is_enough = said.flagged or not said.acceptances
    return status_of(said if is_enough else project.state(image_sha256))


def queue_items(project: Project, paths: Sequence[Path]) -> tuple[QueueItem, ...]:
    """The queue for these files, with what the project already knows of them."""
    known = {entry.path: entry.sha256 for entry in project.images()}
    items = []
    for path in paths:
        sha256 = known.get(str(path))
        status = "waiting" if sha256 is None else status_in(project, sha256)
        items.append(QueueItem(path, path.name, status, sha256=sha256 or ""))
    return tuple(items)


def harvest(project: Project) -> Harvest:
    """What people have done in this project, as training material: what an export would hold."""
    regions = complete_regions(project)
    corrections = sum(region.corrections for region in regions)
    nuclei = sum(region.count for region in regions)
    patients = {region.entry.patient or region.entry.sha256 for region in regions}
    checks = _checks(len(regions), nuclei, len(patients))
    judged = judged_answers(project)
    return Harvest(
        corrections, len(regions), nuclei, checks, len(judged.answers), judged.restricted
    )


def _checks(fields: int, nuclei: int, patients: int) -> tuple[Check, ...]:
    return (
        Check(fields > 0, counted(fields, "accepted field") if fields else "Accept a field first"),
        Check(nuclei > 0, f"{nuclei_in_words(nuclei)} to learn from"),
        Check(
            patients > 1,
            "Several patients: some are kept aside to test on"
            if patients > 1
            else "One patient only: the result cannot be tested on others",
            needed=False,
        ),
    )
