"""Who may read the documents of a workspace: decided when one is written, and again when what decides it changes."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access import acl
from opaa.access.acl import Decision
from opaa.access.models import TagRule, Workspace
from opaa.audit import service as audit
from opaa.db.base import uuid7
from opaa.errors import InvalidInputError, NotFoundError
from opaa.indexing.models import Document
from opaa.sources.models import Source
from opaa.vectors.port import VectorStore

MOST_RULES = 200


async def decide_acl(
    session: AsyncSession, source: Source, document_id: UUID, tags: Collection[str], source_acl: Collection[str] | None
) -> tuple[int, str]:
    """The ACL's id, and what decided, for a document that is being written; the rules wait for the transaction."""
    await acl.lock_rules(session, source.workspace_id)
    own = (
        await session.execute(select(Document.own_acl, Document.own_tags).where(Document.id == document_id))
    ).one_or_none()
    decision = acl.decide(
        source.workspace_id,
        own_acl=own[0] if own else None,
        tags=[*tags, *(own[1] if own else ())],
        rules=await acl.tag_rules(session, source.workspace_id),
        source_acl=source_acl,
        default_acl=await session.scalar(select(Source.default_acl).where(Source.id == source.id)),
    )
    return await acl.acl_id(session, source.organization_id, source.workspace_id, decision.principals), decision.origin


async def acl_principals(session: AsyncSession, document: Document) -> list[str]:
    """The principals of the ACL that a document has."""
    found = await session.scalar(text("SELECT principals FROM acls WHERE id = :id"), {"id": document.acl_id})
    return list(found or ())


async def set_document_acl(
    session: AsyncSession,
    store: VectorStore,
    document_id: UUID,
    *,
    actor: str,
    principals: Collection[str] | None,
    tags: Collection[str] | None = None,
) -> Document:
    """Set who may read a document (None: what rules and source say again) and its tags (None: as they are).

    Works in a session of the system's context; the caller has checked that `actor` may. Raises NotFoundError,
    InvalidInputError.
    """
    document = await session.get(Document, document_id)
    if document is None:
        raise NotFoundError(f"There is no document {document_id}")
    await acl.lock_rules(session, document.workspace_id, exclusive=True)
    if principals is not None:
        principals = await acl.checked_principals(session, document.workspace_id, principals)
        if not principals:
            raise InvalidInputError("An ACL names at least one principal; delete the document to hide it from everyone")
    document.own_acl = list(principals) if principals is not None else None
    if tags is not None:
        document.own_tags = acl.normal_tags(tags)
    await session.flush()
    await apply(session, store, document.workspace_id, [document_id])
    await session.refresh(document)
    await audit.record(
        session,
        document.organization_id,
        actor,
        "document.permissions-changed",
        target=f"document:{document_id}",
        details={"principals": document.own_acl, "tags": document.own_tags},
    )
    return document


async def set_tag_rules(
    session: AsyncSession,
    store: VectorStore,
    workspace: Workspace,
    rules: Sequence[tuple[str, Sequence[str]]],
    *,
    actor: str,
) -> list[TagRule]:
    """Replace a workspace's rules by `(tag, principals)` in this order, and decide all its documents anew."""
    if len(rules) > MOST_RULES:
        raise InvalidInputError(f"A workspace has at most {MOST_RULES} tag rules")
    await acl.lock_rules(session, workspace.id, exclusive=True)
    wanted: dict[str, list[str]] = {}
    for tag, principals in rules:
        normal = acl.normal_tags([tag])
        if not normal or normal[0] in wanted:
            raise InvalidInputError(f"{tag[:100]!r} is not a tag, or comes twice")
        wanted[normal[0]] = await acl.checked_principals(session, workspace.id, principals)
        if not wanted[normal[0]]:
            raise InvalidInputError(f"The rule for {tag[:100]!r} names nobody")
    existing = {rule.tag: rule for rule in await acl.tag_rules(session, workspace.id)}
    for tag in existing.keys() - wanted.keys():
        await session.delete(existing[tag])
    for position, (tag, principals) in enumerate(wanted.items()):
        rule = existing.get(tag)
        if rule is None:
            rule = TagRule(id=uuid7(), organization_id=workspace.organization_id, workspace_id=workspace.id, tag=tag)
            session.add(rule)
        rule.position, rule.principals = position, list(principals)
    await session.flush()
    await apply(session, store, workspace.id)
    await audit.record(
        session,
        workspace.organization_id,
        actor,
        "workspace.tag-rules-changed",
        target=f"workspace:{workspace.id}",
        details={"rules": wanted},
    )
    return await acl.tag_rules(session, workspace.id)


async def set_default_acl(
    session: AsyncSession, store: VectorStore, source: Source, principals: Collection[str] | None, *, actor: str
) -> None:
    """Who may read a source's documents where neither it nor a rule says otherwise; None: everyone in the workspace."""
    await acl.lock_rules(session, source.workspace_id, exclusive=True)
    if principals is not None:
        principals = await acl.checked_principals(session, source.workspace_id, principals)
        if not principals:
            raise InvalidInputError("An ACL names at least one principal")
    source.default_acl = list(principals) if principals is not None else None
    await session.flush()
    ids = list(await session.scalars(select(Document.id).where(Document.source_id == source.id)))
    await apply(session, store, source.workspace_id, ids)
    await audit.record(
        session,
        source.organization_id,
        actor,
        "source.permissions-changed",
        target=f"source:{source.id}",
        details={"principals": source.default_acl},
    )


async def apply(
    session: AsyncSession, store: VectorStore, workspace_id: UUID, document_ids: Sequence[UUID] | None = None
) -> int:
    """Decide the documents (None: all of the workspace) anew, and change those for which it comes out differently.

    The transaction holds the rules exclusively. Returns how many changed.
    """
    rules = await acl.tag_rules(session, workspace_id)
    query = (
        select(Document, Source.default_acl)
        .join(Source, Source.id == Document.source_id)
        .where(Document.workspace_id == workspace_id)
    )
    if document_ids is not None:
        query = query.where(Document.id.in_(document_ids))
    groups: dict[tuple[Decision, UUID], list[UUID]] = {}
    for document, default_acl in await session.execute(query):
        decision = acl.decide(
            workspace_id,
            own_acl=document.own_acl,
            tags=[*document.tags, *document.own_tags],
            rules=rules,
            source_acl=document.source_acl,
            default_acl=default_acl,
        )
        groups.setdefault((decision, document.organization_id), []).append(document.id)
    changed = 0
    for (decision, organization_id), ids in groups.items():
        acl_id = await acl.acl_id(session, organization_id, workspace_id, decision.principals)
        # The texts, chunks and attributes follow by their foreign keys.
        different = (Document.acl_id != acl_id) | (Document.acl_origin != decision.origin)
        statement = update(Document).where(Document.id.in_(ids), different).returning(Document.id)
        moved = list(await session.scalars(statement.values(acl_id=acl_id, acl_origin=decision.origin)))
        if moved:
            await store.set_acl(session, workspace_id, moved, acl_id)
        changed += len(moved)
    return changed
