"""What a server's refusal says, when it may be asked again, and what it can be asked without.

A server refuses fields that it does not know. Fields of `SPARED` came later than the first version:
one of before is asked again without them, and does the same a little less well.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.serving.protocol import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    import httpx
    from pydantic import BaseModel


SPARED: dict[str, dict[str, Any]] = {
    "among": {"among": True},
    "outline": {"prompts": {"__all__": {"outline": True}}},
    "position_error": {"position_error": True},
}
"""How pydantic is told to leave each of them out of a request."""
_UNKNOWN = re.compile(
    r"The request's (?:\S+\.)?(\w+) cannot be used: Extra inputs are not permitted"
)


def unknown_field(error: Exception) -> str:
    """The field of `SPARED` that a server of before says it does not know; empty for none."""
    said = _UNKNOWN.match(str(error))
    return said[1] if said is not None and said[1] in SPARED else ""


def body_of(message: BaseModel, lacks: Collection[str] = ()) -> str:
    """A request as it is sent, without what is None, and fields of `SPARED` that a server lacks."""
    left_out = {key: how for field in lacks for key, how in SPARED[field].items()}
    return message.model_dump_json(exclude_none=True, exclude=left_out or None)


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
