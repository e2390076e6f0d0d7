"""What goes wrong in a request, as its caller is told: a `Problem` with the right status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from napari_nunext.core.errors import NunextError
from napari_nunext.serving.refusals import Refusal

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request


def refusal_response(refusal: Refusal) -> Response:
    """The answer that tells of a refusal."""
    return Response(
        refusal.problem.model_dump_json(),
        refusal.status_code,
        dict(refusal.headers or {}),
        "application/json",
    )


def answer_errors(app: FastAPI) -> None:
    """Answer every error of the routes with a `Problem`."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NunextError, _unusable)
    app.add_exception_handler(Exception, _broken)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not isinstance(error, Refusal):  # an unknown path or method, JSON that does not parse
        error = Refusal(error.status_code, "http", f"{error.detail}.", dict(error.headers or {}))
    return refusal_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "path"))
    message = f"The request's {where or 'body'} cannot be used: {first['msg']}."
    return refusal_response(Refusal(422, "invalid", message))


async def _unusable(_: Request, error: Exception) -> Response:
    return refusal_response(Refusal(422, "unusable", str(error)))


async def _broken(_: Request, error: Exception) -> Response:
    """Starlette logs it with its traceback, after this."""
    message = f"The model server failed ({type(error).__name__}). Its log says more."
    return refusal_response(Refusal(500, "internal", message))
