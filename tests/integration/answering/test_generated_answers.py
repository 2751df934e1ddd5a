"""Answers written by a model behind an endpoint: checked, and replaced by sentences when the model fails."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from opaa.access.models import WorkspaceMember
from opaa.answering.service import Answer, AnswerOptions, AnswerService, CitationFound, Delta, Event, Status
from opaa.db.session import Database
from opaa.extraction.pool import ExtractionPool
from opaa.identity.service import create_user, identity_of
from opaa.indexing.pipeline import Indexer, IndexingOptions
from opaa.indexing.runs import queue_run
from opaa.llm.chat import OpenAIChatModel
from opaa.retrieval.service import SearchService
from opaa.sources.service import create_source
from opaa.vectors.pgvector import PgVectorStore
from tests.conftest import Tenant
from tests.fakes.hash_embedder import HashEmbedder
from tests.fakes.openai_server import Chat, Failure, FakeOpenAI

FILES = {
    "leave.md": "# Parental leave\n\nParental leave lasts twelve months. It is paid for six months.\n",
    "printer.md": "# Printer\n\nThe printer stands on the third floor. Toner is in the cupboard.\n",
    "urlaub.md": "# Urlaub\n\nJeder Mitarbeiter hat 30 Tage Urlaub im Jahr. Resturlaub verfällt im März.\n",
    "people.csv": "name,city,role\nAda,London,Engineer\nGrace,New York,Admiral\n",
}


class Asking:
    """Asks as one person, with or without a model."""

    def __init__(self, database: Database, tenant: Tenant, search: SearchService) -> None:
        self.database, self.tenant, self.search = database, tenant, search
        self.model: OpenAIChatModel | None = None

    async def events(self, question: str, *, timeout_s: float = 5, **options: Any) -> list[Event]:
        service = AnswerService(self.database, self.search, self.model, AnswerOptions(timeout_s=timeout_s))
        return [event async for event in service.ask(self.identity, question, **options)]

    async def answer(self, question: str, **options: Any) -> Answer:
        last = (await self.events(question, **options))[-1]
        assert isinstance(last, Answer)
        await self.assert_quotes(last)
        return last

    async def assert_quotes(self, answer: Answer) -> None:
        from opaa.indexing.documents import read_text

        async with self.database.session(self.identity.context) as session:
            for citation in answer.citations:
                whole = (await read_text(session, citation.document_id, 0, 10**6)).text
                assert whole[citation.start_offset : citation.end_offset] == citation.quote
                assert f"[{citation.marker}]" in answer.answer


@pytest.fixture
async def asking(database: Database, tenant: Tenant, tmp_path) -> Asking:
    from opaa.access.models import Workspace

    folder = tmp_path / "docs"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    embedder, store = HashEmbedder(), PgVectorStore()
    asking = Asking(database, tenant, SearchService(database, store, embedder))  # type: ignore[arg-type]
    async with database.transaction(tenant.system) as session:
        workspace = await session.get_one(Workspace, tenant.workspace_id)
        source = await create_source(
            session, "test", workspace, kind="filesystem", name="Docs", settings={"path": str(folder)}
        )
        run = await queue_run(session, "test", source)
        user = await create_user(session, tenant.organization_id, "ada", None, role="member")
        member = {"organization_id": tenant.organization_id, "workspace_id": tenant.workspace_id}
        session.add(WorkspaceMember(**member, user_id=user.id, role="viewer"))
        await session.flush()
        asking.identity = await identity_of(session, user)
    async with ExtractionPool() as extraction:
        options = IndexingOptions(uploads_dir=tmp_path)
        await Indexer(database, embedder, store, extraction, options).run(tenant.organization_id, run.id)  # type: ignore[arg-type]
    return asking


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def generating(asking: Asking, server: FakeOpenAI) -> AsyncIterator[Asking]:
    asking.model = OpenAIChatModel(base_url=server.base_url, model="fake-model", api_key=server.api_key)
    yield asking
    await asking.model.close()


@pytest.mark.req("RAG-5")
async def test_without_a_model_the_answer_is_made_of_cited_sentences(asking: Asking) -> None:
    answer = await asking.answer("How long does parental leave last?")
    assert "Parental leave lasts twelve months." in answer.answer
    assert (answer.found, answer.grounded, answer.degraded, answer.model) == (True, True, None, "extractive")
    assert answer.citations[0].quote == "Parental leave lasts twelve months."


async def test_a_row_of_a_table_is_answered_with_its_columns(asking: Asking) -> None:
    answer = await asking.answer("In which city is Grace?")
    assert "city: New York" in answer.answer
    assert "London" not in answer.answer


async def test_a_german_question_gets_german_sentences(asking: Asking) -> None:
    answer = await asking.answer("Wie viele Tage Urlaub hat ein Mitarbeiter?")
    assert "30 Tage Urlaub" in answer.answer


@pytest.mark.req("RAG-2")
@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("Which submarine transported the xylophone orchestra?", "found nothing"),
        ("Welches Unterseeboot transportierte das Xylophonorchester?", "nichts gefunden"),
    ],
)
async def test_nothing_found_is_said_in_the_language_of_the_question(asking: Asking, question: str, says: str) -> None:
    answer = await asking.answer(question)
    assert says in answer.answer
    assert (answer.found, answer.grounded, answer.citations, answer.confidence) == (False, False, [], 0.0)


@pytest.mark.req("RAG-2", "LLM-1")
async def test_a_generated_answer_keeps_known_markers_and_loses_invented_ones(
    generating: Asking, server: FakeOpenAI
) -> None:
    server.chat_replies.append(Chat(text="Parental leave lasts twelve months [1]. The moon is cheese [47]."))
    events = await generating.events("How long does parental leave last?")
    answer = events[-1]
    assert isinstance(answer, Answer)
    await generating.assert_quotes(answer)
    assert answer.answer == "Parental leave lasts twelve months [1]. The moon is cheese."
    assert "".join(event.text for event in events if isinstance(event, Delta)).strip() == answer.answer
    assert [event.citation for event in events if isinstance(event, CitationFound)] == answer.citations
    assert (answer.removed_citations, answer.model, answer.grounded) == (1, "fake-model", True)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (120, 12)
    prompt = server.requests[-1].body["messages"][-1]["content"]
    assert "Parental leave lasts twelve months." in prompt


@pytest.mark.req("RAG-2")
async def test_a_model_that_finds_nothing_says_so(generating: Asking, server: FakeOpenAI) -> None:
    server.chat_replies.append(Chat(text="NOT_FOUND"))
    events = await generating.events("How long does parental leave last?")
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert (answer.found, answer.citations) == (False, [])
    assert answer.nearest
    assert not [event for event in events if isinstance(event, Delta) and "NOT" in event.text]


@pytest.mark.req("RAG-3")
async def test_a_follow_up_is_rewritten_with_the_history(generating: Asking, server: FakeOpenAI) -> None:
    server.chat_replies.append(Chat(text="Twelve months [1]."))
    first = await generating.answer("How long does parental leave last?")
    server.chat_replies.append(Chat(text="For how many months is parental leave paid?"))
    server.chat_replies.append(Chat(text="Six months [1]."))
    events = await generating.events("And how long is it paid?", conversation_id=first.conversation_id)
    assert Status("rewriting") in events
    assert Status("searching", "For how many months is parental leave paid?") in events
    rewrite = server.requests[-2].body["messages"]
    assert "How long does parental leave last?" in str(rewrite)
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.answer == "Six months [1]."


async def test_a_follow_up_without_a_model_uses_the_question_before(asking: Asking) -> None:
    first = await asking.answer("How long does parental leave last?")
    second = await asking.answer("And for how long is it paid?", conversation_id=first.conversation_id)
    assert "paid for six months" in second.answer


@pytest.mark.req("LLM-2", "HA-4")
@pytest.mark.parametrize(
    "reply",
    [
        Failure(500),
        Failure(429),
        Failure(401),
        Chat(text="Parental leave lasts exactly", cut_after=2),
        Chat(text="Parental leave lasts exactly", end_after=2),
        Chat(text="Parental leave lasts exactly", garbage_after=2),
        Chat(text="Parental leave lasts exactly", stall_after=2),
    ],
    ids=["500", "429", "401", "cut", "ended", "garbage", "stalled"],
)
async def test_a_model_that_fails_is_replaced_by_sentences_and_the_reason_is_told(
    generating: Asking, server: FakeOpenAI, reply: Chat | Failure
) -> None:
    server.chat = reply
    answer = await generating.answer("How long does parental leave last?", timeout_s=1)
    assert "Parental leave lasts twelve months." in answer.answer
    assert answer.degraded == "model-unavailable"
    assert answer.degraded_detail
    assert (answer.found, answer.grounded, answer.model) == (True, True, "extractive")


async def test_an_endpoint_that_is_not_there_degrades_as_well(asking: Asking, unused_tcp_port_url: str) -> None:
    asking.model = OpenAIChatModel(base_url=unused_tcp_port_url, model="m", api_key=None)
    try:
        answer = await asking.answer("How long does parental leave last?")
    finally:
        await asking.model.close()
    assert answer.degraded == "model-unavailable"
    assert "twelve months" in answer.answer


@pytest.fixture
def unused_tcp_port_url() -> str:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
