"""The review controller: the parts of a review, made and connected.

Panels, keys and scripts ask a part for what they want: ``controller.find.search()``. Every verb is
called on the main thread and returns at once. Slow work (reading, hashing, upload, search, saving,
export) happens elsewhere; its results arrive through ``on_main`` and show up in the models that
panels watch: ``controller.find.model``, and ``controller.model`` for what belongs to no part alone.
A further feature is a part of its own, and is made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.asking.asker import Asker
from napari_nunext.review.batch.all_images import AllImages
from napari_nunext.review.correcting.categories import CategoryEditor
from napari_nunext.review.correcting.deciding import Decider
from napari_nunext.review.correcting.nuclei import Corrector
from napari_nunext.review.correcting.rewinding import Rewinder
from napari_nunext.review.correcting.viewing import View
from napari_nunext.review.exporting import Exporter
from napari_nunext.review.finding.finding import Finder
from napari_nunext.review.finding.scale_check import ScaleCheck
from napari_nunext.review.learning.improving import Improver
from napari_nunext.review.learning.teaching import Teacher
from napari_nunext.review.learning.training import Trainer
from napari_nunext.review.opening.locating import Locator
from napari_nunext.review.opening.opening import Opener
from napari_nunext.review.opening.scaling import Scaler
from napari_nunext.review.opening.switching import Switcher
from napari_nunext.review.opening.taking import FileTaker
from napari_nunext.review.outlining.hand import Hand
from napari_nunext.review.outlining.outlining import Outliner
from napari_nunext.review.regions.files import RegionFiles
from napari_nunext.review.regions.marker import RegionMarker
from napari_nunext.review.session import Session
from napari_nunext.review.shown.all_images import AllImagesModel
from napari_nunext.review.shown.find import FindModel
from napari_nunext.review.shown.regions import RegionsModel
from napari_nunext.review.shown.stain import StainModel
from napari_nunext.review.shown.view import ViewModel
from napari_nunext.review.soundness import Soundness
from napari_nunext.review.staining.stainer import Stainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from napari_nunext.review.background import OnMain
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.store import Project

DEFAULT_MPP = 0.5
"""Assumed where neither the file nor the user says otherwise: a 20x objective."""


class ReviewController:
    """Open, find, correct, accept, export, train: a part for each.

    Parameters
    ----------
    open_project : callable
        Opens a review project by its file; called in the background.
    project_of : callable
        The file of the project that images belong to, before any is open; called in the background.
    server : ModelServer
        Where the model runs.
    executor : Executor
        Does the slow work.
    on_main : OnMain
        Runs a function on the main thread.
    models_dir : Path
        Where new models go; new answerers go beside it.
    default_mpp : float
        Scale of images that have none, marked as assumed.
    mpp : float, optional
        Scale that the user gave for this session; it prevails over the files'.
    writer_executor : Executor, optional
        Runs the writes to the project; a thread of its own by default.
    make_trainer : callable, optional
        Makes what runs a training.
    ratings : bool
        Whether answers to questions can be rated.

    Attributes
    ----------
    model : ReviewModel
        What the panels draw of the review as a whole.
    session : Session
        What the parts share: the project, its writer, the states, the line for notices.
    open : Switcher
        Images, folders, projects and files of nuclei, as people hand them in.
    images : Opener
        The queue: which image is shown, the next and the previous one.
    locate : Locator
        Images that are not where they were.
    imports : FileTaker
        Nuclei from files.
    scale : Scaler
        Micrometres per pixel.
    find : Finder
        The model server, the models, the search.
    find_all : AllImages
        The search of all images of the list, one after another.
    regions : RegionMarker
        Regions and their figures.
    region_files : RegionFiles
        Regions from files and into files, and from tissue.
    stain : Stainer
        How brown nuclei are, and which are positive.
    view : View
        The tool, what is selected, what is drawn.
    correct : Corrector
        Nuclei added, moved, deleted, relabelled; comments and flags.
    categories : CategoryEditor
        The categories.
    history : Rewinder
        Undo and redo.
    outline : Outliner
        Outlines that a model draws, and clicks that correct them.
    hand : Hand
        Outlines that a person draws.
    decide : Decider
        Accepting and reopening.
    ask : Asker
        Questions, answers, and what people say of these.
    learn : Improver
        Training, and the new model.
    teach : Teacher
        Answerers that learn from what people said of answers.
    export : Exporter
        Nuclei for other programs, and training data.
    """

    def __init__(
        self,
        open_project: Callable[[Path], Project],
        project_of: Callable[[Sequence[Path]], Path],
        server: ModelServer,
        executor: Executor,
        on_main: OnMain,
        *,
        models_dir: Path,
        default_mpp: float = DEFAULT_MPP,
        mpp: float | None = None,
        writer_executor: Executor | None = None,
        make_trainer: Callable[[], Trainer] = Trainer,
        ratings: bool = True,
    ) -> None:
        self._server = server
        session = self.session = Session(executor, on_main, writer=writer_executor)
        self.model = session.model
        find, view = FindModel(), ViewModel()
        scale_check = ScaleCheck(session, find)
        self.find = Finder(session, find, view, server, scale_check)
        self.view = View(session, view)
        self.regions = RegionMarker(session, RegionsModel())
        self.region_files = RegionFiles(session, self.regions)
        self.stain = Stainer(session, StainModel(), view)
        self.correct = Corrector(session)
        self.categories = CategoryEditor(session, view, self.correct)
        self.hand = Hand(session, view)
        self.outline = Outliner(session, server, self.hand, find, view)
        self.ask = Asker(session, server, self.find, self.view, ratings=ratings)
        soundness = Soundness(session)
        self.export = Exporter(session, soundness)
        self.learn = Improver(session, self.find, self.export, soundness, models_dir, make_trainer)
        self.teach = Teacher(
            session,
            server,
            self.ask.model,
            self.ask.answerers,
            self.export,
            soundness,
            models_dir.with_name("answerers"),
            make_trainer,
        )
        self.images = Opener(
            session,
            view,
            soundness,
            lambda paths: open_project(project_of(paths)),
            mpp=mpp,
            default_mpp=default_mpp,
        )
        all_images = AllImagesModel()
        self.find_all = AllImages(session, all_images, self.find, view, server, self.images.reader)
        self.decide = Decider(session, view, self.find, self.images.next)
        self.scale = Scaler(session, self.find, scale_check)
        self.history = Rewinder(session, self.images.go_to_image)
        self.locate = Locator(session, self.images)
        self.imports = FileTaker(session, self.find, self.images)
        self.open = Switcher(
            session,
            self.images,
            self.imports,
            self.locate,
            self.find,
            self.find_all,
            self.learn,
            self.teach,
            self.ask,
            open_project,
        )
        # After the parts: what they hear of their models then finds nothing that waits.
        shown_by = (self.ask, self.learn, self.teach, self.imports, self.regions, self.stain)
        for shown in (view, find, all_images, *(part.model for part in shown_by)):
            session.left.connect(shown.forget_project)
        self.correct.corrected.connect(self.outline.follow)
        self.images.shown.connect(self.scale.mention)
        self.images.read.connect(self.history.resume)
        self.images.not_read.connect(self.history.not_read)
        self._closed = False

    def close(self, timeout_s: float = 10.0) -> bool:
        """End the review: wait for what is being saved, and let go of the server.

        Returns
        -------
        bool
            False when something could not be saved in time.
        """
        if self._closed:
            return True
        self._closed = True
        self.find_all.pause()
        self.find.pause()
        self.ask.close()
        self.learn.stop()
        self.teach.stop()
        self.open.close()
        saved = self.session.writer.close(timeout_s)
        self._server.stop()
        if self.session.has_project:
            self.session.project.close()
        return saved
