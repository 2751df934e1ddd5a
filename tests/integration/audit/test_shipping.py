"""The audit log on its way to receivers on this machine: TCP, TLS and HTTP, away and back again."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opaa.audit import service as audit
from opaa.audit.chain import seal
from opaa.audit.shipping import HttpReceiver, SyslogReceiver, ship
from opaa.db.base import utc_now
from opaa.db.session import Database
from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy, EgressRefusedError
from tests.conftest import Tenant


async def write(database: Database, tenant: Tenant, count: int, action: str = "thing.done") -> None:
    async with database.transaction(tenant.system) as session:
        for number in range(count):
            await audit.record(
                session,
                tenant.organization_id,
                "user:x",
                action,
                details={"number": number},
                private={"question": "what is private"},
            )
    while await seal(database, tenant.organization_id):
        pass


@asynccontextmanager
async def syslog(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A receiver that reads octet-counted messages (RFC 6587, 3.4.1)."""
    messages: list[bytes] = []

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int(await reader.readuntil(b" "))
                messages.append(await reader.readexactly(length))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], messages


async def arrived(messages: list[Any], count: int) -> None:
    async with asyncio.timeout(10):
        while len(messages) < count:  # noqa: ASYNC110 - the receiver is another task of this loop
            await asyncio.sleep(0.01)


def certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for a host, as a file to trust and as a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.replace(year=now.year - 1))
        .not_valid_after(now.replace(year=now.year + 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file, key_file = folder / f"{host}.pem", folder / f"{host}.key"
    file.write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return file, context


def receiver(scheme: str, port: int, ca_file: Path | None = None) -> SyslogReceiver:
    url = f"{scheme}://localhost:{port}"
    return SyslogReceiver(url, ca_file, EgressPolicy.of([url]))


@pytest.mark.req("SEC-8")
async def test_sealed_rows_arrive_in_order_and_only_once_acknowledged(database: Database, tenant: Tenant) -> None:
    async with syslog() as (port, messages):
        target = receiver("syslog+tcp", port)
        await write(database, tenant, 3)
        assert await ship(database, tenant.organization_id, target) == 3
        await write(database, tenant, 2, "evil\r\n<0>1 forged ünïcode")
        assert await ship(database, tenant.organization_id, target) == 2
        assert await ship(database, tenant.organization_id, target) == 0
        await arrived(messages, 5)
    rows = []
    for message in messages:
        head, _, body = message.partition(b" - {")
        assert head.startswith(b"<110>1 20")
        assert b"\n" not in message and b"\r" not in message
        assert b"private" not in message
        rows.append(json.loads(b"{" + body))
    assert [row["sequence"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[4]["action"] == "evil\r\n<0>1 forged ünïcode"
    assert {row["organization_id"] for row in rows} == {str(tenant.organization_id)}


@pytest.mark.req("SEC-8", "SEC-10")
async def test_tls_is_checked(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    trusted, context = certificate(tmp_path, "localhost")
    stranger, _ = certificate(tmp_path, "other.example")
    await write(database, tenant, 1)
    async with syslog(context) as (port, messages):
        for ca_file in (None, stranger):
            with pytest.raises(ssl.SSLCertVerificationError):
                await ship(database, tenant.organization_id, receiver("syslog+tls", port, ca_file))
        assert await ship(database, tenant.organization_id, receiver("syslog+tls", port, trusted)) == 1
        await arrived(messages, 1)
    _, other = certificate(tmp_path, "other.example")
    async with syslog(other) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            target = receiver("syslog+tls", port, tmp_path / "other.example.pem")
            await ship(database, tenant.organization_id, target)


@pytest.mark.req("SEC-8")
async def test_a_receiver_that_was_away_misses_nothing(database: Database, tenant: Tenant) -> None:
    posted: list[dict[str, Any]] = []
    state = {"status": 503}

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer t"
        if state["status"] == 200:
            posted.extend(json.loads(line) for line in request.content.decode().splitlines())
        return httpx2.Response(state["status"])

    target = HttpReceiver("https://siem.example/in?x=1", "t", lambda: httpx2.MockTransport(answer))
    await write(database, tenant, 700)
    for status in (503, 302, 401):
        state["status"] = status
        with pytest.raises(httpx2.HTTPError):
            await ship(database, tenant.organization_id, target)
    state["status"] = 200
    sent = [await ship(database, tenant.organization_id, target) for _ in range(3)]
    assert sent == [500, 200, 0]
    assert [row["sequence"] for row in posted] == list(range(1, 701))
    assert "what is private" not in json.dumps(posted)


@pytest.mark.req("SEC-8")
async def test_two_processes_do_not_send_the_same_batch(database: Database, tenant: Tenant) -> None:
    await write(database, tenant, 50)
    async with syslog() as (port, messages):
        target = receiver("syslog+tcp", port)
        sent = await asyncio.gather(*(ship(database, tenant.organization_id, target) for _ in range(8)))
        assert sum(sent) == 50
        await arrived(messages, 50)
        await asyncio.sleep(0)
    assert len(messages) == 50


@pytest.mark.req("SEC-8", "SEC-10")
async def test_it_goes_nowhere_that_is_not_configured(database: Database, tenant: Tenant) -> None:
    await write(database, tenant, 1)
    policy = EgressPolicy.of(["https://other.example"])
    for target in (
        SyslogReceiver("syslog+tcp://localhost:9", None, policy),
        HttpReceiver("http://localhost:9/in", None, partial(egress.transport, policy)),
    ):
        with pytest.raises(EgressRefusedError):
            await ship(database, tenant.organization_id, target)
