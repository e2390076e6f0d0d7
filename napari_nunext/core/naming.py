"""Prompts that ask for some categories alone: "Point to lymphocyte." (ours).

NuNext's prompt asks for every nucleus; its authors leave an open vocabulary to later work. Here the
instruction of a checkpoint names categories in the place of "nucleus". Training, serving, exports
and rewards write and read these sentences by this module alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import InputError
from napari_nunext.core.stains.telling import stain_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_EVERYTHING = "Point to nucleus."
"""What an instruction opens with that can name categories instead."""
_KIND_OF_CELL = re.compile(r"(cyte|cell|phage|blast|clast|nucleus|mitosis)s?$", re.IGNORECASE)
"""How a name ends that is a thing itself; any other is a property, of a nucleus."""


def instruction_for(
    categories: Sequence[str], known: Sequence[str], whole: str = NUCLEUS_INSTRUCTION
) -> str:
    """The instruction that asks for some categories alone.

    Parameters
    ----------
    categories : sequence of str
        What is asked for, in any order. None of `known`, or all of them, give `whole` as it is.
    known : sequence of str
        Every category that there is, in whose order they are named.
    whole : str
        The instruction that asks for everything.

    Raises
    ------
    InputError
        If a category is not known, or `whole` has no place for names.

    >>> instruction_for(["Lymphocyte"], ["Lymphocyte", "Stromal"])
    'Point to lymphocyte. Output the coordinates in [x, y] format.'
    >>> instruction_for(["Positive", "Lymphocyte"], ["Lymphocyte", "Positive", "Stromal"])
    'Point to lymphocyte and positive nucleus. Output the coordinates in [x, y] format.'
    """
    named = in_order(categories, known)
    if not named:
        return whole
    if not can_name(whole):
        raise InputError(
            f"The prompt {whole!r} cannot name categories; expected one that begins with "
            f"{_EVERYTHING!r}. Search for everything, and leave the others out."
        )
    phrases = [_phrase(name) for name in named]
    listed = " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
    return f"Point to {listed}." + whole.removeprefix(_EVERYTHING)


def can_name(whole: str | None) -> bool:
    """Whether categories can be named in an instruction."""
    return whole is not None and whole.startswith(_EVERYTHING)


def categories_in(
    instruction: str, known: Sequence[str], whole: str = NUCLEUS_INSTRUCTION
) -> tuple[str, ...]:
    """Which categories an instruction asks for alone; empty for all. Inverse of `instruction_for`.

    Raises
    ------
    InputError
        If it is no sentence that `instruction_for` makes of `known` and `whole`.

    >>> categories_in("Point to stromal nucleus.", ["Lymphocyte", "Stromal"], "Point to nucleus.")
    ('Stromal',)
    """
    if instruction == whole:
        return ()
    rest = whole.removeprefix(_EVERYTHING)
    if can_name(whole) and instruction.startswith("Point to ") and instruction.endswith(f".{rest}"):
        listed = instruction.removeprefix("Point to ").removesuffix(f".{rest}")
        for named in _readings(listed, tuple(known)):
            if instruction_for(named, known, whole) == instruction:
                return named
    raise InputError(
        f"The prompt {instruction!r} names no categories of {', '.join(known) or 'none'}; expected "
        f"{whole!r}, or these in the place of 'nucleus'."
    )


def in_order(categories: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Categories that are asked for, as they are known; none where that is all of them.

    Names are compared without regard to case, and each counts once.

    Raises
    ------
    InputError
        If one is not known.
    """
    asked = {name.strip().casefold(): name for name in categories}
    found = tuple(name for name in known if name.casefold() in asked)
    strangers = asked.keys() - {name.casefold() for name in known}
    if strangers:
        raise InputError(
            f"There is no category {asked[min(strangers)]!r}; the model knows "
            f"{', '.join(known) or 'none'}. Ask for {'one of these' if known else 'everything'}."
        )
    return () if len(found) == len(known) else found


def counts(category: str, only: Collection[str]) -> bool:
    """Whether a search for `only` is about a category; one for everything is about all."""
    return not only or category in only


def only_in_decoding(only: Sequence[str], *, asked: bool) -> dict[str, object]:
    """What a run remembers of a search for some categories, beside how it decoded.

    Parameters
    ----------
    only : sequence of str
        What was searched for; empty for everything, of which nothing is said.
    asked : bool
        Whether the model was asked for these, rather than the others left out.
    """
    return {"only": list(only), "only_by": "prompt" if asked else "leaving out"} if only else {}


def only_of(decoding: Mapping[str, Any]) -> tuple[str, ...]:
    """The categories that a run was searched for alone; empty for everything."""
    return tuple(map(str, decoding.get("only", ())))


def only_words(decoding: Mapping[str, Any]) -> str:
    """What people are told of a search for some categories alone; empty for everything."""
    only = only_of(decoding)
    if not only:
        return ""
    if decoding.get("only_by") == "prompt":
        return f"The model was asked for {', '.join(only)} alone."
    return (
        f"This model has not learned to be asked for {', '.join(only)} alone: it looked for "
        "everything, and the others were left out."
    )


def search_words(decoding: Mapping[str, Any]) -> dict[str, str]:
    """What people and files are told of how a search was made: a sentence for each thing."""
    words = {"only": only_words(decoding), "stain": stain_words(decoding)}
    return {about: sentence for about, sentence in words.items() if sentence}


def _phrase(name: str) -> str:
    words = [w.lower() if w[1:].islower() or len(w) == 1 else w for w in name.split()]
    said = " ".join(words)
    return said if _KIND_OF_CELL.search(said) else f"{said} nucleus"


def _readings(listed: str, known: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    """Every way to read a list of names: a name may itself hold "and", or a comma."""
    for name in known:
        phrase = _phrase(name)
        if listed == phrase:
            yield (name,)
        for joint in (", ", " and "):
            if listed.startswith(phrase + joint):
                others = tuple(n for n in known if n != name)
                for rest in _readings(listed.removeprefix(phrase + joint), others):
                    yield (name, *rest)
