"""Builds the parts of a process from its settings, and takes them down again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog

from opaa.answering.service import AnswerOptions, AnswerService
from opaa.audit.chain import seal_forever
from opaa.audit.shipping import HttpReceiver, Receiver, SyslogReceiver, ship_forever
from opaa.db import migrate
from opaa.db.embedded import EmbeddedPostgres
from opaa.db.session import Database
from opaa.egress import client as egress
from opaa.egress.policy import EgressPolicy
from opaa.errors import SettingsError
from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Limits
from opaa.identity.credentials import SecretKey, load_secret_key
from opaa.identity.oidc import OidcClient
from opaa.identity.providers import sign_on_clients
from opaa.identity.saml import SamlClient
from opaa.identity.service import first_admin
from opaa.indexing.pipeline import Indexer, IndexingOptions
from opaa.llm.port import ChatModel, Embedder
from opaa.retrieval.service import SearchService
from opaa.settings import Settings
from opaa.tenancy.service import DEFAULT_SLUG, create_organization, organization_id_by_slug, organization_ids
from opaa.vectors.pgvector import PgVectorStore
from opaa.vectors.port import VectorStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """Where the database is; `step_down` when one role plays both parts."""

    owner: str
    application: str
    step_down: bool


@asynccontextmanager
async def database_urls(settings: Settings) -> AsyncIterator[DatabaseUrls]:
    """The configured database, or the embedded one, kept running for the length of the block."""
    if settings.database_url is not None:
        application = settings.database_url.get_secret_value()
        owner = settings.database_owner_url
        yield DatabaseUrls(owner.get_secret_value() if owner else application, application, step_down=owner is None)
        return
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    urls = await asyncio.to_thread(server.acquire)
    try:
        yield DatabaseUrls(urls.owner, urls.application, step_down=False)
    finally:
        await asyncio.to_thread(server.release)


@dataclass
class Installation:
    """The database and what administration needs; nothing that loads a model."""

    settings: Settings
    database: Database
    key: SecretKey
    store: VectorStore
    organization_id: UUID
    first_password: str | None

    @property
    def uploads_dir(self) -> Path:
        return self.settings.data_dir / "uploads"

    @property
    def anchors_dir(self) -> Path:
        """Where the ends of the audit log's chains are written down, outside the database."""
        return self.settings.data_dir / "audit-anchors"


@dataclass
class Runtime(Installation):
    """The parts that answer questions and index documents."""

    embedder: Embedder
    model: ChatModel | None
    search: SearchService
    answers: AnswerService
    sign_on: Mapping[str, OidcClient | SamlClient] = field(default_factory=dict)


@asynccontextmanager
async def open_installation(settings: Settings, *, upgrade: bool = True) -> AsyncIterator[Installation]:
    """The database, migrated first where `upgrade` says so, with its first organization and account.

    Raises SettingsError or DatabaseUnavailableError with the reason.
    """
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(database_urls(settings))
        found = await asyncio.to_thread(migrate.current, urls.application)
        if upgrade and found != migrate.head():
            found = await asyncio.to_thread(migrate.upgrade, urls.owner, urls.application)
        if found != migrate.head():
            raise SettingsError(
                f"The database is at schema {found}, this version needs {migrate.head()}: run `opaa db upgrade`"
            )
        key = load_secret_key(settings)
        database = Database(
            urls.application,
            pool_size=settings.database_pool_size,
            step_down=urls.step_down,
            audit_key=key.derive("audit"),
        )
        stack.push_async_callback(database.close)
        await database.require_safe_role()
        organization_id, password = await _first_organization(database)
        yield Installation(settings, database, key, PgVectorStore(), organization_id, password)


@asynccontextmanager
async def open_runtime(settings: Settings, *, upgrade: bool = True) -> AsyncIterator[Runtime]:
    """An installation that can answer. Raises EmbedderUnavailableError besides what `open_installation` raises."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(open_installation(settings, upgrade=upgrade))
        policy = egress_policy(settings)
        embedder = await asyncio.to_thread(create_embedder, settings)
        stack.push_async_callback(embedder.close)
        model = create_chat_model(settings)
        if model is not None:
            stack.push_async_callback(model.close)
        search = SearchService(
            base.database,
            base.store,
            embedder,
            top_k=settings.vector_search_top_k,
            lexical_weight=settings.lexical_weight,
        )
        options = AnswerOptions(
            passages=settings.answer_passages,
            max_tokens=settings.llm_max_tokens,
            temperature=settings.llm_temperature,
            timeout_s=settings.llm_timeout_s,
            max_question_chars=settings.max_question_chars,
        )
        answers = AnswerService(base.database, search, model, options)
        yield Runtime(
            settings,
            base.database,
            base.key,
            base.store,
            base.organization_id,
            base.first_password,
            embedder,
            model,
            search,
            answers,
            sign_on_clients(settings, partial(egress.transport, policy)),
        )


@asynccontextmanager
async def keeping_audit(base: Installation) -> AsyncIterator[None]:
    """The audit log is sealed, and shipped where settings say so, for the length of the block."""
    organizations = partial(organization_ids, base.database)
    work = [
        seal_forever(base.database, organizations, base.anchors_dir),
        *(ship_forever(base.database, organizations, receiver) for receiver in audit_receivers(base.settings)),
    ]
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def audit_receivers(settings: Settings) -> list[Receiver]:
    """Where the audit log is sent to."""
    policy = egress_policy(settings)
    receivers: list[Receiver] = []
    if settings.audit_syslog_url:
        receivers.append(SyslogReceiver(settings.audit_syslog_url, settings.audit_syslog_ca_file, policy))
    if settings.audit_http_url:
        token = settings.audit_http_token.get_secret_value() if settings.audit_http_token else None
        receivers.append(HttpReceiver(settings.audit_http_url, token, partial(egress.transport, policy)))
    return receivers


@asynccontextmanager
async def open_indexer(runtime: Runtime) -> AsyncIterator[Indexer]:
    """What works on runs: the extractor's processes live for the length of the block."""
    settings = runtime.settings
    limits = Limits(
        max_bytes=settings.max_document_bytes,
        timeout_s=settings.extraction_timeout_s,
        memory_bytes=settings.extraction_memory_bytes,
    )
    options = IndexingOptions(
        uploads_dir=runtime.uploads_dir,
        chunk_max_chars=settings.chunk_max_chars,
        max_document_bytes=settings.max_document_bytes,
        embedding_batch_size=settings.embedding_batch_size,
    )
    async with ExtractionPool(limits) as extraction:
        yield Indexer(runtime.database, runtime.embedder, runtime.store, extraction, options)


async def _first_organization(database: Database) -> tuple[UUID, str | None]:
    """The default organization with its first administrator; created with the first start."""
    organization_id = await organization_id_by_slug(database)
    if organization_id is None:
        organization_id = await create_organization(database, DEFAULT_SLUG, "My organization")
    return organization_id, await first_admin(database, organization_id)


def egress_policy(settings: Settings) -> EgressPolicy:
    """Where requests may go: to the hosts that settings name, and to those of the list."""
    return EgressPolicy.of(settings.outside_addresses, settings.egress_allow)


def create_embedder(settings: Settings) -> Embedder:
    """The configured embedder. Raises EmbedderUnavailableError or SettingsError. Takes a second or so."""
    if settings.llm_embedding_provider == "openai":
        from opaa.llm.endpoint_embedder import EndpointEmbedder  # noqa: PLC0415 - keeps the other's memory free

        return EndpointEmbedder(
            base_url=settings.llm_api_base or "",
            model=settings.llm_embedding_model or "",
            api_key=settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
            dimension=settings.llm_embedding_dimension,
            policy=egress_policy(settings),
        )
    from opaa.llm.bundled_model import ensure_bundled_model  # noqa: PLC0415
    from opaa.llm.centering import CenteredEmbedder  # noqa: PLC0415
    from opaa.llm.local_embedder import LocalEmbedder  # noqa: PLC0415

    if settings.llm_embedding_model:
        return LocalEmbedder(Path(settings.llm_embedding_model), threads=settings.embedder_threads)
    bundled = LocalEmbedder(ensure_bundled_model(settings.models_dir), threads=settings.embedder_threads)
    # Measured with the bundled model only, so a model of the operator's own stays as it is.
    return CenteredEmbedder(bundled)


def create_chat_model(settings: Settings) -> ChatModel | None:
    if settings.llm_provider == "none":
        return None
    from opaa.llm.chat import OpenAIChatModel  # noqa: PLC0415 - the client library is large

    return OpenAIChatModel(
        base_url=settings.llm_api_base or "",
        model=settings.llm_model or "",
        api_key=settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        policy=egress_policy(settings),
    )
