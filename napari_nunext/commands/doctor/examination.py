"""Everything that is looked at, in the order in which it is told."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from napari_nunext.commands.doctor.finding import Finding
from napari_nunext.core.sentences import without_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = (
    ("installed", "installed_findings"),
    ("window", "window_findings"),
    ("models", "model_findings"),
    ("machine", "machine_findings"),
)
SERVER = ("models", "server_findings")


def examination(server: str | None, *, quick: bool) -> Iterator[Finding]:
    """A finding after the other, without the names of anybody's folders.

    Parameters
    ----------
    server : str, optional
        Address of a model server elsewhere, in place of one that is started here.
    quick : bool
        Whether to start none.
    """
    for module, look in STEPS:
        yield from _looked(module, look)
    if server is not None or not quick:
        yield from _looked(*SERVER, server)


def _looked(module: str, look: str, *args: str | None) -> Iterator[Finding]:
    try:
        # Here, for what is broken may raise as soon as it is imported.
        found = getattr(import_module(f"{__package__}.{module}"), look)(*args)
    except Exception as error:  # noqa: BLE001 - whatever a broken package raises is a finding
        what = f"{type(error).__name__}: {error}"
        words = (
            f"A package that is needed is broken ({what}). "
            "Type: pip install --force-reinstall napari-nunext"
        )
        found = [Finding(module, False, words)]
    for finding in found:
        yield replace(finding, words=without_folders(finding.words))
