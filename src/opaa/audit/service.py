"""Writes audit rows in the transaction that they describe."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import bindparam

from opaa.db.base import utc_now

SALT_BYTES = 16
INSERT = text(
    "WITH written AS (INSERT INTO audit_log"
    "  (organization_id, at, actor, action, target, outcome, details, private_hash, mac)"
    "  VALUES (:organization_id, :at, :actor, :action, :target, :outcome, :details, :private_hash, :mac)"
    "  RETURNING id, organization_id),"
    " hidden AS (INSERT INTO audit_private (audit_id, organization_id, salt, data)"
    "  SELECT id, organization_id, :salt, :private FROM written WHERE CAST(:salt AS bytea) IS NOT NULL)"
    " INSERT INTO audit_pending (audit_id, organization_id) SELECT id, organization_id FROM written"
).bindparams(bindparam("details", type_=JSONB), bindparam("private", type_=JSONB(none_as_null=True)))


async def record(
    session: AsyncSession,
    organization_id: UUID,
    actor: str,
    action: str,
    *,
    target: str = "",
    outcome: str = "success",
    details: Mapping[str, Any] | None = None,
    private: Mapping[str, Any] | None = None,
) -> None:
    """`actor` is a principal such as `user:…` or `system`; `details` holds no content of documents or questions.

    `private` is what may have to be erased one day: it is kept apart, and only its salted hash is part of the row.
    `outcome` is `success`, `denied` or `failure`.
    """
    salt = secrets.token_bytes(SALT_BYTES) if private is not None else None
    row: dict[str, Any] = {
        "organization_id": organization_id,
        "at": utc_now(),
        "actor": actor,
        "action": action,
        "target": target,
        "outcome": outcome,
        "details": dict(details or {}),
        "private_hash": private_digest(salt, private) if salt is not None and private is not None else None,
    }
    mac = hmac.digest(session.info.get("audit_key", b""), canonical(**row), "sha256")
    await session.execute(INSERT, {**row, "mac": mac, "salt": salt, "private": private})


def canonical(
    organization_id: UUID,
    at: datetime,
    actor: str,
    action: str,
    target: str,
    *,
    outcome: str,
    details: Mapping[str, Any],
    private_hash: bytes | None,
) -> bytes:
    """A row as the bytes that are authenticated: version 1, a JSON array with sorted keys and no spaces, UTF-8."""
    fields = [1, str(organization_id), at.isoformat(), actor, action, target, outcome, details,
              private_hash.hex() if private_hash is not None else None]  # fmt: skip
    return _json(fields)


def private_digest(salt: bytes, private: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(salt + _json(private)).digest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
