"""Lists to choose from, such as subtypes, that a project keeps by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.review.background import in_words
from napari_nunext.store import events
from napari_nunext.store.kinds.answers import kept_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.ask import AskModel


class OptionLists:
    """The room of the lists that the project keeps."""

    def __init__(self, session: Session, model: AskModel) -> None:
        self._session = session
        self._model = model
        session.model.events.project.connect(self._show)

    def _show(self) -> None:
        kept = kept_options(self._session.of_project)
        self._model.kept = MappingProxyType(kept)

    def keep(self, name: str, options: Sequence[str]) -> None:
        """Keep a list under a name, in the place of one of that name; an empty one forgets it."""
        if not self._session.has_project:
            return
        wanted = [option.strip() for option in options if option.strip()]
        try:
            event = events.keep_options(name.strip(), wanted)
        except InputError:
            self._session.notify(
                in_words(InputError("A list needs a name, and 26 lines of text at most."))
            )
            return
        self._session.commit_to_project([event])
        self._show()
