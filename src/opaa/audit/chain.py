"""The hash chain over an organization's audit rows: sealed in batches, so that writers wait for nobody, and verified.

The hash of a row is SHA-256(hash of the row before it ‖ id ‖ the row's MAC ‖ the row in canonical form); the last row
of each batch carries a seal, an HMAC with the installation's key. Anchors, the seals written down outside the
database, tell when the end of a chain is missing.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.audit.service import canonical, private_digest
from opaa.db.base import utc_now
from opaa.db.session import Database, TenantContext
from opaa.errors import InvalidInputError, OpaaError

log = structlog.get_logger(__name__)

BATCH = 5_000
SEAL_EVERY_S = 5.0
UNSEALED_LONGEST_S = 300
START = bytes(32)

_COLUMNS = "l.id, l.organization_id, l.at, l.actor, l.action, l.target, l.outcome, l.details, l.private_hash, l.mac"
_PENDING = f"""
SELECT {_COLUMNS} FROM audit_pending p JOIN audit_log l ON l.id = p.audit_id
 WHERE p.organization_id = :organization ORDER BY p.audit_id LIMIT :most"""  # noqa: S608 - a constant
_APPEND = """
INSERT INTO audit_chain (organization_id, sequence, audit_id, hash, seal)
SELECT :organization, s, i, h, CASE WHEN i = :last THEN CAST(:seal AS bytea) END
  FROM unnest(CAST(:sequences AS bigint[]), CAST(:ids AS bigint[]), CAST(:hashes AS bytea[])) AS t (s, i, h)"""
_CHAIN = f"""
SELECT c.sequence, c.audit_id, c.hash, c.seal, h.salt, h.data, {_COLUMNS}
  FROM audit_chain c LEFT JOIN audit_log l ON l.id = c.audit_id LEFT JOIN audit_private h ON h.audit_id = c.audit_id
 WHERE c.organization_id = :organization AND c.sequence > :after ORDER BY c.sequence LIMIT :most"""  # noqa: S608
_LOOSE = f"""
SELECT p.audit_id IS NOT NULL AS waiting, h.salt, h.data, {_COLUMNS}
  FROM audit_log l LEFT JOIN audit_pending p ON p.audit_id = l.id LEFT JOIN audit_private h ON h.audit_id = l.id
 WHERE l.organization_id = :organization AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.audit_id = l.id)
 ORDER BY l.id LIMIT :most"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Anchor:
    """The state of a chain at a moment: the hash of the row with this sequence number."""

    organization_id: UUID
    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a chain. `kind` is a stable word."""

    kind: str
    sequence: int | None
    audit_id: int | None
    message: str


@dataclass(slots=True)
class Verification:
    """The outcome: how many rows are sealed, how many wait for the next seal, and what is wrong."""

    sealed: int
    waiting: int
    problems: list[Problem]


def chain_hash(previous: bytes, row: Any) -> bytes:  # noqa: ANN401 - a row of audit_log
    return hashlib.sha256(previous + row.id.to_bytes(8, "big") + bytes(row.mac) + _canonical(row)).digest()


def seal_of(key: bytes, organization_id: UUID, sequence: int, digest: bytes) -> bytes:
    return hmac.digest(key, b"seal" + organization_id.bytes + sequence.to_bytes(8, "big") + digest, "sha256")


def _canonical(row: Any) -> bytes:  # noqa: ANN401
    return canonical(
        row.organization_id,
        row.at,
        row.actor,
        row.action,
        row.target,
        outcome=row.outcome,
        details=row.details,
        private_hash=bytes(row.private_hash) if row.private_hash is not None else None,
    )


async def seal(database: Database, organization_id: UUID) -> Anchor | None:
    """Append the next batch of rows to the chain. None when nothing waits, or another process is at it."""
    async with database.transaction(TenantContext.system(organization_id)) as session:
        lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
        if not await session.scalar(lock, {"name": f"audit:{organization_id}"}):
            return None
        rows = (await session.execute(text(_PENDING), {"organization": organization_id, "most": BATCH})).all()
        if not rows:
            return None
        sequence, digest = await _end(session, organization_id)
        hashes = []
        for row in rows:
            digest = chain_hash(digest, row)
            hashes.append(digest)
        ids = [row.id for row in rows]
        end = sequence + len(rows)
        await session.execute(
            text(_APPEND),
            {
                "organization": organization_id,
                "sequences": list(range(sequence + 1, end + 1)),
                "ids": ids,
                "hashes": hashes,
                "last": ids[-1],
                "seal": seal_of(database.audit_key, organization_id, end, digest),
            },
        )
        await session.execute(text("DELETE FROM audit_pending WHERE audit_id = ANY (:ids)"), {"ids": ids})
    return Anchor(organization_id, end, digest)


async def _end(session: AsyncSession, organization_id: UUID) -> tuple[int, bytes]:
    row = (
        await session.execute(
            text(
                "SELECT sequence, hash FROM audit_chain WHERE organization_id = :organization"
                " ORDER BY sequence DESC LIMIT 1"
            ),
            {"organization": organization_id},
        )
    ).one_or_none()
    return (row[0], bytes(row[1])) if row is not None else (0, START)


async def seal_forever(
    database: Database, organizations: Callable[[], Awaitable[Iterable[UUID]]], anchors: Path
) -> None:
    """Seal what waits, of every organization, until cancelled. Any number of processes may do so at once."""
    while True:
        try:
            for organization_id in await organizations():
                while anchor := await seal(database, organization_id):
                    await asyncio.to_thread(write_anchor, anchors, anchor, database.audit_key)
        except OpaaError as error:
            log.warning("the audit log could not be sealed", reason=error.message)
        except OSError as error:
            log.warning("the anchor of the audit log could not be written", reason=str(error))
        await asyncio.sleep(SEAL_EVERY_S)


def write_anchor(folder: Path, anchor: Anchor, key: bytes) -> None:
    """Append an anchor to the organization's file, and to the log of the process."""
    entry = {
        "organization_id": str(anchor.organization_id),
        "sequence": anchor.sequence,
        "hash": anchor.hash.hex(),
        "seal": seal_of(key, anchor.organization_id, anchor.sequence, anchor.hash).hex(),
        "at": utc_now().isoformat(),
    }
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with anchor_file(folder, anchor.organization_id).open("a", encoding="ascii") as file:
        file.write(json.dumps(entry) + "\n")
    log.info("audit log sealed", **entry)


def anchor_file(folder: Path, organization_id: UUID) -> Path:
    return folder / f"{organization_id}.jsonl"


def read_anchors(path: Path, organization_id: UUID, key: bytes) -> list[Anchor]:
    """The anchors of an organization; [] when there is no file. Raises InvalidInputError for a forged or broken one."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
            owner, sequence, digest = (
                UUID(entry["organization_id"]),
                int(entry["sequence"]),
                bytes.fromhex(entry["hash"]),
            )
            given = bytes.fromhex(entry["seal"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(f"{path}, line {number}: not an anchor") from error
        if owner != organization_id:
            continue
        if not hmac.compare_digest(given, seal_of(key, owner, sequence, digest)):
            raise InvalidInputError(f"{path}, line {number}: the anchor's seal does not fit; it was changed")
        found.append(Anchor(owner, sequence, digest))
    return found


async def verify(database: Database, organization_id: UUID, anchors: Sequence[Anchor] = ()) -> Verification:
    """Read the whole chain and every row, and say what does not fit."""
    result = Verification(0, 0, [])
    expected = {anchor.sequence: anchor.hash for anchor in anchors}
    previous, position, sealed = START, 0, True
    async with database.session(TenantContext.system(organization_id)) as session:
        async for row in _pages(session, organization_id):
            position += 1
            if row.sequence != position:
                result.problems.append(
                    Problem("gap", position, None, f"Sequence {position} to {row.sequence - 1} is missing")
                )
                position = row.sequence
            result.problems += _row_problems(row, database.audit_key, organization_id)
            digest = bytes(row.hash)
            if row.id is not None and chain_hash(previous, row) != digest:
                result.problems.append(Problem("hash", position, row.audit_id, "The row does not continue the chain"))
            if position in expected and expected[position] != digest:
                result.problems.append(Problem("anchor", position, row.audit_id, "The chain differs from an anchor"))
            sealed = row.seal is not None
            if sealed and not hmac.compare_digest(
                bytes(row.seal), seal_of(database.audit_key, organization_id, position, digest)
            ):
                result.problems.append(Problem("seal", position, row.audit_id, "The seal does not fit"))
            previous = digest
        result.sealed = position
        if not sealed:
            result.problems.append(Problem("truncated", position, None, "The chain ends without a seal"))
        last = max(expected, default=0)
        if last > position:
            result.problems.append(
                Problem("truncated", position, None, f"The chain ends at {position}; an anchor knows {last}")
            )
        await _verify_loose(session, database.audit_key, organization_id, result)
    return result


async def _pages(session: AsyncSession, organization_id: UUID) -> AsyncIterator[Any]:
    after = -1
    while True:
        parameters = {"organization": organization_id, "after": after, "most": BATCH}
        rows = (await session.execute(text(_CHAIN), parameters)).all()
        for row in rows:
            yield row
        if len(rows) < BATCH:
            return
        after = rows[-1].sequence


async def _verify_loose(session: AsyncSession, key: bytes, organization_id: UUID, result: Verification) -> None:
    """Rows that are in no chain: those that wait for the next seal, and those that nobody wrote the ordinary way."""
    parameters = {"organization": organization_id, "most": 100_000}
    now = utc_now()
    for row in await session.execute(text(_LOOSE), parameters):
        result.waiting += 1
        result.problems += _row_problems(row, key, organization_id)
        if not row.waiting:
            result.problems.append(Problem("inserted", None, row.id, "The row was not written as OPAA writes rows"))
        elif (now - row.at).total_seconds() > UNSEALED_LONGEST_S:
            result.problems.append(Problem("unsealed", None, row.id, f"The row waits for its seal since {row.at}"))


def _row_problems(row: Any, key: bytes, organization_id: UUID) -> list[Problem]:  # noqa: ANN401
    sequence = getattr(row, "sequence", None)
    if row.id is None:
        return [Problem("deleted", sequence, row.audit_id, f"The row {row.audit_id} is gone")]
    found = []
    if row.organization_id != organization_id:
        found.append(Problem("foreign", sequence, row.id, "The row belongs to another organization"))
    if not hmac.compare_digest(bytes(row.mac), hmac.digest(key, _canonical(row), "sha256")):
        found.append(Problem("edited", sequence, row.id, "The row is not as it was written"))
    if row.salt is not None and (
        row.private_hash is None or private_digest(bytes(row.salt), row.data) != bytes(row.private_hash)
    ):
        found.append(Problem("private", sequence, row.id, "The personal data of the row were changed"))
    return found


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows to read. Empty: any. `action` and `target` may end in `*`."""

    actor: str = ""
    action: str = ""
    target: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An audit row for people. `sequence` is null until it is sealed; `private` until it is erased."""

    id: int
    sequence: int | None
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any]
    private: dict[str, Any] | None


_ENTRIES = """
SELECT l.id, c.sequence, l.at, l.actor, l.action, l.target, l.outcome, l.details, h.data
  FROM audit_log l LEFT JOIN audit_chain c ON c.audit_id = l.id LEFT JOIN audit_private h ON h.audit_id = l.id
 WHERE (:actor = '' OR l.actor = :actor) AND (:action = '' OR l.action LIKE :action)
   AND (:target = '' OR l.target LIKE :target) AND (:outcome = '' OR l.outcome = :outcome)
   AND (CAST(:since AS timestamptz) IS NULL OR l.at >= :since)
   AND (CAST(:until AS timestamptz) IS NULL OR l.at < :until)
   AND (CAST(:before AS bigint) IS NULL OR l.id < :before)
 ORDER BY l.id DESC LIMIT :most"""


async def entries(
    session: AsyncSession, filters: Filters, *, before: int | None = None, limit: int = 50
) -> list[Entry]:
    """The organization's rows, the newest first, those before the one with the id `before`."""
    parameters = {
        "actor": filters.actor,
        "action": _pattern(filters.action),
        "target": _pattern(filters.target),
        "outcome": filters.outcome,
        "since": filters.since,
        "until": filters.until,
        "before": before,
        "most": limit,
    }
    return [Entry(*row) for row in await session.execute(text(_ENTRIES), parameters)]


def _pattern(wanted: str) -> str:
    """For LIKE: everything literal but a `*` at the end."""
    literal = wanted.removesuffix("*").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return literal + "%" if wanted.endswith("*") else literal
