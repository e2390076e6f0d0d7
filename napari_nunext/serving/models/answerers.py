"""The answerers of a server, as requests see them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_nunext.core.answers.answerer import AnswererAddress
from napari_nunext.serving.addresses import is_loopback
from napari_nunext.serving.ask_protocol import AnswererInfo
from napari_nunext.serving.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.answerer import AnswererPlace
    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.answerers.answerer import Answerer


class Answerers:
    """Those that a server was started with.

    Parameters
    ----------
    places : sequence of AnswererPlace
        Each with a name of its own.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of those in folders.
    """

    def __init__(
        self, places: Sequence[AnswererPlace] = (), *, precision: Precision = "auto"
    ) -> None:
        self._answerers: dict[str, Answerer] = {}
        if places:  # else nothing is to be imported before the server listens
            from napari_nunext.models.answerers.chat import ChatAnswerer
            from napari_nunext.models.answerers.folder import FolderAnswerer, InMemory

            memory = InMemory(precision)
            self._answerers = {
                place.name: ChatAnswerer(place)
                if isinstance(place, AnswererAddress)
                else FolderAnswerer(place, memory)
                for place in places
            }

    def describe_all(self) -> list[AnswererInfo]:
        """Every answerer; asks each of their servers, all at once. Not for the loop's thread."""
        every = list(self._answerers.values())
        with ThreadPoolExecutor(max_workers=max(len(every), 1)) as pool:
            problems = pool.map(lambda each: each.problem(), every)
        return [
            describe(each.address, problem) for each, problem in zip(every, problems, strict=True)
        ]

    def choose(self, id_: str) -> Answerer:
        """The one that a request names.

        Raises
        ------
        Refusal
            404 where there is none of this id.
        """
        answerer = self._answerers.get(id_)
        if answerer is None:
            known = ", ".join(self._answerers)
            other = f"Choose one of: {known}." if known else "Start the server with --answerer."
            raise Refusal(404, "unknown_answerer", f"There is no answerer {id_!r}. {other}")
        return answerer

    def close(self) -> None:
        """Hang up on all of them."""
        for answerer in self._answerers.values():
            answerer.close()


def describe(address: AnswererPlace, problem: str | None = None) -> AnswererInfo:
    """What callers are told of an answerer; never its key."""
    return AnswererInfo(
        id=address.name,
        model=address.model,
        host=address.host,
        local=is_loopback(address.host),
        may_train=address.may_train,
        boxes=address.boxes,
        thought=address.thought,
        patch_px=address.patch_px,
        reads_nuclei=bool(address.reads_nuclei),
        allocates=address.allocates,
        budget=address.budget,
        problem=problem,
    )
