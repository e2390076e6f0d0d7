"""What installed packages offer us by entry points: readers, exports."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

T = TypeVar("T")

logger = logging.getLogger(__name__)


def offered(
    group: str, what: str, check: Callable[[object], T]
) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """What packages offer in a group, and a sentence on each that cannot be used.

    Parameters
    ----------
    group : str
        Name of the entry points, which are taken in the order of their own names.
    what : str
        What each is, for the sentence: ``"image reader"``.
    check : callable
        Returns what was loaded if it can be used, else raises anything with a reason.
    """
    found, problems = [], []
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            found.append(check(point.load()))
        # Somebody else's code: whatever it raises, the others are used.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            problems.append(_problem(point, what, error))
            logger.warning("%s", problems[-1])
    return tuple(found), tuple(problems)


def _problem(point: EntryPoint, what: str, error: BaseException) -> str:
    origin = point.module if point.dist is None else f"{point.dist.name} {point.dist.version}"
    said = " ".join(str(error).split())[:200] or "no reason given"
    return (
        f"The {what} {point.name} of {origin} cannot be used ({type(error).__name__}: "
        f"{said}). Update or mend that package, and start again."
    )
