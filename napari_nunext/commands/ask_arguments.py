"""What ``napari-nunext ask`` is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.process.options import mpp, number, positive

if TYPE_CHECKING:
    import argparse


def add_ask(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``ask``, apart from where models lie."""
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--question", default="", help="in English; of lesions, their category")
    parser.add_argument("--options", nargs="+", default=(), help="to choose from; of a subtype")
    parser.add_argument(
        "--task", choices=("question", "subtype", "lesions"), default="question", help="(question)"
    )
    parser.add_argument("--organ", default="", help="in which lesions are looked for")
    parser.add_argument(
        "--region", nargs=4, type=number, metavar=("X0", "Y0", "X1", "Y1"), help="level-0 pixels"
    )
    parser.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="JSON Lines of questions with their regions, in place of one (see docs/ask.md)",
    )
    parser.add_argument(
        "--answerer",
        default="counts",
        help="counts, from the nuclei (default); or an answerer of a model server",
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
    parser.add_argument("--budget", type=positive, help="image tokens (as taught, or 256)")
    parser.add_argument(
        "--allocate", action="store_true", help="let the answerer choose how many, up to --budget"
    )
    parser.add_argument(
        "--max-tokens",
        type=positive,
        help="tokens of an answer, its thought included (as the answerer's option says, or 1024)",
    )
    parser.add_argument("--mpp", type=mpp, help="micrometres per pixel of the image")
