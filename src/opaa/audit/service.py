"""Writes audit rows in the transaction that they describe."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import bindparam

INSERT = text(
    "INSERT INTO audit_log (organization_id, actor, action, target, details)"
    " VALUES (:organization_id, :actor, :action, :target, :details)"
).bindparams(bindparam("details", type_=JSONB))


async def record(
    session: AsyncSession,
    organization_id: UUID,
    actor: str,
    action: str,
    *,
    target: str = "",
    details: dict[str, Any] | None = None,
) -> None:
    """`actor` is a principal such as `user:…` or `system`; `details` holds no content of documents or questions."""
    await session.execute(
        INSERT,
        {
            "organization_id": organization_id,
            "actor": actor,
            "action": action,
            "target": target,
            "details": details or {},
        },
    )
