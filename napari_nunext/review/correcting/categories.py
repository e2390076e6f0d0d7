"""What a person does with the categories: choose, show, add, rename, recolour, merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import Category
from napari_nunext.review.colors import next_color
from napari_nunext.review.model import Notice
from napari_nunext.review.table import NucleusTable
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.correcting.nuclei import Corrector
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.store import FieldState


class CategoryEditor:
    """The part of the review that has the categories; each change of them is one gesture."""

    def __init__(self, session: Session, view: ViewModel, corrector: Corrector) -> None:
        self._session = session
        self._review = session.model
        self._view = view
        self._corrector = corrector
        session.renamed.connect(self._follow)

    def choose(self, name: str) -> None:
        """Category of new nuclei, and of the selected ones at once."""
        self._review.current_category = name
        if self._view.selected:
            self._corrector.relabel(self._view.selected, name)

    def show(self, name: str, shown: bool) -> None:
        """Show or hide the nuclei of a category."""
        hidden = self._view.hidden_categories
        self._view.hidden_categories = hidden - {name} if shown else hidden | {name}

    def count(self, name: str, tell: Callable[[int, int], None]) -> None:
        """Count the nuclei of a category in the whole project: how many, in how many images.

        Images that were not opened are read, in the background.
        """
        session = self._session
        if not session.has_project:
            return
        project, writer = session.project, session.writer

        def look() -> list[int]:
            writer.call(lambda: None)  # after all that is on its way to the disk
            states = [project.state(entry.sha256) for entry in project.images()]
            return [_count(state, name) for state in states]

        session.background.run(
            look, lambda counts: tell(sum(counts), sum(count > 0 for count in counts))
        )

    def add(self, name: str) -> None:
        """A further category, in a colour of its own, for new nuclei from now on."""
        name = name.strip()
        if not name or not self._review.categories:
            return
        known = self._known(name)
        if known is None:
            color = next_color([c.color for c in self._review.categories])
            self._session.commit_to_project([events.add_category(Category(name, color))])
        self._review.current_category = known or name

    def recolor(self, name: str, color: tuple[int, int, int]) -> None:
        """Draw a category in another colour; one that another has is refused."""
        others = {c.color: c.name for c in self._review.categories if c.name != name}
        if color in others:
            self._session.notify(
                Notice(f"{others[color]} has this colour already. Choose another.", "warning")
            )
        elif Category(name, color) not in self._review.categories and self._known(name) == name:
            self._session.commit_to_project([events.recolor_category(name, color)])

    def rename(self, name: str, to: str) -> None:
        """Call a category something else, in every image; ask where the name is taken."""
        to = to.strip()
        known = self._known(to)
        if not to or to == name or self._known(name) != name:
            return
        if known is not None and known != name:
            self._session.notify(
                Notice(
                    f"There is a category {known} already.",
                    "warning",
                    f"Merge {name} into it",
                    lambda: self.merge(name, known),
                )
            )
            return
        self._session.commit_to_project([events.rename_category(name, to)])

    def merge(self, name: str, into: str) -> None:
        """Make the nuclei of a category those of another, in every image, and let it go.

        What a model finds later and calls by that name is of the other category too.
        """
        if name != into and self._known(name) == name and self._known(into) == into:
            self._session.commit_to_project([events.rename_category(name, into)])

    def _follow(self, renamed: dict[str, str]) -> None:
        """Keep hidden what was; what was merged is as that is which it was merged into."""
        hidden, listed = self._view.hidden_categories, {c.name for c in self._review.categories}
        now = {renamed[name] for name in hidden & renamed.keys()} - listed
        if hidden & renamed.keys():
            self._view.hidden_categories = (hidden - renamed.keys()) | now

    def _known(self, name: str) -> str | None:
        """A category of this name as it is written, large and small letters alike."""
        folded = name.strip().casefold()
        names = [c.name for c in self._review.categories]
        return next((known for known in names if known.casefold() == folded), None)


def _count(state: FieldState, name: str) -> int:
    return NucleusTable.empty().after(state).counts().get(name, 0)
