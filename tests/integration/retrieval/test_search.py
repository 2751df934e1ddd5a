"""The whole search: real files through the real pipeline into a real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text

from opaa.db.session import TenantContext
from opaa.errors import EmbedderUnavailableError
from opaa.llm.port import Embedder
from opaa.retrieval.service import EMBEDDER_MISMATCH, EMBEDDER_UNAVAILABLE, SearchFilters, SearchResult, SearchService
from opaa.vectors.pgvector import PgVectorStore
from tests.fakes.hash_embedder import HashEmbedder
from tests.integration.indexing.conftest import Folder

FILES = {
    "otter.md": "---\nname: Otter\nhabitat: River\nweight: 9,5 kg\nnocturnal: true\n---\n# Otter\n\nIt eats fish.\n",
    "heron.md": "---\nname: Heron\nhabitat: River\nweight: 1500 g\nnocturnal: false\n---\n# Heron\n\nIt waits.\n",
    "ibex.md": "---\nname: Ibex\nhabitat: Mountain\nweight: 80 kg\nnocturnal: false\n---\n# Ibex\n\nIt climbs.\n",
    "marmot.md": "---\nname: Marmot\nhabitat: Mountain\nweight: 5 kg\n---\n# Marmot\n\nIt sleeps all winter.\n",
    "prices.csv": "Article;Price (EUR);Colour\nFathom;412;red\nPlumb;95;blue\nSounder;1250;red\n",
    "leave.md": "# Leave\n\n## Carry-over\n\nUnused leave expires at the end of March.\n\n## Sick leave\n\n"
    + "Call in. " * 200,
    "urlaub.txt": "Der Resturlaub verfällt Ende März. Anträge stellt man im Portal.\n",
}


class Unavailable(HashEmbedder):
    """An embedder whose endpoint is away."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        raise EmbedderUnavailableError(f"No answer for {len(text)} characters")


class Searched:
    """The indexed folder and a way to ask."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    async def search(
        self,
        question: str,
        *,
        embedder: Embedder | None = None,
        context: TenantContext | None = None,
        without_embedder: bool = False,
        filters: SearchFilters | None = None,
        limit: int = 10,
    ) -> SearchResult:
        tenant = self.folder.tenant
        chosen = None if without_embedder else embedder or self.folder.embedder
        service = SearchService(self.folder.database, PgVectorStore(), chosen)  # type: ignore[arg-type]
        async with self.folder.database.session(context or tenant.member) as session:
            return await service.search(
                session,
                context or tenant.member,
                question,
                workspace_ids=[tenant.workspace_id],
                filters=filters,
                limit=limit,
            )

    async def names(self, question: str, **options: object) -> list[str]:
        result = await self.search(question, **options)  # type: ignore[arg-type]
        return [hit.uri.rsplit("/", 1)[-1] for hit in result.hits]


@pytest.fixture
async def searched(folder: Folder) -> Searched:
    for name, content in FILES.items():
        folder.write(name, content)
    await folder.sync()
    return Searched(folder)


@pytest.mark.req("RAG-1")
async def test_a_document_comes_once_with_passages_that_stand_in_its_text(searched: Searched) -> None:
    result = await searched.search("unused leave expires")
    assert result.degraded is None
    ids = [hit.document_id for hit in result.hits]
    assert len(ids) == len(set(ids))
    first = result.hits[0]
    assert first.uri.endswith("leave.md")
    assert first.heading_path[0] == "Leave"
    rows = await searched.folder.rows("SELECT text FROM document_texts WHERE document_id = :id", id=first.document_id)
    for passage in first.passages:
        assert rows[0][0][passage.start_offset : passage.end_offset] == passage.text
    assert [passage.score for passage in first.passages] == sorted((p.score for p in first.passages), reverse=True)


@pytest.mark.req("RAG-1")
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Which animal lives on a mountain and weighs more than 20 kg?", {"ibex.md"}),
        ("Which animal of the habitat river is lighter than 5 kg?", {"heron.md"}),
        ("Welches Tier wiegt weniger als 2000 g?", {"heron.md"}),
        ("nocturnal animal, habitat river", {"otter.md"}),
        ("heaviest animal with habitat river", {"otter.md"}),
        ("red article with a price above 1.000 EUR", {"prices.csv"}),
        ("Artikel mit einem Preis zwischen 90 und 100 EUR", {"prices.csv"}),
    ],
)
async def test_demands_on_fields_are_met_first(searched: Searched, question: str, expected: set[str]) -> None:
    assert set((await searched.names(question))[: len(expected)]) == expected


@pytest.mark.req("RAG-1")
async def test_filters_by_source_type_and_date(searched: Searched) -> None:
    everything = await searched.names("animal river mountain leave")
    assert len(everything) > 3
    only_csv = SearchFilters(content_types=["text/csv"])
    assert await searched.names("red article", filters=only_csv) == ["prices.csv"]
    other_source = SearchFilters(source_ids=[UUID(int=1)])
    assert await searched.names("red article", filters=other_source) == []
    source = SearchFilters(source_ids=[searched.folder.source.id])
    assert await searched.names("animal river mountain leave", filters=source) == everything
    future = SearchFilters(updated_since=datetime.now(UTC) + timedelta(days=1))
    assert await searched.names("red article", filters=future) == []


@pytest.mark.req("SEC-6", "VEC-9")
async def test_nobody_else_finds_anything_and_a_changed_permission_counts_at_once(searched: Searched) -> None:
    tenant = searched.folder.tenant
    stranger = TenantContext(tenant.organization_id, ("user:stranger",))
    assert await searched.names("otter river", context=stranger) == []
    # The index still says that everybody may read it: the authority decides.
    async with searched.folder.database.transaction(tenant.system) as session:
        await session.execute(
            text(
                "UPDATE documents SET acl_id = opaa_acl_id(organization_id, workspace_id, ARRAY['group:board'])"
                " WHERE uri LIKE '%otter.md'"
            )
        )
    assert "otter.md" not in await searched.names("otter river")


@pytest.mark.req("RAG-8")
async def test_expired_documents_are_not_found_archived_ones_are_flagged(searched: Searched) -> None:
    async with searched.folder.database.transaction(searched.folder.tenant.system) as session:
        await session.execute(text("UPDATE documents SET state = 'expired' WHERE uri LIKE '%otter.md'"))
        await session.execute(text("UPDATE documents SET state = 'archived' WHERE uri LIKE '%heron.md'"))
    result = await searched.search("habitat river")
    found = {hit.uri.rsplit("/", 1)[-1]: hit.archived for hit in result.hits}
    assert "otter.md" not in found
    assert found["heron.md"]


@pytest.mark.req("HA-4")
async def test_without_embeddings_words_still_find_and_it_is_said(searched: Searched) -> None:
    for options in ({"without_embedder": True}, {"embedder": Unavailable()}):
        result = await searched.search("unused leave expires", **options)  # type: ignore[arg-type]
        assert result.degraded == EMBEDDER_UNAVAILABLE
        assert result.hits[0].uri.endswith("leave.md")
    result = await searched.search("unused leave expires", embedder=HashEmbedder(name="another"))
    assert result.degraded == EMBEDDER_MISMATCH
    assert result.hits[0].uri.endswith("leave.md")


async def test_the_limit_is_kept(searched: Searched) -> None:
    assert len(await searched.names("habitat weight animal", limit=2)) == 2


@pytest.mark.parametrize(
    "question",
    [
        "", " ", "\0", "?", "the of and", "🦦", "x", "' OR 1=1; DROP TABLE documents; --", "%_\\", "{}[]()",
        "more than", "between 5 and", "a" * 100_000, "otter " * 20_000, "1" * 500, "ﷺ" * 50, "\ud800",
    ],
)  # fmt: skip
async def test_odd_questions_never_fail(searched: Searched, question: str) -> None:
    result = await searched.search(question)
    assert len(result.hits) <= 10
