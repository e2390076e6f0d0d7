"""Python's collector at rest while much is imported: nothing of that is garbage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Do not look for garbage meanwhile.

    It looks through all there is again and again, the more the more there is: a sixth of the time
    in which torch and a model are loaded (6.4 s of processor time became 5.5 s), and some of that
    in which napari is. What was made meanwhile counts as old afterwards: a first look through all
    of it as if it were young would hold up whatever comes next by a third of a second.
    """
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
            gc.enable()
