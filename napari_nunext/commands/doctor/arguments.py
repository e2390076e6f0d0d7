"""What ``napari-nunext doctor`` is asked, and how it answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_nunext.commands.doctor.finding import Finding


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``doctor``."""
    parser.add_argument(
        "--server",
        metavar="URL",
        help="a model server elsewhere; its token is taken from NAPARI_NUNEXT_TOKEN "
        "(default: one is started here)",
    )
    parser.add_argument("--quick", action="store_true", help="start no model server")
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")


def doctor_command(args: argparse.Namespace, tell: Callable[[str], None]) -> bool:
    """Look at everything and tell it; whether the window and detection will work."""
    from napari_nunext.commands.doctor.examination import examination

    found: list[Finding] = []
    for finding in examination(args.server, quick=args.quick):
        found.append(finding)
        if not args.json:
            tell(f"{_mark(finding)}  {finding.words}")
    lacking = [each for each in found if each.needed and not each.passed]
    if args.json:
        said = {"well": not lacking, "findings": [asdict(each) for each in found]}
        tell(json.dumps(said, ensure_ascii=False))
    elif lacking:
        tell(f"Needed and missing: {len(lacking)}. Do what their lines say, and try again.")
    else:
        tell("The window and detection will work.")
    return not lacking


def _mark(finding: Finding) -> str:
    if finding.passed:
        return "ok     "
    return "MISSING" if finding.needed else "note   "
