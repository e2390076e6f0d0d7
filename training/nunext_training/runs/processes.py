"""Several processes on one run: who writes, and how all of them decide alike.

``accelerate launch`` starts one process for each device. All run the same program: each cuts and
learns from its own windows, and gradients are averaged. What is written is written by the main
process alone, and whatever decides how a run goes on (whether it is stopped, which weights are the
best) is decided once for all of them, since processes that go different ways wait for each other
for ever. With a single process everything here is what its name says, at no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce

from napari_nunext.core.errors import NunextError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def join() -> PartialState:
    """Join the other processes of this run, where there are any.

    Call it before a model is loaded: on a machine with several GPUs it also gives each process its
    own.
    """
    return PartialState(cpu=not torch.cuda.is_available())


def is_main() -> bool:
    """Whether this process writes."""
    return bool(join().is_main_process)


def count() -> int:
    """Number of processes, on all machines."""
    return int(join().num_processes)


def my_share(items: Sequence[T]) -> Sequence[T]:
    """Every `count`-th of `items`, from this process's rank on; empty where there are too few."""
    state = join()
    return items[state.process_index :: state.num_processes]


def on_main(do: Callable[[], T]) -> T:
    """What `do` returns in the main process, in every process; an error of ours in every one too.

    Raises
    ------
    NunextError, OSError
        What `do` raised.
    """
    if count() == 1:
        return do()
    outcome: list[T | None] = [None]
    error: list[Exception | None] = [None]
    if is_main():
        try:
            outcome = [do()]
        except (NunextError, OSError) as raised:
            error = [raised]
    broadcast_object_list(error)
    if error[0] is not None:
        raise error[0]
    broadcast_object_list(outcome)
    return outcome[0]  # type: ignore[return-value]


def any_of(flag: bool) -> bool:
    """Whether `flag` is set in any process."""
    return total([float(flag)])[0] > 0


def total(values: Sequence[float]) -> list[float]:
    """Sums of `values` over all processes, in float64."""
    if count() == 1:
        return list(values)
    summed = reduce(torch.tensor(values, dtype=torch.float64, device=join().device), "sum")
    return [float(value) for value in summed]
