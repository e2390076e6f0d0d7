"""The parameters of a command, from one typed function or dataclass.

Its signature and its docstring are the one definition: the command line is made of them here, the
form in napari's window by magicgui, and a function is called from Python as it is. What stands
before ``*`` is given by place, what comes after it by name. Choices that are looked up late, and
what a form needs besides, are magicgui's options: ``Annotated[str, {"choices": formats}]``. Ours:
``label`` is what a form calls it and ``words`` what it calls the choices, ``read`` makes a value of
a text or says why not, ``unit`` is what a number is in, ``parts`` are the names of several numbers,
``at_once`` takes many after one option, ``key`` is a recipe's.
"""

from __future__ import annotations

import argparse
import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import number, path, whole

OURS = ("label", "words", "read", "unit", "parts", "at_once", "key")
"""Options that magicgui knows nothing of."""

Choices: TypeAlias = "Iterable[str] | Callable[..., Iterable[str]]"


Words: TypeAlias = "Mapping[str | None, str] | Callable[[str | None], str]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of them."""

    name: str
    label: str
    """What a person calls it, in a form; empty where nobody said, which no form takes."""
    type: Any
    """Of one value: Path, str, bool, int, float."""
    default: Any
    """`inspect.Parameter.empty` where it has to be given."""
    help: str
    by_place: bool
    many: bool = False
    choices: Choices | None = None
    words: Words | None = None
    """What a person calls each choice, and no choice (None)."""
    is_folder: bool = False
    parts: tuple[str, ...] = ()
    """Names of the numbers that are one value; empty where it is one number."""
    at_once: bool = False
    """Whether many stand after one option, and not one after each."""
    unit: str = ""
    key: str = ""
    """What of a recipe it changes, with its section."""
    reads: Callable[[str], Any] | None = None
    """Makes a value of a text, or says why not, where the type alone does not say it."""

    @property
    def is_needed(self) -> bool:
        """Whether it has to be given."""
        return self.default is inspect.Parameter.empty

    def choice_label(self, choice: str | None) -> str | None:
        """What a person calls a choice; None where nobody said."""
        if self.words is None:
            return None
        return self.words(choice) if callable(self.words) else self.words.get(choice)

    def read(self, text: str) -> Any:
        """The value of a text, as a command line or a field of a form has it; None for no text.

        Raises
        ------
        InputError
            With what is wrong with it.
        """
        words = text.split() if self.parts else [text.strip()]
        if not any(words):
            return None
        if self.parts and len(words) != len(self.parts):
            raise InputError(f"{text.strip()[:40]!r} is not {' '.join(self.parts)}")
        read = self.reads or _READERS.get(self.type, str)
        try:
            values = tuple(read(word.rstrip(",")) for word in words)
        except argparse.ArgumentTypeError as error:
            raise InputError(str(error)) from error
        return values if self.parts else values[0]

    def write(self, value: Any) -> str:
        """A value as `read` takes it."""
        if value is None:
            return ""
        if self.parts:
            return " ".join(f"{each:.10g}" for each in value)
        return f"{value:.10g}" if self.type is float else str(value)


_READERS: dict[Any, Callable[[str], Any]] = {int: whole, float: number, Path: path}


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a function that has type hints and a numpy docstring."""
    said = _said(inspect.getdoc(function) or "")
    return tuple(
        _parameter(each, said[name]) for name, each in signature_of(function).parameters.items()
    )


def label_of(function: Callable[..., Any], name: str) -> str:
    """What a person calls a parameter."""
    return next(each.label for each in parameters_of(function) if each.name == name)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """A function's signature, with types in the place of their names.

    What it returns is left out: that may be imported for type checkers alone.
    """
    if isinstance(function, type):
        hints = get_type_hints(function, include_extras=True)
    else:
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


def add_parameters(
    parser: argparse.ArgumentParser,
    function: Callable[..., Any],
    *,
    only: Collection[str] | None = None,
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
) -> None:
    """Give a command the parameters of a function.

    Parameters
    ----------
    parser : ArgumentParser
    function : callable
        Or a dataclass.
    only : collection of str, optional
        Names of those that the command has; all by default.
    defaults : mapping of str to object
        Others than the usual ones, by name.
    """
    for each in parameters_of(function):
        if only is not None and each.name not in only:
            continue
        given: dict[str, Any] = {"help": each.help}
        if not each.by_place:
            given |= {"required": each.is_needed}
        if each.type is bool:
            given["action"] = "store_true"
        else:
            given["type"] = each.reads or each.type
        if not each.is_needed and each.type is not bool:
            given["default"] = defaults.get(each.name, each.default)
        if each.is_folder:
            given["metavar"] = "DIR"
        if each.parts:
            given |= {"nargs": len(each.parts), "metavar": each.parts}
        if each.at_once:
            given["nargs"] = "+"
        elif each.many:
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


def as_arguments(asked: Any) -> list[str]:
    """What a command line has to say so that it gives this dataclass; defaults are left out."""
    said = []
    for each in parameters_of(type(asked)):
        value = getattr(asked, each.name)
        if value == each.default:
            continue
        said.append(f"--{each.name.replace('_', '-')}")
        if each.many:
            said += map(each.write, value)
        elif each.parts:
            said += each.write(value).split()
        elif each.type is not bool:
            said.append(each.write(value))
    return said


class _Late:
    """Choices that are looked up when they are needed."""

    def __init__(self, look_up: Callable[..., Iterable[str]]) -> None:
        self._look_up = look_up

    def __iter__(self) -> Iterator[str]:
        return iter(self._look_up())


def hint_and_options(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """A type, and the options that stand beside it; the later ones count."""
    if get_origin(annotation) is not Annotated:
        return annotation, {}
    hint, *given = get_args(annotation)
    return hint, {name: value for options in given for name, value in options.items()}


def _parameter(declared: inspect.Parameter, said: str) -> Parameter:
    hint, options = hint_and_options(declared.annotation)
    if get_origin(hint) in (Union, types.UnionType):  # optional
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    many = get_origin(hint) is Sequence
    if many:
        (hint,) = get_args(hint)
    if get_origin(hint) is tuple and "parts" in options:
        (hint,) = set(get_args(hint))
    choices = options.get("choices")
    if get_origin(hint) is Literal:
        hint, choices = str, get_args(hint)
    if hint not in (Path, str, bool, int, float):
        raise TypeError(f"{declared.name} is {hint!r}; expected a path, a text, a number or a bool")
    return Parameter(
        declared.name,
        options.get("label", ""),
        hint,
        declared.default,
        said,
        by_place=declared.kind is not inspect.Parameter.KEYWORD_ONLY,
        many=many,
        choices=choices,
        words=options.get("words"),
        is_folder="d" in (options.get("mode"), options.get("options", {}).get("mode")),
        parts=options.get("parts", ()),
        at_once=options.get("at_once", False),
        unit=options.get("unit", ""),
        key=options.get("key", ""),
        reads=options.get("read"),
    )


def _said(doc: str) -> dict[str, str]:
    """What a numpy docstring says of each parameter, as ``--help`` has it: no capital, no stop."""
    section = doc.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    found = re.findall(r"^(\w+) : [^\n]*\n((?:    [^\n]*\n?)+)", section, flags=re.MULTILINE)
    words = {name: " ".join(text.split()).removesuffix(".") for name, text in found}
    return {name: text[:1].lower() + text[1:] for name, text in words.items()}
