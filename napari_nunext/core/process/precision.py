"""The arithmetic that a person may ask for, by name; `devices` says what is taken otherwise."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PRECISION_HELP = "arithmetic of models (default: auto, by what the processor has units for)"
