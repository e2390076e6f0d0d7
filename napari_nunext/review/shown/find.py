"""What the part that finds nuclei shows: the model server, its models, how the search is going."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.core.naming import in_order
from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.shown.checks import Check
    from napari_nunext.serving.protocol import Health, ModelInfo


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """How the model server is."""

    phase: Literal["off", "starting", "ready", "failed"] = "off"
    words: str = "not started"
    details: str = ""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How the search for nuclei is going."""

    phase: Literal["idle", "starting", "running", "pausing", "stopping"] = "idle"
    found: int = 0
    windows_done: int = 0
    windows: int = 0
    seconds_left: float | None = None
    """Until the end of windows and outlines; None while unknown."""
    waiting: str = ""
    """What a search that has yet to begin waits for; one sentence."""
    image: Path | None = None
    """Which image is searched: not always the one that is open."""
    outlines_done: int = 0
    outlines: int = 0
    """How many nuclei are being outlined; 0 before their turn."""
    progress: float | None = None
    """How far windows and outlines are together, 0..1; None while nobody knows."""
    windows_left_out: int = 0
    """Windows of bare glass, which are not searched."""

    @property
    def busy(self) -> bool:
        """Whether a run holds the model."""
        return self.phase != "idle"


@dataclass(frozen=True, slots=True)
class PausedSearch:
    """A search of the open image that was broken off and can go on."""

    run_id: str
    windows_done: int
    windows: int


@dataclass(frozen=True, slots=True)
class Checkup:
    """What is well and what is not, on the way to the model."""

    phase: Literal["idle", "running", "done"] = "idle"
    checks: tuple[Check, ...] = ()
    """In the order in which they were made; those behind one that fails are not."""
    health: Health | None = None
    """What the server said of itself; None where it did not answer."""

    @property
    def well(self) -> bool:
        """Whether nothing was found to be wrong."""
        return all(check.passed for check in self.checks)

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        if self.phase == "running":
            return "Checking; a large model may take a minute."
        wrong = sum(not check.passed for check in self.checks)
        if wrong:
            return f"{wrong} thing{'' if wrong == 1 else 's'} to mend."
        return "All is well." if self.checks else ""


@dataclass(eq=False)
class FindModel:
    """What the panels show of finding."""

    server: ServerStatus = field(default_factory=ServerStatus)
    checkup: Checkup = field(default_factory=Checkup)
    models: tuple[ModelInfo, ...] = ()
    """The detectors that can be chosen."""
    model_id: str = ""
    """The detector that the next search uses; empty before one is known."""
    tissue: bool = False
    """Whether a search leaves out windows of bare glass."""
    pen: bool = False
    """Whether marks of a pen count as glass then."""
    only: tuple[str, ...] = ()
    """Categories that the next search is for alone; everything where there are none."""
    run: RunStatus = field(default_factory=RunStatus)
    paused_search: PausedSearch | None = None
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    @property
    def leaves_pen(self) -> bool:
        """Whether a search leaves out marks of a pen."""
        return self.tissue and self.pen

    @property
    def chosen(self) -> ModelInfo | None:
        """The detector that is chosen, as the server describes it; None where it does not."""
        return next((model for model in self.models if model.id == self.model_id), None)

    @property
    def asked(self) -> tuple[str, ...]:
        """`only`, as far as the chosen detector knows them."""
        known = () if self.chosen is None else tuple(c.name for c in self.chosen.categories)
        return in_order((name for name in self.only if name in known), known)

    def forget_project(self) -> None:
        """Show nothing of the project that was left; the server and the choice of a model stay."""
        reset(self, keep=("server", "models", "model_id", "tissue", "pen"))
