"""Asking for files and folders: one way for all, and None where the person gives none.

Dialogs are children of the window: those of the dock had its style, and were black on black in
napari's light theme wherever Qt draws them itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtWidgets import QWidget


def kinds_of(words: str, suffixes: Iterable[str]) -> str:
    """Which files a dialog offers: those of these suffixes, or all."""
    return f"{words} ({' '.join(f'*{suffix}' for suffix in suffixes)});;All files (*)"


def ask_for_files(parent: QWidget, title: str, kinds: str) -> list[Path]:
    """Files to open; empty for none."""
    names, _ = QFileDialog.getOpenFileNames(parent.window(), title, "", kinds)
    return [Path(name) for name in names]


def ask_for_file(parent: QWidget, title: str, kinds: str) -> Path | None:
    """One file to open."""
    name, _ = QFileDialog.getOpenFileName(parent.window(), title, "", kinds)
    return Path(name) if name else None


def ask_for_folder(parent: QWidget, title: str) -> Path | None:
    """A folder that is there."""
    name = QFileDialog.getExistingDirectory(parent.window(), title)
    return Path(name) if name else None


def ask_where(parent: QWidget, title: str, *, suggested: str = "", kinds: str = "") -> Path | None:
    """A file or folder to write."""
    name, _ = QFileDialog.getSaveFileName(parent.window(), title, suggested, kinds)
    return Path(name) if name else None
