"""Python and packages: whether they are there in versions that fit, and what extras are for.

Read from what is installed says of itself: nothing is imported.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from napari_nunext.commands.doctor.finding import Finding

DISTRIBUTION = "napari-nunext"
WINDOW = "all"
TRIED_PYTHON = SpecifierSet(">=3.11,<3.14")

BINDING, OTHER_BINDINGS = "pyside6-essentials", ("PyQt6",)
"""The Qt that we bring, and those in place of which it is not needed."""

EXTRAS = {
    "slides": "to open slides other than SVS and TIFF",
    "training": "to train on what was corrected",
    "spatial": "to export tables as Parquet and AnnData",
    "postgres": "to keep a review in a PostgreSQL database",
    "trunk": "to begin a small detector with EfficientNet-Lite0",
    "segment-anything": "to convert original segment-anything checkpoints",
    "cellpose": "to compare with Cellpose",
    "stardist": "to compare with StarDist",
    "instanseg": "to compare with InstanSeg",
    "ray": "to serve from several machines",
    "vllm": "to decode large checkpoints on a GPU server, in an environment of its own",
}
"""What each is for; `WINDOW` is needed, and looked at with the rest."""


def installed_findings() -> list[Finding]:
    """Python, what we require, and the extras."""
    if installed_version(DISTRIBUTION) is None:
        words = f"{DISTRIBUTION} runs from a folder, not installed. Type there: pip install -e ."
        return [Finding("packages", False, words)]
    return [python_finding(), *package_findings(), *(extra_finding(name) for name in EXTRAS)]


def python_finding() -> Finding:
    """Whether this Python is one that the package was tried with."""
    here = ".".join(map(str, sys.version_info[:3]))
    if here in SpecifierSet(metadata(DISTRIBUTION)["Requires-Python"]):
        if here in TRIED_PYTHON:
            return Finding("python", True, f"Python {here}")
        words = (
            f"Python is {here}, which was not tried; expected 3.11 to 3.13. Use 3.13 if it fails."
        )
        return Finding("python", False, words, needed=False)
    words = f"Python is {here}; expected 3.11 to 3.13. Make an environment with Python 3.13."
    return Finding("python", False, words)


def package_findings() -> list[Finding]:
    """What is missing or of another version than we support, or one line if nothing is."""
    needed = [*requirements(), *requirements(WINDOW)]
    if any(installed_version(name) for name in OTHER_BINDINGS):
        needed = [each for each in needed if canonicalize_name(each.name) != BINDING]
    wrong = [
        Finding(
            f"package {each.name}",
            False,
            f"{each.name} is {seen or 'not installed'}; expected {each.specifier}. "
            f"Type: pip install '{each.name}{each.specifier}'",
        )
        for each in needed
        if (seen := installed_version(each.name)) is None or not _fits(each, seen)
    ]
    if wrong:
        return wrong
    return [Finding("packages", True, f"{len(needed)} packages, each in a version that fits")]


def extra_finding(extra: str) -> Finding:
    """Whether what an extra brings is there; nothing of it is needed."""
    missing = [
        each.name
        for each in requirements(extra)
        if (seen := installed_version(each.name)) is None or not _fits(each, seen)
    ]
    if not missing:
        return Finding(f"extra {extra}", True, f"{extra} is there ({EXTRAS[extra]})", needed=False)
    words = (
        f"{extra} is not complete: {', '.join(missing)} missing or of another version. Only "
        f"{EXTRAS[extra]}: pip install '{DISTRIBUTION}[{extra}]'"
    )
    return Finding(f"extra {extra}", False, words, needed=False)


def requirements(extra: str = "") -> list[Requirement]:
    """What the package requires on this machine: always, or what an extra adds."""
    all_ = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    if not extra:
        return [each for each in all_ if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [
        each
        for each in all_
        if each.marker is not None
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    ]


def installed_version(name: str) -> str | None:
    """The version of a distribution; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _fits(requirement: Requirement, seen: str) -> bool:
    return requirement.specifier.contains(seen, prereleases=True)
