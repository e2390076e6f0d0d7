"""Images of a list before any is searched: which were, and which have a scale that is in doubt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.core.image.plausible import scale_doubt
from napari_nunext.core.sentences import about
from napari_nunext.core.shapes.area import Area
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.review.batch.asked import Asked
    from napari_nunext.review.fields import FieldReader
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store import ImageEntry, Project


@dataclass(slots=True)
class Survey:
    """What was seen of the images."""

    searched: set[Path] = field(default_factory=set)
    """Those that were searched to their end in the way that is asked for."""
    assumed: dict[Path, str] = field(default_factory=dict)
    """Those whose scale nobody said: in words."""
    doubtful: dict[Path, str] = field(default_factory=dict)
    """Those whose scale looks like a slip: why."""

    def question(self, confirmed: set[Path]) -> tuple[str, str]:
        """What to ask a person, once for all, and each of it; empty where all is well."""
        parts, lines = [], []
        for doubts in (self.assumed, self.doubtful):
            new = [words for path, words in doubts.items() if path not in confirmed]
            if not new:
                continue
            others = len(new) - 1
            so = f" So it is with {others} other image{'' if others == 1 else 's'}."
            parts.append(new[0] + (so if others else ""))
            lines += new
        return " ".join(parts), "\n".join(lines)


def scale_words(entry: ImageEntry, model: ModelInfo) -> tuple[str, str]:
    """Why an image should not be searched unasked: nobody said its scale, or it looks wrong."""
    if entry.mpp_source == "assumed":
        return (f"{entry.name} does not say its scale: {entry.mpp:g} um/px is assumed.", "")
    doubt = scale_doubt(
        entry.mpp,
        entry.width_px,
        entry.height_px,
        model_mpp=model.mpp,
        window_px=model.window_px,
    )
    return "", about(entry.name, doubt) if doubt else ""


def survey(
    paths: Sequence[Path],
    known: Mapping[Path, ImageEntry],
    reader: FieldReader,
    asked: Asked,
    model: ModelInfo,
    stop: threading.Event,
    tell: Callable[[int], None],
) -> Survey:
    """Look through images; for a background thread.

    A file is read only where neither the window nor the project knows it. One that cannot be read
    is left for its turn, when that is said.

    Parameters
    ----------
    paths : sequence of Path
    known : mapping of Path to ImageEntry
        Images that the window has open.
    reader : FieldReader
    asked : Asked
    model : ModelInfo
        The detector.
    stop : threading.Event
        Ends it early.
    tell : callable
        Told how many were looked at.
    """
    project, seen = reader.project, Survey()
    reader.writer.call(lambda: None)  # what was done until now is in the project
    of_project = {entry.path: entry for entry in project.images()}
    for count, path in enumerate(paths):
        if stop.is_set():
            break
        tell(count)
        try:
            entry = known.get(path) or of_project.get(str(path)) or reader.look(path)
            if is_searched(project, entry, asked):
                seen.searched.add(path)
                continue
            assumed, doubtful = scale_words(entry, model)
        except (NunextError, OSError):
            continue
        if assumed:
            seen.assumed[path] = assumed
        if doubtful:
            seen.doubtful[path] = doubtful
    return seen


def is_searched(project: Project, entry: ImageEntry, asked: Asked) -> bool:
    """Whether a run in use has done what is asked of an image, as the project has it."""
    used: dict[str, UUID] = {}
    undone: set[UUID] = set()
    for event in project.journal(entry.sha256):
        if event.kind == "use_run":
            used[event.payload["run_id"]] = event.group
        elif event.kind == "undo":
            undone.add(event.target)
        elif event.kind == "redo":
            undone.discard(event.target)
    if not used:
        return False
    in_use = {run_id for run_id, group in used.items() if group not in undone}
    runs = [r for r in project.predictions(entry.sha256, no_nuclei=True) if r.run_id in in_use]
    drawn = regions_of(project.state(entry.sha256, no_runs=True)).values()
    area = Area.of(drawn, search_here=False)
    run = replace(asked, area_of=lambda _: area).run_of(entry, runs)
    return run is not None and run.status == "complete"
