"""A vision-language model in a folder, which this process runs itself.

Its questions take turns with the detector, a token at a time, in the one thread in which models
run: they share memory and cores, so that two at a time would both be slower, and a question gets
its fair share of a long search. torch is imported with the first question.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.process.collector import collector_at_rest
from napari_nunext.models.answerers.about import reads_nuclei, taught_allocation, taught_budget
from napari_nunext.models.checkpoints.integrity import (
    check_adapter_files,
    check_weight_files,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.answerers.about import Allocation
    from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
    from napari_nunext.models.answerers.loaded import LoadedAnswerer

KEPT_IN_MEMORY = 1
"""Answerers are large; who asks two by turns waits for each to be loaded again."""


class InMemory:
    """The models of folders that are in memory. For the models' thread.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        Their arithmetic; by the device when ``"auto"``.
    """

    def __init__(self, precision: Precision = "auto") -> None:
        self._precision = precision
        self._loaded: OrderedDict[AnswererFolder, LoadedAnswerer] = OrderedDict()

    def take(self, place: AnswererFolder) -> LoadedAnswerer:
        """The model, loaded where it is not; the one used longest ago makes room for it.

        Raises
        ------
        CheckpointError
            If it cannot be loaded.
        """
        if place not in self._loaded:
            with collector_at_rest():
                from napari_nunext.models.answerers.loaded import load_answerer

                while len(self._loaded) >= KEPT_IN_MEMORY:
                    self._loaded.popitem(last=False)  # first: there may be no room for both
                self._loaded[place] = load_answerer(place, self._precision)
        self._loaded.move_to_end(place)
        return self._loaded[place]


class FolderAnswerer:
    """The model of a folder; an `Answerer`.

    Parameters
    ----------
    place : AnswererFolder
        The side of its image token is taken from its configuration, where that has one. Whether
        it reads nuclei is taken from its training, where nobody said.
    memory : InMemory
        Shared by all answerers of a server.
    """

    apart = False

    def __init__(self, place: AnswererFolder, memory: InMemory) -> None:
        self._unclear = ""
        """Why it is not known whether it reads nuclei, or what it may choose."""
        self._memory = memory
        reads, budget, allocation = False, None, None
        try:
            reads = reads_nuclei(place)
            budget = taught_budget(place)
            if place.allocator is not None:
                allocation = taught_allocation(place.allocator)
        except CheckpointError as error:
            self._unclear = str(error)
        patch_px = token_px(place.folder) or place.patch_px
        self.address = replace(place, patch_px=patch_px, reads_nuclei=reads, budget=budget)
        self.allocator: FolderAllocator | None = None
        if allocation is not None:
            self.allocator = FolderAllocator(self.address, memory, allocation)

    def problem(self) -> str | None:
        """Why it cannot be asked, in a sentence, as far as its files tell."""
        try:
            check_weight_files(self.address.folder)
            read_json(self.address.folder / "config.json")
            for additions in (self.address.adapter, self.address.allocator):
                if additions is not None:
                    check_adapter_files(additions)
        except CheckpointError as error:
            return str(error)
        except OSError as error:
            return f"{self.address.model} cannot be read ({error.strerror})."
        return self._unclear or None

    def answer(
        self,
        rgb: NDArray[np.uint8],
        prompt: str,
        system: str,
        sampling: AnswerSampling,
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[Said | Ended | None]:
        """Answer, token by token; see `Answerer.answer`. In the models' thread."""
        if self._unclear:
            raise CheckpointError(self._unclear)
        model = self._memory.take(self.address)
        yield None  # whoever waited while it was loaded has a turn
        yield from model.answer(rgb, prompt, system, sampling, cancelled=cancelled)

    def close(self) -> None:
        """Nothing is under way once the models' thread has ended."""


class FolderAllocator:
    """The allocator of a folder's model; an `Allocator`. For the models' thread.

    Parameters
    ----------
    place : AnswererFolder
        Of both.
    memory : InMemory
        Both are one model there.
    allocation : Allocation
    """

    def __init__(self, place: AnswererFolder, memory: InMemory, allocation: Allocation) -> None:
        self._place, self._memory = place, memory
        self.allocation = allocation

    def choose(
        self,
        thumbnail_rgb: NDArray[np.uint8],
        question: Question,
        menu: Sequence[int],
        *,
        current_tokens: int,
        most_tokens: int,
    ) -> Iterator[int | None]:
        """Choose; see `Allocator.choose`."""
        model = self._memory.take(self._place)
        yield None  # whoever waited while it was loaded has a turn
        from napari_nunext.models.answerers.allocator import choose_tokens

        with model.allocating():
            chosen = choose_tokens(
                model,
                thumbnail_rgb,
                question,
                menu,
                current_tokens=current_tokens,
                most_tokens=most_tokens,
            )
        yield chosen


def token_px(folder: Path) -> int | None:
    """Side of an image token, where the configuration says it; a broken one is told of later."""
    try:
        vision = read_json(folder / "config.json").get("vision_config")
    except CheckpointError:
        return None
    sides = vision if isinstance(vision, dict) else {}
    patch, merge = sides.get("patch_size"), sides.get("spatial_merge_size")
    return patch * merge if isinstance(patch, int) and isinstance(merge, int) else None
