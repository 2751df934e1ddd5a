"""Who may read a document: the principals of its ACL, and where they come from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Group, TagRule
from opaa.errors import InvalidInputError

KINDS = ("user", "group", "workspace")
MOST_PRINCIPALS = 1000
LONGEST_TAG = 100


def user_principal(user_id: UUID) -> str:
    return f"user:{user_id}"


def group_principal(group_id: UUID) -> str:
    return f"group:{group_id}"


def workspace_principal(workspace_id: UUID) -> str:
    """Everyone in a workspace."""
    return f"workspace:{workspace_id}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The principals who may read a document, and what decided: `document`, `rule:<id>` or `source`."""

    principals: tuple[str, ...]
    origin: str


def decide(
    workspace_id: UUID,
    *,
    own_acl: Collection[str] | None,
    tags: Collection[str],
    rules: Sequence[TagRule],
    source_acl: Collection[str] | None,
    default_acl: Collection[str] | None,
) -> Decision:
    """What was set on the document itself, else the first rule whose tag it has, else what its source says."""
    if own_acl is not None:
        return Decision(tuple(sorted(set(own_acl))), "document")
    known = set(normal_tags(tags))
    for rule in sorted(rules, key=lambda rule: (rule.position, rule.id)):
        if rule.tag in known:
            return Decision(tuple(sorted(set(rule.principals))), f"rule:{rule.id}")
    inherited = next((acl for acl in (source_acl, default_acl) if acl is not None), [workspace_principal(workspace_id)])
    return Decision(tuple(sorted(set(inherited))), "source")


def normal_tags(tags: Collection[str]) -> list[str]:
    """Tags as rules compare them: without case and surrounding space; longer ones than a rule can name are left out."""
    found = {" ".join(str(tag).split()).casefold() for tag in tags}
    return sorted(tag for tag in found if 0 < len(tag) <= LONGEST_TAG)


def document_tags(metadata: Mapping[str, Any]) -> list[str]:
    """The tags that a document came with: its fields `tags`, `labels` or `keywords`, as a list or comma-separated."""
    found: list[str] = []
    for name, value in metadata.items():
        if name.casefold() in {"tags", "tag", "labels", "keywords"}:
            found += value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return normal_tags(found)


async def lock_rules(session: AsyncSession, workspace_id: UUID, *, exclusive: bool = False) -> None:
    """Until the transaction ends, documents are not written while their rules change, nor the other way round."""
    kind = "" if exclusive else "_shared"
    await session.execute(
        text(f"SELECT pg_advisory_xact_lock{kind}(hashtextextended(:name, 0))"), {"name": f"acl:{workspace_id}"}
    )


async def acl_id(session: AsyncSession, organization_id: UUID, workspace_id: UUID, principals: Collection[str]) -> int:
    """The id of the workspace's ACL with these principals; made when it is new."""
    found = await session.scalar(
        text("SELECT opaa_acl_id(:organization_id, :workspace_id, CAST(:principals AS text[]))"),
        {"organization_id": organization_id, "workspace_id": workspace_id, "principals": list(principals)},
    )
    return int(found or 0)


async def tag_rules(session: AsyncSession, workspace_id: UUID) -> list[TagRule]:
    query = select(TagRule).where(TagRule.workspace_id == workspace_id).order_by(TagRule.position, TagRule.id)
    return list(await session.scalars(query))


async def checked_principals(session: AsyncSession, workspace_id: UUID, principals: Collection[str]) -> list[str]:
    """The principals, sorted and once each. Raises InvalidInputError for one that is malformed or does not exist."""
    if len(principals) > MOST_PRINCIPALS:
        raise InvalidInputError(f"An ACL names at most {MOST_PRINCIPALS} principals")
    wanted: dict[str, set[UUID]] = {kind: set() for kind in KINDS}
    for principal in principals:
        kind, _, identifier = principal.partition(":")
        try:
            wanted[kind].add(UUID(identifier))
        except (KeyError, ValueError) as error:
            raise InvalidInputError(
                f"{principal[:100]!r} is not a principal; they read user:ID, group:ID or workspace:ID"
            ) from error
    for other in wanted["workspace"] - {workspace_id}:
        raise InvalidInputError(f"workspace:{other} is not the document's workspace")
    groups = set(await session.scalars(select(Group.id).where(Group.id.in_(wanted["group"]))))
    users = set(
        await session.scalars(text("SELECT id FROM users WHERE id = ANY (:ids)"), {"ids": list(wanted["user"])})
    )
    for kind, found in (("group", groups), ("user", users)):
        for missing in wanted[kind] - found:
            raise InvalidInputError(f"There is no {kind} {missing}")
    return sorted(f"{kind}:{each}" for kind in KINDS for each in wanted[kind])
