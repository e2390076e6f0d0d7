"""Whether channels are those of a stained section under a bright field, or of fluorescence."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_DYES = re.compile(
    r"\b(dapi|hoechst|fitc|tritc|[em]?gfp|rfp|yfp|cfp|cy ?[2357](\.5)?|alexa|af ?\d{3}|texas ?red|"
    r"atto ?\d{3}|opal|mcherry|autofluorescence)\b",
    re.IGNORECASE,
)
_SAID_BY = ("Fluor", "EmissionWavelength", "ExcitationWavelength")
"""Attributes that OME gives to channels of fluorescence alone."""
_METHODS = ("Fluorescence", "Epifluorescence")


def check_bright_field(name: str, channels: Iterable[str]) -> None:
    """Refuse an image one of whose channels is named after a dye that glows.

    Raises
    ------
    ImageError
    """
    for channel in channels:
        if _DYES.search(channel.replace("_", " ")):
            raise _fluorescence(name, channel)


def check_ome(name: str, xml: str) -> None:
    """As `check_bright_field`, by the first image of OME-XML; nothing where that cannot be read."""
    try:
        pixels = ET.fromstring(xml).find(".//{*}Pixels")
    except ET.ParseError:
        return
    for channel in () if pixels is None else pixels.iterfind("{*}Channel"):
        said = channel.get("Name", "")
        methods = {channel.get("ContrastMethod"), channel.get("IlluminationType")}
        if any(key in channel.attrib for key in _SAID_BY) or methods & set(_METHODS):
            raise _fluorescence(name, said)
        check_bright_field(name, [said])


def _fluorescence(name: str, channel: str) -> ImageError:
    which = f" (channel {' '.join(channel.split())[:40]})" if channel else ""
    return ImageError(
        f"{name} shows fluorescence{which}; expected a stained section under bright field. "
        "Open an H&E or immunohistochemistry image."
    )
