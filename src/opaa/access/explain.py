"""Why a person can or cannot read a document, at this moment or at any before it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.permissions import ADMIN, ADMINS, strongest
from opaa.db.base import utc_now

_STATE = """
SELECT DISTINCT ON (kind, subject, object) kind, subject, object, value, at FROM permission_events
 WHERE at <= :at AND (kind = 'document' AND subject = :document OR kind IN ('role', 'group') AND subject = :user
    OR kind = 'workspace' AND (subject = :user OR subject LIKE 'group:%'))
 ORDER BY kind, subject, object, at DESC, id DESC"""


@dataclass(frozen=True, slots=True)
class Step:
    """One fact in the chain of reasons, with the time since which it holds. `kind` is a stable word."""

    kind: str
    detail: dict[str, Any]
    since: datetime | None


@dataclass(slots=True)
class Explanation:
    """Whether a person may read a document at a moment; `reasons` are the facts that say so, or what is missing."""

    allowed: bool
    at: datetime
    reasons: list[Step] = field(default_factory=list)
    principals: list[str] = field(default_factory=list)
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class _Fact:
    value: Any
    at: datetime


async def explain(session: AsyncSession, user_id: UUID, document_id: UUID, at: datetime | None = None) -> Explanation:
    """Works in any session of the organization: it reads the history of permissions, not the document."""
    at = at or utc_now()
    user, document = f"user:{user_id}", f"document:{document_id}"
    rows = await session.execute(text(_STATE), {"at": at, "user": user, "document": document})
    facts: dict[tuple[str, str, str], _Fact] = {
        (kind, subject, object_): _Fact(value, since) for kind, subject, object_, value, since in rows
    }
    result = Explanation(False, at)
    role = facts.get(("role", user, ""))
    if role is None or role.value is None:
        result.reasons.append(Step("account-missing-or-disabled", {"user": user}, role.at if role else None))
        return result
    entry = facts.get(("document", document, ""))
    if entry is None or entry.value is None:
        result.reasons.append(Step("document-missing", {"document": document}, entry.at if entry else None))
        return result
    result.principals, result.origin = list(entry.value["principals"]), entry.value["origin"]
    groups = {
        object_: fact
        for (kind, subject, object_), fact in facts.items()
        if kind == "group" and subject == user and fact.value is not None
    }
    workspace = f"workspace:{entry.value['workspace']}"
    membership = _membership(facts, user, role, groups, workspace)
    acl = Step("document-acl", {"principals": result.principals, "origin": result.origin}, entry.at)
    if membership is None:
        result.reasons += [Step("not-in-workspace", {"workspace": workspace}, _lost(facts, user, workspace)), acl]
        return result
    named = [
        *([Step("acl-names-user", {"user": user}, entry.at)] if user in result.principals else []),
        *(
            Step("acl-names-group", {"group": group, "origin": fact.value}, max(entry.at, fact.at))
            for group, fact in sorted(groups.items())
            if group in result.principals
        ),
        *([Step("acl-names-workspace", {"workspace": workspace}, entry.at)] if workspace in result.principals else []),
    ]
    result.allowed = bool(named)
    result.reasons += [membership, acl, *named]
    if not named:
        result.reasons.append(Step("acl-names-nobody-the-person-is", {"groups": sorted(groups)}, entry.at))
    return result


def _membership(
    facts: dict[tuple[str, str, str], _Fact], user: str, role: _Fact, groups: dict[str, _Fact], workspace: str
) -> Step | None:
    """How the person belongs to the workspace: the strongest role, and through what."""
    if role.value in ADMINS:
        return Step("organization-role", {"role": role.value, "workspace_role": ADMIN}, role.at)
    through: dict[str, list[tuple[str, datetime]]] = {}
    for subject, since in ((user, role.at), *((group, fact.at) for group, fact in groups.items())):
        fact = facts.get(("workspace", subject, workspace))
        if fact is not None and fact.value is not None:
            through.setdefault(fact.value, []).append((subject, max(since, fact.at) if subject != user else fact.at))
    if not through:
        return None
    best = strongest(set(through))
    subject, since = min(through[best], key=lambda each: each[1])
    return Step("workspace-role", {"workspace": workspace, "role": best, "through": subject}, since)


def _lost(facts: dict[tuple[str, str, str], _Fact], user: str, workspace: str) -> datetime | None:
    fact = facts.get(("workspace", user, workspace))
    return fact.at if fact is not None else None
