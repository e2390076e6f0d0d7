"""Whether memory ran out, by what was raised; torch is not imported for it."""

from __future__ import annotations

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch says in a RuntimeError where it has no type of its own for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _NO_MEMORY)
