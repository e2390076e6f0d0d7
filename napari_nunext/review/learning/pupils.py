"""Answerers that can be taught: those in a folder of this machine, and what they become."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from napari_nunext.core.answers.answerer import AnswererFolder, parse_answerer
from napari_nunext.core.errors import InputError
from napari_nunext.review.shown.teach import Pupil
from napari_nunext.serving.client.answerers import at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

SMALL_BYTES = 400e6
"""Weights of an answerer that two CPU cores teach in minutes: 100 million numbers of 4 bytes."""
SMALL, LARGE = "ask_feedback", "ask_feedback_7b"
"""Recipes: for all weights of a small answerer, and for additions to a large one."""
LONGEST_NAME = 64
_NUMBER = re.compile(r"-\d+$")


class Pupils(NamedTuple):
    """The answerers of a model server that was started here."""

    pupils: tuple[Pupil, ...]
    addresses: int
    """How many are elsewhere."""


def pupils_of(texts: Sequence[str], device: Callable[[], str]) -> Pupils:
    """Who can be taught, of answerers as a command line names them.

    Parameters
    ----------
    texts : sequence of str
    device : callable
        Says what models run on, "cpu" for one; asked only where that matters.
    """
    folders, addresses = [], 0
    for text in texts:
        place = parse_answerer(text)
        if isinstance(place, AnswererFolder):
            folders.append(Pupil(place.name, _problem(text, device)))
        else:
            addresses += 1
    return Pupils(tuple(folders), addresses)


def place_of(texts: Sequence[str], name: str) -> AnswererFolder:
    """The answerer of this name, wherever this process goes.

    Raises
    ------
    InputError
        If it is not there any more.
    """
    text = next((each for each in texts if _name(each) == name), None)
    if text is None:
        raise InputError(f"There is no answerer {name} any more. Add it again in the Ask tab.")
    place = at_hand(text)
    if not isinstance(place, AnswererFolder):
        raise InputError(f"{name} is at an address, and cannot be taught from here.")
    return place


def recipe_for(place: AnswererFolder) -> str:
    """The recipe that fits the size of its weights."""
    return SMALL if _weight_bytes(place.folder) <= SMALL_BYTES else LARGE


def trains_additions(place: AnswererFolder, recipe: str) -> bool:
    """Whether additions to its folder are trained, so that the folder stays part of the new one."""
    return place.adapter is not None or recipe == LARGE


def _problem(text: str, device: Callable[[], str]) -> str:
    try:
        place = at_hand(text)
        assert isinstance(place, AnswererFolder)
        size = _weight_bytes(place.folder)
    except (InputError, OSError) as error:
        return f"{_name(text)} cannot be taught: {error}"
    if not size:
        return f"{place.name} has no weights in its folder. Copy the folder again."
    if size > SMALL_BYTES and device() == "cpu":
        return (
            f"{place.name} has {size / 1e9:.1f} GB of weights: that takes a GPU, and here it would "
            "take weeks. Export the training data, and teach it with nunext-train where there is "
            "a GPU."
        )
    return ""


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _name(text: str) -> str:
    return text.partition("=")[0].strip()


# What they become


def next_name(name: str, taken: Collection[str]) -> str:
    """The parent's name with the next free number.

    >>> next_name("patho", {"patho"})
    'patho-2'
    >>> next_name("patho-2", {"patho", "patho-2"})
    'patho-3'
    >>> next_name("patho-7", {"patho-7"})
    'patho-7-2'
    """
    root = _NUMBER.sub("", name)
    if root not in taken:
        root = name
    number = 2
    while (new := f"{root[: LONGEST_NAME - len(str(number)) - 1]}-{number}") in taken:
        number += 1
    return new


def text_of(
    parent: AnswererFolder, name: str, made: Path, *, additions: bool, reads_nuclei: bool
) -> str:
    """What a command line says of a new answerer; its licence and conventions are its parent's.

    Parameters
    ----------
    parent : AnswererFolder
    name : str
    made : Path
        What the training made: a whole folder, or additions to the parent's.
    additions : bool
        Which of the two.
    reads_nuclei : bool
        Whether it is told the nuclei of the region, as its parent is.

    Raises
    ------
    InputError
        If a path cannot be said so.
    """
    for path in (parent.folder, made):
        if "," in str(path):
            raise InputError(
                f"The path {path} has a comma in it, and no answerer can be there. Set "
                "NAPARI_NUNEXT_HOME to a folder without one."
            )
    said = [f"{parent.folder},adapter={made}" if additions else str(made)]
    said += ["may_train"] if parent.may_train else []
    said += ["nuclei"] if reads_nuclei else []
    said += [f"boxes={parent.boxes}", f"thought={parent.thought}", f"patch_px={parent.patch_px}"]
    return f"{name}={','.join(said)}"
