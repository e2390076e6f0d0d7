"""Detection in many images into a review project, from the command line."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from napari_nunext.commands.detect import areas_of, find_model, model_folder
from napari_nunext.commands.export import reader_name
from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.naming import in_order, only_words
from napari_nunext.core.process.asked import Search
from napari_nunext.core.process.ray_cluster import check_ray
from napari_nunext.core.sentences import counted
from napari_nunext.core.shapes.area import EVERYTHING, Area
from napari_nunext.images import find_images
from napari_nunext.review.batch.asked import ask_for
from napari_nunext.review.batch.batch import Batch
from napari_nunext.review.batch.stations import Station
from napari_nunext.review.batch.taking import AT_ONCE, BatchOptions
from napari_nunext.review.finding.servers import SharedServer
from napari_nunext.review.writer import JournalWriter
from napari_nunext.serving.client.local_server import (
    TOKEN_VARIABLE,
    LocalServer,
)
from napari_nunext.store import Project
from napari_nunext.store.kinds.regions import regions_of
from napari_nunext.store.tables.migrations import copied_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.core.process.ray_cluster import RayCluster
    from napari_nunext.review.batch.asked import Asked
    from napari_nunext.review.batch.tally import BatchProgress
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.model import SaveStatus
    from napari_nunext.store import ImageEntry

AT_ONCE_ON_RAY = 8
"""Images side by side on a cluster: the windows of small ones would leave workers without any."""
CLOSE_S = 60.0
"""How long what is found may take to be written at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectOptions(Search):
    """What to search for, with what, and where it is kept."""

    project: Path
    """Made where it is not there."""
    only: tuple[str, ...] = ()
    """Categories that are searched for alone; everything where there are none."""
    regions: Path | None = None
    """GeoJSON of where to search, or a folder with one for each image."""
    servers: tuple[str, ...] = ()
    """Addresses of model servers; one of our own where there are none."""
    ray: RayCluster | None = None
    """Whose workers search, in place of our own server."""
    model_paths: tuple[Path, ...] = ()
    precision: Precision = "auto"
    although_doubtful: bool = False
    """Whether images are searched at a scale that looks wrong."""


def detect_into_project(
    paths: Sequence[Path],
    options: ProjectOptions,
    *,
    say: Callable[[str], None],
    tell: Callable[[BatchProgress], None],
) -> list[Path]:
    """Search images, and record in a project what is found, window by window.

    What was searched before in the same way is not searched again, and what was broken off goes on.

    Parameters
    ----------
    paths : sequence of Path
        Images and folders of images.
    options : ProjectOptions
    say : callable
        Told a line about whatever a person should know.
    tell : callable
        Told how far it is, often.

    Returns
    -------
    list of Path
        The images that could not be searched, or only in parts.

    Raises
    ------
    InputError, MissingPackageError
        Before any work: if there is no image, the model is not there, or servers differ.
    ProjectLockedError
        If a window or another batch has the project open.
    StoreError, ServerError
        If the project cannot be written, or all servers stay away.
    KeyboardInterrupt
        If a person stops it, once `say` was told what there is.
    """
    if options.mpp is not None:
        check_mpp(options.mpp, "--mpp")
    if options.ray is not None:
        check_ray()
    files = find_images(paths)
    areas = {str(path.absolute()): a for path, a in areas_of(files, options.regions).items()}
    with ExitStack() as stack:
        project, writer = stack.enter_context(_opened(options.project, say))
        stations, asked = _stations(options, stack)
        if words := only_words(asked.started.decoding):
            say(words)
        asked = replace(asked, area_of=_areas(project, areas))
        batch = Batch(
            project,
            writer,
            stations,
            asked,
            BatchOptions(
                mpp=options.mpp,
                although_doubtful=options.although_doubtful,
                at_once=AT_ONCE if options.ray is None else AT_ONCE_ON_RAY,
            ),
            say=say,
            tell=tell,
        )
        try:
            failed = batch.search(files).failed
        except KeyboardInterrupt:
            done = batch.progress.searched + batch.progress.known
            say(
                f"Stopped. {counted(done, 'image')} of {len(files)} are searched; the same command "
                "goes on from there."
            )
            raise
        if known := batch.progress.known:
            say(f"{counted(known, 'image')} had been searched before in the same way.")
    return failed


@contextmanager
def _opened(path: Path, say: Callable[[str], None]) -> Iterator[tuple[Project, JournalWriter]]:
    """A project, made where there is none, and its writer; at the end all is written."""
    problems: list[str] = []

    def follow(status: SaveStatus) -> None:
        if status.phase == "failed" and status.problem not in problems:
            problems.append(status.problem)
            say(status.problem)
        elif status.phase == "saved":
            problems.clear()

    with Project.open(path, annotator=reader_name()) as project:
        if project.copy_of_before is not None:
            say(copied_words(path, project.copy_of_before))
        writer = JournalWriter(follow, on_rest=project.checkpoint)
        try:
            yield project, writer
        finally:
            saved = writer.close(CLOSE_S)
        if problems or not saved:
            raise StoreError(
                f"Not all that was found is in {path.name}. Run the same command again."
            )


def _areas(project: Project, given: Mapping[str, Area]) -> Callable[[ImageEntry], Area]:
    """What is searched of an image: what is `given` by its path, never what its project leaves out.

    Nobody else changes the project meanwhile, so a region is read once.
    """

    @cache
    def area_of(sha256: str, path: str) -> Area:
        drawn = regions_of(project.state(sha256, no_runs=True)).values()
        left_out = Area.of(drawn, search_here=False).without
        file = given.get(path, EVERYTHING)
        return Area(file.within, (*file.without, *left_out))

    return lambda entry: area_of(entry.sha256, entry.path)


def _stations(options: ProjectOptions, stack: ExitStack) -> tuple[list[Station], Asked]:
    """The servers, and what they are asked; all have to do it in the same way."""
    folder = model_folder(options.model)
    if options.servers:
        if options.ray is not None:
            raise InputError("--ray and --server are two ways to search. Give one of them.")
        if options.model_paths:
            raise InputError(
                "--models is for a server of our own; those of --server have their own models."
            )
        token = os.environ.get(TOKEN_VARIABLE)
        servers: list[ModelServer] = [SharedServer(url, token) for url in options.servers]
    else:
        paths = [path.absolute() for path in (*options.model_paths, *([folder] if folder else []))]
        servers = [LocalServer(paths, precision=options.precision, ray=options.ray)]
    stations: list[Station] = []
    first: Asked | None = None
    region = None if options.region is None else Box.from_sequence(options.region)
    for server in servers:
        stack.callback(server.stop)
        client = server.client()
        model = find_model(client, options.model, folder)
        asked = ask_for(
            client,
            model,
            masks=options.masks,
            tissue=options.tissue,
            region=region,
            pen=options.pen,
            only=in_order(options.only, [category.name for category in model.categories]),
        )
        first = first or asked
        if first.differs_from(asked):
            raise InputError(
                f"{client.url} and {stations[0].name} would search differently: their models, "
                "arithmetic (--dtype) or settings are not the same. Use servers that are alike."
            )
        name = "of this batch" if not options.servers else f"at {client.url}"
        stations.append(Station(server, model.id, name))
    assert first is not None
    return stations, first
