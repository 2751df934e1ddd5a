"""Errors as problem documents (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from opaa.api.rate_limits import RateLimitedError
from opaa.db.session import translate
from opaa.errors import OpaaError, UnavailableError
from opaa.identity.service import LockedError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


class Problem(BaseModel):
    """What went wrong. `code` is stable; `detail` is a sentence for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []


def problem(request: Request, status: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "type": f"urn:opaa:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": getattr(request.state, "request_id", ""),
        **extra,
    }


def problem_of(request: Request, error: OpaaError) -> dict[str, Any]:
    return problem(request, error.status, error.code, error.message)


def response(body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(body, status_code=body["status"], media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Every error of the application leaves as a problem document."""

    @app.exception_handler(OpaaError)
    async def deliberate(request: Request, error: OpaaError) -> JSONResponse:
        headers = {}
        if isinstance(error, (LockedError, RateLimitedError)):
            headers["Retry-After"] = str(error.retry_after_s)
        elif isinstance(error, UnavailableError):
            headers["Retry-After"] = str(RETRY_AFTER_S)
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return response(problem_of(request, error), headers)

    @app.exception_handler(DBAPIError)
    async def database(request: Request, error: DBAPIError) -> JSONResponse:
        translated = translate(error)
        if isinstance(translated, OpaaError):
            return await deliberate(request, translated)
        return await unexpected(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [
            {
                "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
                "message": str(item["msg"]).removeprefix("Value error, "),
            }
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:5])
        return response(problem(request, 422, "invalid-input", detail, errors=errors))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        codes = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 400: "bad-request"}
        code = codes.get(error.status_code, "http")
        return response(
            problem(request, error.status_code, code, str(error.detail)), dict(error.headers) if error.headers else None
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error", exc_info=error, path=request.url.path)
        detail = "Something unexpected went wrong; the log has the details under the request id"
        return response(problem(request, 500, "internal", detail))
