"""What ``napari-nunext ask`` is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.process.asked import Put
from napari_nunext.core.process.parameters import add_parameters

if TYPE_CHECKING:
    import argparse


def add_ask(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``ask``, apart from where models lie."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    add_parameters(parser, Put)
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="JSON Lines of questions with their regions, in place of one (see docs/ask.md)",
    )
    parser.add_argument(
        "--project", type=Path, help="whose nuclei count (default: they are looked for first)"
    )
    parser.add_argument(
        "--server",
        metavar="URL",
        default="http://127.0.0.1:8123",
        help="model server of the answerer; its token is taken from NAPARI_NUNEXT_TOKEN",
    )
