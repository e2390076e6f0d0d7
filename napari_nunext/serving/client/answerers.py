"""Answerers as people write them: those of a command line, and those that the user keeps.

``NAME=URL#MODEL`` or ``NAME=FOLDER``, with options. What the user's own model server is started
with is kept in a text file of the user's folder, a line each. Keys are never among them: they are
in the environment. Where there are none, nothing is imported: the file is read before the server is
launched.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.places import answerers_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_nunext.core.answers.answerer import AnswererPlace

logger = logging.getLogger(__name__)


def answerers_of(texts: Iterable[str]) -> tuple[AnswererPlace, ...]:
    """The answerers that a command line names: servers with their keys, folders that are there.

    Raises
    ------
    InputError
        If one cannot be used, or two have one name.
    """
    found = [at_hand(text) for text in texts]
    if len({place.name for place in found}) < len(found):
        raise InputError("Two answerers have one name. Give each its own.")
    return tuple(found)


def at_hand(text: str) -> AnswererPlace:
    """An answerer with its key, or its folder wherever this process and its children go.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    from napari_nunext.core.answers.answerer import AnswererAddress, parse_answerer

    place = parse_answerer(text)
    if isinstance(place, AnswererAddress):
        return replace(place, key=os.environ.get(place.key_variable) or None)
    return replace(
        place, folder=_folder(place.folder), adapter=place.adapter and _folder(place.adapter)
    )


def _folder(path: Path) -> Path:
    folder = path.expanduser().resolve()
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {path} for an answerer. Correct its path; an address of a server "
            "begins with http:// or https://."
        )
    return folder


def merged(texts: Iterable[str]) -> tuple[str, ...]:
    """One for each name, the last that was given; `InputError` for one that cannot be used."""
    return tuple({at_hand(text).name: text for text in texts}.values())


def without(texts: Iterable[str], name: str) -> tuple[str, ...]:
    """All but the one of this name."""
    return tuple(text for text in texts if at_hand(text).name != name)


# Those that are kept


def kept() -> tuple[str, ...]:
    """Those of the file; one that cannot be used now is left out, and said in the log."""
    usable = []
    for line in _lines():
        try:
            at_hand(line)
        except InputError as error:
            logger.warning("an answerer that is kept is left out: %s", error)
        else:
            usable.append(line)
    return merged(usable)


def keep(text: str) -> None:
    """Keep one more, in the place of one of its name; `InputError` where it cannot be used."""
    text = " ".join(text.split())
    name = at_hand(text).name
    _write([*(line for line in _lines() if _name(line) != name), text])


def forget(name: str) -> None:
    """Keep the one of this name no longer."""
    _write([line for line in _lines() if _name(line) != name])


def _name(line: str) -> str:
    return line.partition("=")[0].strip()


def _lines() -> list[str]:
    try:
        text = answerers_file().read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        logger.warning("the answerers that are kept cannot be read: %s", type(error).__name__)
        return []
    return list(filter(None, map(str.strip, text.splitlines())))


def _write(lines: Sequence[str]) -> None:
    path = answerers_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    sibling = path.with_suffix(".new")
    sibling.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    sibling.replace(path)
