"""Refusals: an HTTP status and a sentence that says what to do."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from napari_nunext.serving.protocol import Problem


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
        "The model server wants a token that was not shown. Give the one it was started with.",
        {"WWW-Authenticate": "Bearer"},
    )


def too_large(limit_bytes: int) -> Refusal:
    """The body exceeds the limit."""
    return Refusal(
        413,
        "too_large",
        f"The request is larger than the {limit_bytes / 2**20:g} MiB that this model server "
        "accepts. Send a smaller region of the image.",
    )


def busy() -> Refusal:
    """As many requests wait as may."""
    return Refusal(
        429,
        "busy",
        "The model server has too much to do at the moment. Try again in a few seconds.",
        {"Retry-After": "5"},
    )
