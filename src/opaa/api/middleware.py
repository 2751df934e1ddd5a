"""What surrounds every request: an id, limits on its size, security headers, metrics and the access log."""

import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opaa.db.base import uuid7
from opaa.telemetry import metrics

log = structlog.get_logger("opaa.access_log")

API_PREFIX = "/api/v1"  # a router knows its routes without it
LARGEST_JSON_BYTES = 1024 * 1024
MULTIPART_OVERHEAD_BYTES = 1024 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _TooLargeError(HTTPException):
    """An HTTPException, because FastAPI turns any other error while it reads a body into a 400."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The request is larger than the limit of {limit} bytes")


class RequestMiddleware:
    """Pure ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, *, max_upload_bytes: int, secure: bool) -> None:
        self.app = app
        self.max_upload_bytes = max_upload_bytes
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = uuid7().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 500
        limit = self._limit(Headers(scope=scope))
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLargeError(limit)
            return message

        async def decorated(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._decorate(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            declared = Headers(scope=scope).get("content-length", "0")
            if declared.isdigit() and int(declared) > limit:
                await self._refuse(decorated, limit, request_id)
            else:
                await self.app(scope, counted, decorated)
        except _TooLargeError:
            await self._refuse(decorated, limit, request_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _limit(self, headers: Headers) -> int:
        if headers.get("content-type", "").startswith("multipart/"):
            return self.max_upload_bytes + MULTIPART_OVERHEAD_BYTES
        return LARGEST_JSON_BYTES

    async def _refuse(self, send: Send, limit: int, request_id: str) -> None:
        body = (
            '{"type":"urn:opaa:error:too-large","title":"Content Too Large","status":413,"code":"too-large",'
            f'"detail":"The request is larger than the limit of {limit} bytes","request_id":"{request_id}"}}'
        ).encode()
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})

    def _decorate(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-ID"] = request_id
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        policy = DOCS_POLICY if scope["path"] == "/docs" else CONTENT_SECURITY_POLICY
        headers.setdefault("Content-Security-Policy", policy)
        if self.secure:
            headers.setdefault("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
        if scope["path"].startswith("/api/"):
            headers.setdefault("Cache-Control", "no-store")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        if scope["path"].startswith(API_PREFIX) and not route.startswith(API_PREFIX):
            route = API_PREFIX + route.removeprefix("none")
        metrics.REQUESTS.labels(scope["method"], route, str(status)).inc()
        metrics.REQUEST_SECONDS.labels(scope["method"], route).observe(seconds)
        if route not in {"/livez", "/readyz", "/metrics"}:
            log.info("request", method=scope["method"], route=route, status=status, took_ms=round(seconds * 1000, 1))
