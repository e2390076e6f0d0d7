"""What the user set in napari's preferences for this plugin."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.review.controller import DEFAULT_MPP

if TYPE_CHECKING:
    from napari_nunext.core.process.precision import Precision

PLUGIN = "napari-nunext"


@dataclass(frozen=True, slots=True)
class Settings:
    """The preferences, with their defaults filled in."""

    annotator: str
    default_mpp: float = DEFAULT_MPP
    server_url: str = ""
    """Address of a shared model server; empty for one of our own."""
    server_token: str = ""
    precision: Precision = "auto"
    """Arithmetic of our own server's detectors."""
    ratings: bool = True
    """Whether answers to questions can be rated."""
    answer_keys: str = ""
    """Keys that judge answers, as `AnswerKeys.chosen` reads them."""
    keys: str = ""
    """Other keys than the usual ones, as `ChosenKeys.read` reads them."""


def read_settings() -> Settings:
    """The preferences as they are now."""
    known = _known()
    if known is None:
        return Settings(annotator=login_name())
    return Settings(
        annotator=known.review.annotator.strip() or login_name(),
        default_mpp=known.review.default_mpp,
        server_url=known.server.url.strip(),
        server_token=known.server.token.strip(),
        precision=known.server.dtype,
        ratings=known.review.ratings,
        answer_keys=known.review.answer_keys,
        keys=known.review.keys,
    )


def keep_keys(text: str) -> bool:
    """Keep which keys were chosen, and say whether they are there after a restart.

    napari writes its preferences at once.
    """
    known = _known()
    if known is None:
        return False
    known.review.keys = text
    return True


def _known() -> Any:
    """What napari keeps for us.

    None where it has not registered the plugin, for example in a script, and before napari 0.9,
    which keeps no preferences of plugins.
    """
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    return get_plugin_settings().get(PLUGIN)


def login_name() -> str:
    """Who is logged in; "reviewer" where the system does not say."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # Windows has no `pwd` to ask
        return "reviewer"
