"""Sealed audit rows on their way to a SIEM: in the order of the chain, each at least once, without private data.

How far each receiver has got is in the database, so that any process can go on where another stopped, and a receiver
that was away misses nothing.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import structlog
from sqlalchemy import text

from opaa.db.session import Database, TenantContext
from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy, EgressRefusedError
from opaa.errors import OpaaError

log = structlog.get_logger(__name__)

BATCH = 500
SHIP_EVERY_S = 5.0
LONGEST_PAUSE_S = 300.0
TIMEOUT_S = 10.0
AUDIT_FACILITY = 13  # RFC 5424, table 1
INFORMATIONAL, WARNING = 6, 4

_NEXT = """
SELECT c.sequence, c.hash, l.id, l.organization_id, l.at, l.actor, l.action, l.target, l.outcome, l.details
  FROM audit_chain c JOIN audit_log l ON l.id = c.audit_id
 WHERE c.organization_id = :organization AND c.sequence > :after ORDER BY c.sequence LIMIT :most"""
_CURSOR = """
SELECT sequence FROM audit_shipments WHERE organization_id = :organization AND receiver = :receiver
   FOR UPDATE SKIP LOCKED"""
_FIRST = """
INSERT INTO audit_shipments (organization_id, receiver, sequence) VALUES (:organization, :receiver, 0)
    ON CONFLICT DO NOTHING"""
_ADVANCE = """
UPDATE audit_shipments SET sequence = :sequence, shipped_at = now()
 WHERE organization_id = :organization AND receiver = :receiver"""


class Row(Protocol):
    """What a receiver gets of an audit row."""

    sequence: int
    hash: bytes
    organization_id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any]


class Receiver(Protocol):
    """Takes rows, all of them or none. Raises OSError, httpx2.HTTPError or EgressRefusedError."""

    name: str

    async def send(self, rows: Sequence[Row]) -> None: ...


class SyslogReceiver:
    """RFC 5424 messages over TCP with octet counting (RFC 6587), or over TLS (RFC 5425) with the certificate verified.

    TCP tells nothing of what the receiver did with a message: what was under way when a connection broke is sent again,
    and may arrive twice.
    """

    def __init__(self, url: str, ca_file: Path | None, policy: EgressPolicy) -> None:
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        self._host, self._port = parts.hostname or "", parts.port or 6514
        self._policy = policy
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "syslog+tls":
            self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    async def send(self, rows: Sequence[Row]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await egress.open_connection(self._policy, self._host, self._port, self._tls)
            try:
                for row in rows:
                    message = syslog_message(row)
                    writer.write(str(len(message)).encode() + b" " + message)
                await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
            finally:
                writer.close()
                await writer.wait_closed()


class HttpReceiver:
    """JSON Lines posted to an address; any status of 2xx means that the whole batch is taken."""

    def __init__(self, url: str, token: str | None, transport: Callable[[], httpx2.AsyncBaseTransport]) -> None:
        self.name = url.partition("?")[0]
        self._url, self._transport = url, transport
        self._headers = {"Content-Type": "application/x-ndjson"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def send(self, rows: Sequence[Row]) -> None:
        body = "".join(shipped(row) + "\n" for row in rows)
        async with egress.client(self._transport(), timeout_s=TIMEOUT_S) as client:
            answer = await client.post(self._url, content=body.encode(), headers=self._headers)
            answer.raise_for_status()
            if not answer.is_success:
                raise httpx2.HTTPStatusError("not taken", request=answer.request, response=answer)


def shipped(row: Row) -> str:
    """A row as one line of JSON; organization and sequence number say which it is, and whether one is missing."""
    return json.dumps(
        {
            "organization_id": str(row.organization_id),
            "sequence": row.sequence,
            "hash": row.hash.hex(),
            "at": row.at.isoformat(),
            "actor": row.actor,
            "action": row.action,
            "target": row.target,
            "outcome": row.outcome,
            "details": row.details,
        },
        sort_keys=True,
    )


def syslog_message(row: Row) -> bytes:
    """A row as an RFC 5424 message: the action is the MSGID, the whole of it the message."""
    severity = INFORMATIONAL if row.outcome == "success" else WARNING
    action = "".join(character for character in row.action if "!" <= character <= "~")[:32] or "-"
    head = f"<{AUDIT_FACILITY * 8 + severity}>1 {row.at.isoformat()} - opaa - {action} - "
    return head.encode() + shipped(row).encode()


async def ship(database: Database, organization_id: UUID, receiver: Receiver) -> int:
    """Send one batch of what a receiver does not have yet; how many rows. Only one process does so at a time."""
    place = {"organization": organization_id, "receiver": receiver.name}
    async with database.transaction(TenantContext.system(organization_id)) as session:
        await session.execute(text(_FIRST), place)
    async with database.transaction(TenantContext.system(organization_id)) as session:
        after = await session.scalar(text(_CURSOR), place)
        if after is None:
            return 0  # another process is at it
        rows: list[Any] = list(await session.execute(text(_NEXT), {**place, "after": after, "most": BATCH}))
        if rows:
            await receiver.send(rows)
            await session.execute(text(_ADVANCE), {**place, "sequence": rows[-1].sequence})
    return len(rows)


async def ship_forever(
    database: Database, organizations: Callable[[], Awaitable[Iterable[UUID]]], receiver: Receiver
) -> None:
    """Send what is sealed, of every organization, until cancelled; while the receiver is away, ever more rarely."""
    pause_s = SHIP_EVERY_S
    while True:
        try:
            for organization_id in await organizations():
                while await ship(database, organization_id, receiver):
                    pass
            pause_s = SHIP_EVERY_S
        except (OSError, TimeoutError, httpx2.HTTPError, EgressRefusedError, OpaaError) as error:
            reason = error.message if isinstance(error, OpaaError) else type(error).__name__
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            log.warning("the audit log could not be shipped", receiver=receiver.name, reason=reason, again_in_s=pause_s)
        await asyncio.sleep(pause_s)
