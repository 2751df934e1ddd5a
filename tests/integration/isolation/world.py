"""Two organizations on one installation, changed and read through the real API, each next to its reference."""

import contextlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.groups import create_group
from opaa.access.models import Workspace
from opaa.access.permissions import SCOPES
from opaa.api.app import create_app
from opaa.db.base import uuid7
from opaa.db.session import Database, TenantContext
from opaa.extraction.port import Extracted
from opaa.identity.models import User as UserRow
from opaa.identity.service import create_user
from opaa.identity.tokens import create_token
from opaa.indexing.chunking import chunk_document
from opaa.indexing.documents import delete_document
from opaa.indexing.generations import active_generation
from opaa.indexing.permissions import set_default_acl, set_document_acl, set_tag_rules
from opaa.indexing.writer import Prepared, passage_hash, passage_text, write_document
from opaa.retrieval.analysis import analyze_chunk
from opaa.sources.models import UPLOAD, Source
from opaa.sources.port import Item
from opaa.vectors.port import IndexScope
from tests.conftest import Tenant, create_tenant
from tests.fakes.hash_embedder import HashEmbedder
from tests.integration.api.conftest import make_runtime
from tests.integration.isolation.reference import Document, Reference, User

COMMON = "quartz"
# Users take their groups, tokens, sessions and conversations with them.
EMPTIED = (
    "documents",
    "source_items",
    "tag_rules",
    "workspace_members",
    "workspace_groups",
    "groups",
    "users",
    "term_changes",
    "audit_pending",
)
_secrets = itertools.count()


@dataclass
class Organization:
    """A tenant with two workspaces, a source in each, and its reference."""

    tenant: Tenant
    workspaces: list[str]
    sources: dict[str, Source]
    reference: Reference = field(default_factory=Reference)
    tokens: dict[str, str] = field(default_factory=dict)
    conversations: dict[str, str] = field(default_factory=dict)
    """conversation → its person"""
    messages: dict[str, str] = field(default_factory=dict)

    @property
    def system(self) -> Any:
        return self.tenant.system


ORPHANS = (
    "SELECT count(DISTINCT a.document_id) FROM attributes a"
    " WHERE NOT EXISTS (SELECT FROM documents d WHERE d.id = a.document_id)"
)
FURNITURE = (
    "INSERT INTO users (id, organization_id, login, login_key) VALUES (:u, :o, :n, :n)",
    "INSERT INTO groups (id, organization_id, name) VALUES (:g, :o, :n)",
    "INSERT INTO group_members (organization_id, group_id, user_id) VALUES (:o, :g, :u)",
    "INSERT INTO workspace_groups (organization_id, workspace_id, group_id, role) VALUES (:o, :w, :g, 'viewer')",
    "INSERT INTO workspace_members (organization_id, workspace_id, user_id, role) VALUES (:o, :w, :u, 'viewer')",
    "INSERT INTO sessions (id, organization_id, user_id, secret_hash, expires_at) VALUES (:id, :o, :u, :b, now())",
    "INSERT INTO login_attempts (organization_id, login_hash) VALUES (:o, :b)",
    "INSERT INTO user_identities (id, organization_id, user_id, provider, issuer, subject)"
    " VALUES (:id, :o, :u, 'p', 'i', :n)",
    "INSERT INTO used_nonces (organization_id, nonce, expires_at) VALUES (:o, :b, now())",
    "INSERT INTO tag_rules (id, organization_id, workspace_id, position, tag, principals)"
    " VALUES (:id, :o, :w, 1000, :n, '{}')",
    "INSERT INTO source_runs (id, organization_id, source_id, state) VALUES (:id, :o, :s, 'succeeded')",
    "INSERT INTO usage_records (id, organization_id, kind) VALUES (:id, :o, 'ask')",
    "INSERT INTO audit_private (audit_id, organization_id, salt, data)"
    " SELECT max(id), :o, :b, '{}' FROM audit_log ON CONFLICT DO NOTHING",
    "INSERT INTO audit_chain (organization_id, sequence, audit_id, hash)"
    " SELECT :o, 1, max(id), :b FROM audit_log ON CONFLICT DO NOTHING",
    "INSERT INTO audit_shipments (organization_id, receiver, sequence) VALUES (:o, 'r', 0) ON CONFLICT DO NOTHING",
)


class World:
    """Made once; `begin` and `end` surround an example."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.embedder = HashEmbedder()
        self.organizations: list[Organization] = []
        self.reads = 0
        self.tables: list[str] = []

    async def open(self) -> None:
        for _ in range(2):
            tenant = await create_tenant(self.database)
            async with self.database.transaction(tenant.system) as session:
                second = Workspace(id=uuid7(), organization_id=tenant.organization_id, name="Second")
                session.add(second)
                await session.flush()
                await session.execute(text("SELECT opaa_create_workspace_partitions(:w)"), {"w": second.id})
                sources = {}
                for workspace_id in (tenant.workspace_id, second.id):
                    source = Source(
                        id=uuid7(),
                        organization_id=tenant.organization_id,
                        workspace_id=workspace_id,
                        kind=UPLOAD,
                        name=f"Uploads {workspace_id}",
                    )
                    session.add(source)
                    sources[str(workspace_id)] = source
            self.organizations.append(Organization(tenant, [str(tenant.workspace_id), str(second.id)], sources))
        runtime = make_runtime(self.database, self.organizations[0].tenant, self.folder)
        self.runtime = runtime
        self.embedder = runtime.embedder  # type: ignore[assignment]
        self.app = create_app(runtime.settings, lambda _: contextlib.nullcontext(runtime))  # type: ignore[arg-type]
        self.app.app.state.runtime = runtime  # type: ignore[attr-defined]
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://opaa.test"
        )

    async def close(self) -> None:
        await self.client.aclose()

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self) -> None:
        for organization in self.organizations:
            organization.reference = Reference()
            async with self.database.transaction(organization.system) as session:
                for role in ("owner", "member", "member"):
                    user = await create_user(
                        session, organization.tenant.organization_id, f"u{uuid7().hex}", None, role=role
                    )
                    _, token = await create_token(session, self.runtime.key, user, "t", list(SCOPES))
                    organization.reference.users[str(user.id)] = User(str(user.id), role)
                    organization.tokens[str(user.id)] = token
                for name in ("red", "blue"):
                    group = await create_group(
                        session, organization.tenant.organization_id, f"{name} {uuid7()}", actor="system"
                    )
                    organization.reference.groups[str(group.id)] = set()

                await self.furnish(session, organization)

    async def furnish(self, session: AsyncSession, organization: Organization) -> None:
        """A row in each table that the examples leave empty, about somebody and a group that they never name."""
        values = {
            "o": organization.tenant.organization_id,
            "u": uuid7(),
            "w": organization.tenant.workspace_id,
            "s": organization.sources[str(organization.tenant.workspace_id)].id,
            "g": uuid7(),
            "n": f"extra-{uuid7()}",
            "b": uuid7().bytes,
        }
        for statement in FURNITURE:
            await session.execute(text(statement), {**values, "id": uuid7()})

    async def end(self) -> None:
        for organization in self.organizations:
            documents = organization.reference.documents.values()
            async with self.database.transaction(organization.system) as session:
                for workspace in organization.workspaces:
                    ids = [UUID(each.id) for each in documents if each.workspace == workspace]
                    await self.runtime.store.delete(session, UUID(workspace), ids)
                for table in EMPTIED:
                    await session.execute(text(f"DELETE FROM {table}"))
                await session.execute(text("UPDATE sources SET default_acl = NULL"))
            organization.tokens, organization.conversations, organization.messages = {}, {}, {}

    async def write(
        self,
        organization: Organization,
        workspace: str,
        tags: set[str],
        source_acl: set[str] | None,
        document: Document | None = None,
    ) -> Document:
        """Index a document, or index one again with another text; by the writer of every source."""
        secret = f"secret{next(_secrets):06d}x"
        identity = UUID(document.id) if document else uuid7()
        source = organization.sources[workspace]
        body = f"# About {secret}\n\nThe {COMMON} mine is called {secret}.\n"
        chunks = chunk_document(body, max_chars=400, max_tokens=400, count_tokens=self.embedder.count_tokens)
        extracted = Extracted(body, f"About {secret}", "text/markdown", {"tags": sorted(tags)}, "en", ())
        passages = [passage_text(f"About {secret}", chunk) for chunk in chunks]
        name = f"{identity}.md"
        prepared = Prepared(
            item=Item(
                name, f"file:///{name}", name, len(body), None, secret, tuple(source_acl) if source_acl else None
            ),
            document_id=identity,
            is_new=document is None,
            content_hash=secret.encode(),
            extracted=extracted,
            title=f"About {secret}",
            chunks=chunks,
            passages=passages,
            hashes=[passage_hash(self.embedder.name, passage) for passage in passages],
            terms=[analyze_chunk(chunk.text, title=f"About {secret}", language="en") for chunk in chunks],
        )
        async with self.database.transaction(organization.system) as session:
            generation = await active_generation(session, organization.tenant.organization_id, self.embedder)  # type: ignore[arg-type]
            scope = IndexScope(source.organization_id, source.workspace_id, generation.id)
            vectors = await self.embedder.embed_passages(passages)
            await write_document(session, self.runtime.store, source, scope, prepared, embeddings=vectors)
            await self.runtime.store.maintain(session, scope, generation.dimension)
        written = document or Document(str(identity), workspace, str(source.id), secret, set())
        written.secret, written.tags, written.source_acl = secret, set(tags), source_acl
        organization.reference.documents[written.id] = written
        return written

    async def delete_document(self, organization: Organization, document: Document) -> None:
        await delete_document(
            self.database,
            self.runtime.store,
            UUID(document.id),
            actor="system",
            organization_id=organization.tenant.organization_id,
            uploads_dir=self.folder,
        )
        del organization.reference.documents[document.id]

    async def set_acl(
        self, organization: Organization, document: Document, principals: set[str] | None, tags: set[str]
    ) -> None:
        async with self.database.transaction(organization.system) as session:
            await set_document_acl(
                session, self.runtime.store, UUID(document.id), actor="system", principals=principals, tags=tags
            )
        document.own_acl, document.own_tags = principals, tags

    async def set_rules(self, organization: Organization, workspace: str, rules: list[tuple[str, set[str]]]) -> None:
        async with self.database.transaction(organization.system) as session:
            row = await session.get_one(Workspace, UUID(workspace))
            named = [(tag, sorted(principals)) for tag, principals in rules]
            await set_tag_rules(session, self.runtime.store, row, named, actor="system")
        organization.reference.rules[workspace] = rules

    async def set_default(self, organization: Organization, workspace: str, principals: set[str] | None) -> None:
        source_id = organization.sources[workspace].id
        async with self.database.transaction(organization.system) as session:
            source = await session.get_one(Source, source_id)
            await set_default_acl(session, self.runtime.store, source, principals, actor="system")
        organization.reference.default_acl[str(source_id)] = principals

    async def change_user(self, organization: Organization, user: str, **values: Any) -> None:
        async with self.database.transaction(organization.system) as session:
            row = await session.get_one(UserRow, UUID(user))
            for name, value in values.items():
                setattr(row, name, value)

    async def look_into_every_table(self) -> None:
        """Raises AssertionError naming a table of which the system of one organization sees another's rows."""
        for organization in self.organizations:
            async with self.database.session(organization.system) as session:
                for table in await self.tenant_tables():
                    query = text(f"SELECT count(*) FROM {table} WHERE organization_id <> :own")
                    strange = await session.scalar(query, {"own": organization.tenant.organization_id})
                    assert strange == 0, f"{table} shows {strange} rows of another organization"
                visible = await session.scalar(text("SELECT count(*) FROM organizations"))
                assert visible == 1, "organizations shows another organization"
            for user in organization.reference.users:
                context = TenantContext(organization.tenant.organization_id, (f"user:{user}",))
                async with self.database.session(context) as session:
                    orphans = await session.scalar(text(ORPHANS))
                    assert orphans == 0, f"attributes of {orphans} documents that {user} may not read"

    async def tenant_tables(self) -> list[str]:
        """Every table with a column for the organization, from the catalogue; without partitions."""
        if not self.tables:
            async with self.database.session(None) as session:
                rows = await session.scalars(
                    text(
                        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
                        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
                        " AND NOT c.relispartition AND a.attname = 'organization_id' ORDER BY 1"
                    )
                )
                self.tables = list(rows)
        return self.tables

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def call(self, organization: Organization, user: str, method: str, path: str, **sent: Any) -> httpx.Response:
        self.reads += 1
        headers = {"Authorization": f"Bearer {organization.tokens[user]}"}
        answer = await self.client.request(method, f"/api/v1{path}", headers=headers, **sent)
        assert answer.status_code < 500, (method, path, answer.text)
        return answer
