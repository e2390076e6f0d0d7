"""What a server's refusal says, and when it may be asked again."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.serving.protocol import Problem

if TYPE_CHECKING:
    import httpx


def rejection_of(response: httpx.Response) -> RequestRejectedError:
    """The error to raise for a response that is one; its body was read."""
    try:
        message = Problem.model_validate_json(response.content).message
    except ValidationError:
        message = (
            f"The model server at {response.url.host} refused with HTTP {response.status_code} "
            "and gave no reason."
        )
    return RequestRejectedError(message, response.status_code, _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds until it is worth to ask again; None where the answer does not say.

    The header is a number of seconds or a date (RFC 9110, 10.2.3).
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
