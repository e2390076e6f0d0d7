"""Python's collector, in a process that has imported nearly everything there is.

Without this each look for garbage goes through all of torch, transformers and napari, for most of a
second: napari asks for one whenever a layer goes, and accelerate after every training.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.process.collector import collector_at_rest

if TYPE_CHECKING:
    from collections.abc import Iterator

_file = pytest.StashKey[object]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Imports every test, and leaves no garbage."""
    with collector_at_rest():
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before the first test of a file: find what is garbage, and look through the rest no more.

    Fixtures of this file are not made yet, and those of the last are gone. What is frozen goes all
    the same as soon as nothing refers to it.
    """
    stash = item.session.stash
    if stash.get(_file, None) != item.path:
        stash[_file] = item.path
        gc.collect()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """The last look is through everything."""
    gc.unfreeze()
