"""What surrounds every request: an id, limits on its size, security headers, metrics and the access log."""

import json
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opaa.api.client_address import client_address, parse_networks
from opaa.api.rate_limits import RateLimitedError, RateLimits
from opaa.db.base import uuid7
from opaa.settings import Settings
from opaa.telemetry import metrics

log = structlog.get_logger("opaa.access_log")

API_PREFIX = "/api/v1"  # a router knows its routes without it
LARGEST_JSON_BYTES = 1024 * 1024
COUNTED = ("/api/", "/scim/")  # what an address may ask for only so often
PROBES = ("/livez", "/readyz", "/healthz", "/metrics")
MULTIPART_OVERHEAD_BYTES = 1024 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is answered before anything looks at it."""

    status: int
    code: str
    detail: str
    retry_after_s: int | None = None


class RequestMiddleware:
    """Pure ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, settings: Settings, limits: RateLimits) -> None:
        self.app = app
        self.max_upload_bytes = settings.max_upload_bytes
        self.secure = settings.cookie_secure
        self.trusted_proxies = parse_networks(settings.trusted_proxies)
        self.hosts = {host.lower() for host in settings.allowed_hosts}
        self.limits = limits

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
            refusal = await self._refusal(scope, limit)
            if refusal is not None:
                await _send(decorated, refusal, request_id)
            else:
                await self.app(scope, counted, decorated)
        except _TooLargeError:
            await _send(decorated, _too_large(limit), request_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _limit(self, headers: Headers) -> int:
        if headers.get("content-type", "").startswith("multipart/"):
            return self.max_upload_bytes + MULTIPART_OVERHEAD_BYTES
        return LARGEST_JSON_BYTES

    async def _refusal(self, scope: Scope, limit: int) -> Refusal | None:
        """Why a request is not even looked at, if it is not."""
        headers = Headers(scope=scope)
        peer = scope["client"][0] if scope.get("client") else ""
        address = client_address(peer, headers.getlist("x-forwarded-for"), self.trusted_proxies)
        scope["client"] = (address, 0)
        if self.hosts and not scope["path"].startswith(PROBES) and _host(headers.get("host", "")) not in self.hosts:
            return Refusal(400, "bad-request", "This installation does not answer under that name")
        if scope["path"].startswith(COUNTED):
            try:
                scope["state"]["rate_limit"] = await self.limits.count("address", address)
            except RateLimitedError as error:
                return Refusal(429, error.code, error.message, error.retry_after_s)
        declared = headers.get("content-length", "0")
        return _too_large(limit) if declared.isdigit() and int(declared) > limit else None

    def _decorate(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-ID"] = request_id
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        for name, value in scope["state"].get("rate_limit", {}).items():
            headers.setdefault(name, value)
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


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too-large", f"The request is larger than the limit of {limit} bytes")


def _host(header: str) -> str:
    """The name of a Host header without its port."""
    name = header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() and not header.endswith("]") else header
    return name.lower()


async def _send(send: Send, refusal: Refusal, request_id: str) -> None:
    """A problem document (RFC 9457), and the end of the connection: the rest of the request is not read."""
    body = json.dumps(
        {
            "type": f"urn:opaa:error:{refusal.code}",
            "title": HTTPStatus(refusal.status).phrase,
            "status": refusal.status,
            "code": refusal.code,
            "detail": refusal.detail,
            "request_id": request_id,
        }
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
