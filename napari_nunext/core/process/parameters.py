"""The parameters of a command, from the one typed function that Python calls.

Its signature and its docstring are the one definition: the command line is made of them here, the
form in napari's window by magicgui, and in Python it is called as it is. What stands before ``*``
is given by place, what comes after it by name. Choices that are looked up late, and what a form
needs besides, are magicgui's options: ``Annotated[str, {"choices": formats}]``.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    import argparse

Choices: TypeAlias = "Iterable[str] | Callable[..., Iterable[str]]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of them."""

    name: str
    type: Any
    """Of one value: Path, str, bool."""
    default: Any
    """`inspect.Parameter.empty` where it has to be given."""
    help: str
    by_place: bool
    many: bool = False
    choices: Choices | None = None
    is_folder: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether it has to be given."""
        return self.default is inspect.Parameter.empty


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a function that has type hints and a numpy docstring."""
    said = _said(inspect.getdoc(function) or "")
    return tuple(
        _parameter(each, said[name]) for name, each in signature_of(function).parameters.items()
    )


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """A function's signature, with types in the place of their names.

    What it returns is left out: that may be imported for type checkers alone.
    """
    bare = types.FunctionType(function.__code__, function.__globals__)
    taken = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    bare.__annotations__ = taken
    hints = get_type_hints(bare, include_extras=True)
    signature = inspect.signature(function)
    return signature.replace(
        parameters=[
            each.replace(annotation=hints[name]) for name, each in signature.parameters.items()
        ],
        return_annotation=inspect.Signature.empty,
    )


def add_parameters(parser: argparse.ArgumentParser, function: Callable[..., Any]) -> None:
    """Give a command the parameters of a function."""
    for each in parameters_of(function):
        given: dict[str, Any] = {"help": each.help}
        if not each.by_place:
            given |= {"required": each.is_needed}
        if each.type is bool:
            given["action"] = "store_true"
        else:
            given["type"] = each.type
        if not each.is_needed and each.type is not bool:
            given["default"] = each.default
        if each.is_folder:
            given["metavar"] = "DIR"
        if each.many:
            given |= {"action": "append", "default": []}
        if callable(each.choices):
            # argparse would look the choices up at once, but for a name of its own
            given |= {"choices": _Late(each.choices), "metavar": each.name.upper()}
            given["help"] += "; one of %(choices)s"
        elif each.choices is not None:
            given["choices"] = tuple(each.choices)
        name = each.name if each.by_place else f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, **given)


def given_to(function: Callable[..., Any], args: argparse.Namespace) -> dict[str, Any]:
    """What a command line gives a function, by its parameters' names."""
    return {each.name: getattr(args, each.name) for each in parameters_of(function)}


class _Late:
    """Choices that are looked up when they are needed."""

    def __init__(self, look_up: Callable[..., Iterable[str]]) -> None:
        self._look_up = look_up

    def __iter__(self) -> Iterator[str]:
        return iter(self._look_up())


def _parameter(declared: inspect.Parameter, said: str) -> Parameter:
    hint, options = declared.annotation, dict[str, Any]()
    if get_origin(hint) is Annotated:
        hint, options = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):  # optional
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    many = get_origin(hint) is Sequence
    if many:
        (hint,) = get_args(hint)
    choices = options.get("choices")
    if get_origin(hint) is Literal:
        hint, choices = str, get_args(hint)
    if hint not in (Path, str, bool):
        raise TypeError(f"{declared.name} is {hint!r}; expected a path, a text or a bool")
    by_place = declared.kind is not inspect.Parameter.KEYWORD_ONLY
    is_folder = "d" in (options.get("mode"), options.get("options", {}).get("mode"))
    return Parameter(
        declared.name, hint, declared.default, said, by_place, many, choices, is_folder
    )


def _said(doc: str) -> dict[str, str]:
    """What a numpy docstring says of each parameter, as ``--help`` has it: no capital, no stop."""
    section = doc.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    found = re.findall(r"^(\w+) : [^\n]*\n((?:    [^\n]*\n?)+)", section, flags=re.MULTILINE)
    words = {name: " ".join(text.split()).removesuffix(".") for name, text in found}
    return {name: text[:1].lower() + text[1:] for name, text in words.items()}
