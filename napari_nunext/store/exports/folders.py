"""Export folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.formats.export_folder import read_manifest
from napari_nunext.core.formats.records import IMAGES_FOLDER
from napari_nunext.core.process.permissions import open_up
from napari_nunext.store.exports.files import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_target(out_dir: Path) -> None:
    """Raise `InputError` where replacing `out_dir` would lose something else than an export."""
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise InputError(f"{out_dir.name} is a file; expected a folder for the export.")
    if not any(out_dir.iterdir()):
        return
    try:
        read_manifest(out_dir)
    except RecordError as error:
        raise InputError(
            f"The folder {out_dir.name} holds something else than an export; nothing was "
            "written. Choose a new or empty folder."
        ) from error


@contextmanager
def new_export_folder(out_dir: Path) -> Iterator[Path]:
    """A folder to fill, with ``images/``; it takes the place of `out_dir` when the block ends.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written. What stood at `out_dir` stays.
    """
    building: Path | None = None
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
        (building / IMAGES_FOLDER).mkdir()
        yield building
        open_up(building)
        _replace(building, out_dir)
    except OSError as error:
        raise unwritable(out_dir, error) from error
    finally:
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)


def _replace(new: Path, out_dir: Path) -> None:
    if not out_dir.exists():
        new.rename(out_dir)
        return
    aside = out_dir.with_name(f".{out_dir.name}.{uuid4().hex}")
    out_dir.rename(aside)
    try:
        new.rename(out_dir)
    except OSError:
        aside.rename(out_dir)
        raise
    shutil.rmtree(aside)
