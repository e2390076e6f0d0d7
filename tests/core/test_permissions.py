from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.process.permissions import open_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")


@pytest.fixture(params=[0o022, 0o027, 0o077])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_made_for_its_owner_alone_is_as_any_other(tmp_path: Path, mask: int) -> None:
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    weights = folder / "inner" / "weights"
    weights.write_bytes(b"0")
    outside = tmp_path / "outside"
    outside.write_bytes(b"0")
    (folder / "link").symlink_to(outside)
    for path in (weights, outside, folder):
        path.chmod(0o700)
    open_up(folder)
    assert mode(weights) == 0o666 & ~mask
    assert mode(folder) == mode(folder / "inner") == 0o777 & ~mask
    assert mode(outside) == 0o700
    assert os.umask(mask) == mask
