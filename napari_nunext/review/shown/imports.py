"""What the part that takes nuclei from files shows: what it proposes to do with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_nunext.store.imports.outside import Role


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What importing a file would do to the open image, and how to answer."""

    image_sha256: str
    title: str
    """What the file holds; one or two sentences."""
    effects: Mapping[Role, str]
    """What taking it as each does; a phrase."""
    changing: frozenset[Role]
    """As what it changes anything."""
    usual: Role
    """As what such a file is mostly meant."""
    absent: int
    """Nuclei of the image that a file which knows it does not hold."""
    choose: Callable[[Role, bool], None]
    """Do it, and whether the absent ones were deleted there."""
    cancel: Callable[[], None]


@dataclass(eq=False)
class ImportsModel:
    """What the panels show of files of nuclei."""

    proposal: Proposal | None = None
    """What waits for an answer of the user; None where nothing does."""
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    def forget_project(self) -> None:
        """Propose nothing for the project that was left."""
        reset(self)
