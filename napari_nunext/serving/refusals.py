"""Refusals: an HTTP status and a sentence that says what to do."""

from __future__ import annotations

import math

# FastAPI's own type: it lets no other pass that is raised while it reads a body.
from fastapi import HTTPException

from napari_nunext.serving.protocol import Failed, Problem

AWAY_RETRY_S = 5
"""What runs a model may be back after that."""


class Refusal(HTTPException):
    """A request that is not served. Its body is a `Problem`."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.problem = Problem(code=code, message=message)


def unauthorised() -> Refusal:
    """The token is missing or wrong."""
    return Refusal(
        401,
        "unauthorised",
        "The model server wants a token that was not shown. Give the one it was started with, "
        "or a key that its keys file knows.",
        {"WWW-Authenticate": "Bearer"},
    )


def too_large(limit_bytes: int) -> Refusal:
    """The body exceeds the limit."""
    return Refusal(
        413,
        "too_large",
        f"The request is larger than the {limit_bytes / 2**20:g} MiB that this model server "
        "accepts. Send a smaller region of the image, or fewer prompts.",
    )


def too_large_to_decode(needed_bytes: int, limit_bytes: int) -> Refusal:
    """The image would take more memory than there is for decoding."""
    return Refusal(
        413,
        "too_large",
        f"Decoding the image would take {needed_bytes / 2**20:.0f} MiB of memory; this model "
        f"server takes {limit_bytes / 2**20:.0f}. Send a smaller region of it, as 8-bit RGB.",
    )


def may_not_name_files() -> Refusal:
    """Files are named by who may not, or to a server that takes none."""
    return Refusal(
        403, "no_files", "This model server reads no files for its callers. Send the image."
    )


def file_not_taken() -> Refusal:
    """A file that was named is not there, or not what was said. No word of where it lies."""
    return Refusal(
        422, "file_not_taken", "The model server cannot take this image from its file. Send it."
    )


def too_slow(limit_s: float) -> Refusal:
    """The body did not arrive in time."""
    return Refusal(
        408,
        "too_slow",
        f"The upload took longer than {limit_s:g} s. Send a smaller region of the image.",
    )


def silent(limit_s: float) -> Refusal:
    """A body stopped in the middle."""
    return Refusal(
        408, "too_slow", f"Nothing more of the upload came for {limit_s:g} s. Send it again."
    )


def hung_up() -> Refusal:
    """The caller is not there any more: for our log alone."""
    return Refusal(499, "hung_up", "The caller hung up.")


def busy(whose: str, retry_s: float) -> Refusal:
    """As many requests wait as may: of everybody together, or of this caller (``"yours"``)."""
    seconds = max(math.ceil(retry_s), 1)
    subject = (
        "The model server has too much to do at the moment."
        if whose == "all"
        else "Too many of your requests wait at the model server."
    )
    return Refusal(
        429,
        "busy",
        f"{subject} Try again in {seconds} s.",
        {"Retry-After": str(seconds)},
    )


def refused(failed: Failed) -> Refusal:
    """What a stream would have said in its last event, for who waits for one answer."""
    return Refusal(_STATUS.get(failed.code, 500), failed.code, failed.message)


_STATUS = {"cancelled": 409, "busy": 503, "hangs": 503, "time_limit": 503}


def draining(retry_s: float) -> Refusal:
    """The server ends what runs, and takes nothing more."""
    seconds = max(math.ceil(retry_s), 1)
    return Refusal(
        503,
        "draining",
        f"The model server is about to stop. Try again in {seconds} s, or start it again.",
        {"Retry-After": str(seconds)},
    )


def away(problem: str) -> Refusal:
    """What runs the model is not there yet, or not any more."""
    return Refusal(503, "model_away", problem, {"Retry-After": str(AWAY_RETRY_S)})
