"""HTTP clients that connect to the addresses that were checked, and to no others.

A name is looked up once; every address it stands for is checked, and the connection made to one of those very
addresses, so that a second look-up cannot give another (DNS rebinding). Redirects are not followed. What the
environment says about proxies is ignored.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
import structlog
from httpcore2._backends.auto import AutoBackend

from opaa.egress.policy import EgressPolicy, EgressRefusedError

log = structlog.get_logger(__name__)

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


class _PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._backend = AutoBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's parameter
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        name = self._policy.check_host(host, port)
        problem: Exception | None = None
        addresses = await _look_up(name, port)
        for address in addresses:
            self._policy.check_address(name, ip_address(address.partition("%")[0]))
        for address in addresses:
            try:
                return await self._backend.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore2.ConnectError(f"{name} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's parameter
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise EgressRefusedError("No request is sent to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Sends nothing to a host that the policy does not name, and reads no answer without end."""

    def __init__(self, policy: EgressPolicy, largest_answer_bytes: int) -> None:
        super().__init__(http2=False)
        self._policy = policy
        self._largest = largest_answer_bytes
        self._pool._network_backend = _PinnedBackend(policy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in {"http", "https"} or url.userinfo:
            raise EgressRefusedError(f"No request was sent: {url.scheme} addresses, and log-ins in them, are not taken")
        try:
            self._policy.check_host(url.host, url.port or (443 if url.scheme == "https" else 80))
            response = await super().handle_async_request(request)
        except EgressRefusedError as error:
            log.warning("egress refused", problem=error.message)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - what the base class returns
        response.stream = _Limited(response.stream, self._largest, url.host)
        return response


class _Limited(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, largest: int, host: str) -> None:
        self._stream, self._largest, self._host = stream, largest, host

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for part in self._stream:
            received += len(part)
            if received > self._largest:
                raise httpx2.RemoteProtocolError(f"{self._host} answered with more than {self._largest} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def transport(policy: EgressPolicy, largest_answer_bytes: int = LARGEST_ANSWER_BYTES) -> httpx2.AsyncBaseTransport:
    """What requests under the policy go through; it belongs to one client, which closes it."""
    return GuardedTransport(policy, largest_answer_bytes)


def client(through: httpx2.AsyncBaseTransport, *, timeout_s: float, **options: Any) -> httpx2.AsyncClient:  # noqa: ANN401
    """A client whose every request goes through that transport, with a deadline, and follows no redirect."""
    return httpx2.AsyncClient(transport=through, timeout=timeout_s, follow_redirects=False, trust_env=False, **options)


async def open_connection(
    policy: EgressPolicy, host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A plain connection, or one with TLS, for protocols other than HTTP. Raises EgressRefusedError, OSError."""
    name = policy.check_host(host, port)
    try:
        addresses = await _look_up(name, port)
    except httpcore2.ConnectError as error:
        raise ConnectionError(str(error)) from error
    for address in addresses:
        policy.check_address(name, ip_address(address.partition("%")[0]))
    problem: OSError | None = None
    for address in addresses:
        try:
            return await asyncio.open_connection(
                address, port, ssl=tls, server_hostname=name if tls is not None else None
            )
        except OSError as error:
            problem = error
    raise problem or ConnectionError(f"{name} has no address")


async def _look_up(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} cannot be looked up") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
