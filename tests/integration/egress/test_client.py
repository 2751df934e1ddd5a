"""Real requests to real servers on this machine, through a resolver that lies."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy, EgressRefusedError


@asynccontextmanager
async def server(answer: bytes, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """Says `answer` to whoever connects; what it was asked is kept."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, host, 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], asked


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
Resolve = Callable[[str], list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What each name stands for, look-up after look-up (the last stays)."""
    table: dict[str, list[list[str]]] = {}
    real = asyncio.BaseEventLoop.getaddrinfo

    async def lying(self: Any, host: str, port: int, **options: Any) -> Any:
        if host not in table:
            return await real(self, host, port, **options)
        answers = table[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", lying)
    return table


async def get(policy: EgressPolicy, url: str, **options: Any) -> httpx2.Response:
    async with egress.client(egress.transport(policy, **options), timeout_s=5) as client:
        return await client.get(url)


@pytest.mark.req("SEC-10")
async def test_a_named_host_is_asked_and_others_are_not() -> None:
    async with server(OK) as (port, asked), server(OK) as (other, untouched):
        policy = EgressPolicy.of([], [f"localhost:{port}"])
        assert (await get(policy, f"http://localhost:{port}/a")).text == "hi"
        for url in (f"http://localhost:{other}/", f"http://127.0.0.1:{port}/", f"http://127.1:{port}/",
                    f"http://0x7f.0.0.1:{port}/", f"http://2130706433:{port}/", f"http://[::ffff:127.0.0.1]:{port}/",
                    f"http://user:pw@localhost:{port}/", f"http://localhost.:{port}/",
                    f"http://①②⑦.0.0.1:{port}/"):  # fmt: skip
            with pytest.raises((EgressRefusedError, httpx2.InvalidURL)):
                await get(policy, url)
        assert len(asked) == 1 and not untouched


@pytest.mark.req("SEC-10")
async def test_a_public_name_for_a_private_address_is_refused(names: dict[str, list[list[str]]]) -> None:
    async with server(OK) as (port, asked):
        policy = EgressPolicy.of([f"http://api.example.com:{port}/v1"])
        for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"):
            names["api.example.com"] = [[address]]
            with pytest.raises(EgressRefusedError, match="No request was sent"):
                await get(policy, f"http://api.example.com:{port}/")
        names["api.example.com"] = [["127.0.0.1", "93.184.216.34"]]
        with pytest.raises(EgressRefusedError):
            await get(policy, f"http://api.example.com:{port}/")
        assert not asked


@pytest.mark.req("SEC-10")
async def test_the_address_connected_to_is_the_one_that_was_checked(names: dict[str, list[list[str]]]) -> None:
    """DNS rebinding: the second look-up would give another address, but there is none."""
    async with server(OK, "127.0.0.1") as (port, good):
        policy = EgressPolicy.of([f"http://app.example.com:{port}"], ["127.0.0.1"])
        names["app.example.com"] = [["127.0.0.1"], ["127.0.0.9"]]
        assert (await get(policy, f"http://app.example.com:{port}/")).text == "hi"
        assert len(names["app.example.com"]) == 1  # looked up once
        assert good and good[0].startswith(b"GET / HTTP/1.1\r\nHost: app.example.com")


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_redirects_are_not_followed(status: str) -> None:
    async with server(OK) as (inner, untouched):
        moved = f"HTTP/1.1 {status}\r\nLocation: http://localhost:{inner}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with server(moved) as (port, _):
            answer = await get(
                EgressPolicy.of([], [f"localhost:{port}", f"localhost:{inner}"]), f"http://localhost:{port}/"
            )
            assert answer.status_code // 100 == 3
            assert not untouched


@pytest.mark.req("SEC-10")
async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(OK) as (port, asked), server(OK) as (proxy, untouched):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        await get(EgressPolicy.of([f"http://localhost:{port}"]), f"http://localhost:{port}/")
        assert asked and not untouched


@pytest.mark.req("SEC-10")
async def test_an_endless_answer_ends() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    async with server(large) as (port, _):
        policy = EgressPolicy.of([f"http://localhost:{port}"])
        with pytest.raises(httpx2.RemoteProtocolError, match="more than 1000 bytes"):
            await get(policy, f"http://localhost:{port}/", largest_answer_bytes=1000)
