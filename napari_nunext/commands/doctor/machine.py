"""Disk, folders and memory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from napari_nunext.commands.doctor.finding import Finding
from napari_nunext.places import log_folder, models_folder, user_folder
from napari_nunext.serving.health.self_check import (
    LEAST_DISK_BYTES,
    LEAST_MEMORY_BYTES,
    free_memory_bytes,
)

GIB = 2**30


def machine_findings() -> list[Finding]:
    """All of it; folders are told by what they are for, so that nothing says whose they are."""
    folders = {
        "this folder (projects)": Path.cwd(),
        "your folder of the application (settings and samples)": user_folder(),
        "your folder of models": models_folder(),
        "the folder of logs": log_folder(),
        "the folder of temporary files (images for the server)": Path(tempfile.gettempdir()),
    }
    return [*(folder_finding(what, path) for what, path in folders.items()), memory_finding()]


def folder_finding(what: str, folder: Path) -> Finding:
    """Whether there is room in a folder, which need not be there yet, and it can be written."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        # Tried, for permission bits say little on network drives and on Windows.
        with tempfile.TemporaryFile(dir=there):
            free_bytes = shutil.disk_usage(there).free
    except OSError as error:
        words = (
            f"In {what} nothing can be written ({error.strerror}). Give yourself the right to "
            "write there, or name another folder in NAPARI_NUNEXT_HOME."
        )
        return Finding("folder", False, words)
    if free_bytes < LEAST_DISK_BYTES:
        words = (
            f"The disk of {what} has {free_bytes / GIB:.1f} GiB left; expected at least "
            f"{LEAST_DISK_BYTES / GIB:.0f}. Free some space."
        )
        return Finding("folder", False, words)
    return Finding("folder", True, f"There is room in {what}: {free_bytes / GIB:.0f} GiB free")


def memory_finding() -> Finding:
    """Whether the bundled model fits into memory."""
    free_bytes = free_memory_bytes()
    if free_bytes is None:
        words = "Free memory cannot be told on this system"
        return Finding("memory", True, words, needed=False)
    if free_bytes < LEAST_MEMORY_BYTES:
        words = (
            f"{free_bytes / GIB:.1f} GiB of memory are free; expected at least "
            f"{LEAST_MEMORY_BYTES / GIB:g}. Close other programs."
        )
        return Finding("memory", False, words)
    return Finding("memory", True, f"{free_bytes / GIB:.1f} GiB of memory are free")
