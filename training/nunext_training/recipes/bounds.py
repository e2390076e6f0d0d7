"""What the choices of a recipe may be, said once: beside each of them.

A bound is a type. Pydantic holds it, and `expected` puts it into words for messages and lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import ConfigDict, Field, Strict

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

CHECKED = ConfigDict(
    extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
)
"""Of every section: no key that does not exist. The text under a key is its meaning, in the code
and in `nunext-train recipes`."""

Flag: TypeAlias = Annotated[bool, Strict()]
Text: TypeAlias = Annotated[str, Strict()]
Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
"""A whole number is a number, too; a text is none."""

Count: TypeAlias = Annotated[Whole, Field(ge=1)]
CountOrNone: TypeAlias = Annotated[Whole, Field(ge=0)]
"""Where 0 means none, or all; the key says which."""
Positive: TypeAlias = Annotated[Number, Field(gt=0)]
NotNegative: TypeAlias = Annotated[Number, Field(ge=0)]
Share: TypeAlias = Annotated[Number, Field(ge=0, le=1, json_schema_extra={"expected": "0 to 1"})]


def expected(field: FieldInfo) -> str:
    """What a key may be, in words."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "expected" in extra:
        words = extra["expected"]
        return str(words() if callable(words) else words)
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        *others, last = (str(value) for value in get_args(kind))
        return f"{', '.join(others)} or {last}"
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a text"
    return _range(field.metadata) or ("a whole number" if kind is int else "a number")


def _range(metadata: list[Any]) -> str:
    """Words of the bounds of a number; empty without any."""
    bounds = {
        n: v
        for m in metadata
        for n in ("gt", "ge", "lt", "le")
        if (v := getattr(m, n, None)) is not None
    }
    words = {"gt": "more than {}", "ge": "{} or more", "lt": "less than {}", "le": "{} or less"}
    if bounds == {"gt": 0}:
        return "a positive number"
    return ", ".join(words[name].format(value) for name, value in bounds.items())
