"""Answers a question: understand → retrieve → answer → verify citations → record."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.answering import conversations
from opaa.answering.citations import Citation, MarkerFilter, Passage, best_sentence, cite
from opaa.answering.extractive import extract_answer
from opaa.answering.models import Conversation
from opaa.answering.prompt import NOT_FOUND, answer_messages, rewrite_messages
from opaa.audit import service as audit
from opaa.db.session import Database
from opaa.errors import InvalidInputError, ModelUnavailableError, TooLargeError
from opaa.identity.service import Identity
from opaa.llm.port import ChatMessage, ChatModel, Usage
from opaa.retrieval.analysis import analyze_question, detect_language
from opaa.retrieval.service import SearchHit, SearchResult, SearchService
from opaa.telemetry import metrics
from opaa.tenancy.service import get_organization
from opaa.usage.models import UsageRecord

log = structlog.get_logger(__name__)

EXTRACTIVE = "extractive"
NEAREST = 3
PASSAGES_PER_DOCUMENT = 3
REWRITE_TIMEOUT_S = 15.0
FOLLOW_UP = re.compile(
    r"^\s*(?:and|or|but|what about|how about|why|und|oder|aber|was ist mit|wie ist es mit|warum|wieso)\b"
    r"|\b(?:it|its|they|them|their|that|those|this one|he|she|his|her|there|er|sie|es|ihn|ihm|ihr|ihre|deren|dessen"
    r"|davon|dazu|dafür|dabei|dort|das|diese[rsmn]?|jene[rsmn]?)\b",
    re.IGNORECASE,
)
SHORT_QUESTION_CONCEPTS = 3
NOTHING_FOUND = {
    "en": "I found nothing in the documents that answers this question.",
    "de": "In den Dokumenten habe ich nichts gefunden, das diese Frage beantwortet.",
}


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How answers are made."""

    passages: int = 8
    max_tokens: int = 1024
    temperature: float = 0.1
    timeout_s: float = 60.0
    max_question_chars: int = 10_000


@dataclass(frozen=True, slots=True)
class Status:
    """A step has begun; `question` is the question as it is searched for, where it was rewritten."""

    phase: str
    question: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What the answer will be made from."""

    conversation_id: UUID
    results: Sequence[SearchHit]


@dataclass(frozen=True, slots=True)
class Delta:
    """More text of the answer, its markers checked."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationFound:
    """A marker in the text so far was verified."""

    citation: Citation


@dataclass(slots=True)
class Answer:
    """The whole answer. `degraded` is a stable word for why it is not what was configured; None when it is."""

    answer: str
    citations: list[Citation]
    confidence: float
    grounded: bool
    found: bool
    degraded: str | None
    degraded_detail: str | None
    removed_citations: int
    nearest: Sequence[SearchHit]
    model: str
    usage: Usage
    conversation_id: UUID
    took_ms: float
    message_id: UUID | None = None


Event = Status | Sources | Delta | CitationFound | Answer


@dataclass
class Draft:
    """What an answer is made of while it is made."""

    text: str = ""
    citations: list[Citation] = field(default_factory=list)
    found: bool = True
    removed: int = 0
    model: str = EXTRACTIVE
    degraded: str | None = None
    degraded_detail: str | None = None
    usage: Usage = field(default_factory=lambda: Usage(0, 0, Decimal(0)))


class AnswerService:
    """Answers questions of people with what they may read."""

    def __init__(
        self, database: Database, search: SearchService, model: ChatModel | None, options: AnswerOptions
    ) -> None:
        self.database = database
        self.search = search
        self.model = model
        self.options = options

    async def ask(
        self,
        identity: Identity,
        question: str,
        *,
        workspace_ids: Sequence[UUID] | None = None,
        conversation_id: UUID | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Event, None]:
        """The events of one answer; the last is the Answer, which is recorded before it is sent.

        Raises InvalidInputError, TooLargeError, NotFoundError (conversation), DatabaseUnavailableError.
        """
        started = time.perf_counter()
        question = self._checked(question)
        async with self.database.session(identity.context) as session:
            conversation, turns = await self._conversation(session, identity, question, conversation_id, workspace_ids)
        draft = Draft()
        if turns:
            yield Status("rewriting")
        standalone = await self._standalone(question, turns, draft)
        yield Status("searching", standalone if standalone != question else None)
        async with self.database.session(identity.context) as session:
            result = await self.search.search(
                session,
                identity.context,
                standalone,
                workspace_ids=list(workspace_ids or [workspace.id for workspace in identity.workspaces]),
                limit=limit or self.options.passages,
            )
        if result.degraded:
            draft.degraded, draft.degraded_detail = result.degraded, result.detail
        passages = _passages(result.hits, self.options.passages)
        yield Sources(conversation.id, result.hits)
        yield Status("answering")
        async with aclosing(
            self._answer(question, standalone, passages, turns=turns, draft=draft, result=result)
        ) as events:
            async for event in events:
                yield event
        answer = self._finish(draft, result, conversation.id, started, question)
        answer.message_id = await self._record(
            identity, conversation, question, answer, passages=passages, workspace_ids=workspace_ids
        )
        yield answer

    def _checked(self, question: str) -> str:
        question = question.replace("\0", " ").strip()
        if not question:
            raise InvalidInputError("The question is empty")
        if len(question) > self.options.max_question_chars:
            raise TooLargeError(
                f"The question has {len(question):,} characters; the limit is {self.options.max_question_chars:,}"
            )
        return question

    async def _conversation(
        self,
        session: AsyncSession,
        identity: Identity,
        question: str,
        conversation_id: UUID | None,
        workspace_ids: Sequence[UUID] | None,
    ) -> tuple[Conversation, list[ChatMessage]]:
        if conversation_id is None:
            workspace_id = workspace_ids[0] if workspace_ids and len(workspace_ids) == 1 else None
            new = conversations.new_conversation(identity.organization_id, identity.user_id, workspace_id, question)
            return new, []
        conversation = await conversations.get_conversation(session, conversation_id)
        return conversation, await conversations.history(session, conversation_id)

    async def _standalone(self, question: str, turns: Sequence[ChatMessage], draft: Draft) -> str:
        """The question with what it takes from the conversation."""
        previous = conversations.previous_question(turns)
        if previous is None:
            return question
        if self.model is not None:
            try:
                return await self._rewrite(self.model, question, turns, draft)
            except ModelUnavailableError as error:
                log.warning("question was not rewritten", reason=error.message)
        concepts = analyze_question(question).concepts
        if len(concepts) <= SHORT_QUESTION_CONCEPTS or FOLLOW_UP.search(question):
            return f"{question} {previous}"
        return question

    async def _rewrite(self, model: ChatModel, question: str, turns: Sequence[ChatMessage], draft: Draft) -> str:
        text = ""
        stream = model.stream(
            rewrite_messages(question, turns), max_tokens=200, temperature=0.0, timeout_s=REWRITE_TIMEOUT_S
        )
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    draft.usage = _added(draft.usage, piece)
                else:
                    text += piece
        text = " ".join(text.split()).strip('"')
        return text if 0 < len(text) <= self.options.max_question_chars else question

    async def _answer(
        self,
        question: str,
        standalone: str,
        passages: Sequence[Passage],
        *,
        turns: Sequence[ChatMessage],
        draft: Draft,
        result: SearchResult,
    ) -> AsyncGenerator[Event, None]:
        if not passages or not result.relevant:
            draft.found = False
            return
        if self.model is not None:
            try:
                async with aclosing(self._generate(self.model, question, passages, turns, draft)) as events:
                    async for event in events:
                        yield event
            except ModelUnavailableError as error:
                log.warning("answer degraded to sentences of the documents", reason=error.message)
                draft.degraded, draft.degraded_detail = error.code, error.message
            else:
                return
        extracted = await extract_answer(standalone, passages, self.search.embedder)
        draft.text, draft.citations, draft.model = extracted.text, extracted.citations, EXTRACTIVE
        draft.found, draft.removed = bool(extracted.text), 0
        if draft.degraded is None or draft.degraded != ModelUnavailableError.code:
            yield Delta(draft.text)
        for citation in draft.citations:
            yield CitationFound(citation)

    async def _generate(
        self,
        model: ChatModel,
        question: str,
        passages: Sequence[Passage],
        turns: Sequence[ChatMessage],
        draft: Draft,
    ) -> AsyncGenerator[Event, None]:
        draft.model = model.name
        markers = MarkerFilter(passages)
        held: str | None = ""  # the beginning, held back until it cannot be the word for "not found"
        began = time.perf_counter()
        stream = model.stream(
            answer_messages(question, passages, turns),
            max_tokens=self.options.max_tokens,
            temperature=self.options.temperature,
            timeout_s=self.options.timeout_s,
        )
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    draft.usage = _added(draft.usage, piece)
                    continue
                ready = piece
                if held is not None:
                    held += piece
                    if NOT_FOUND.startswith(held.strip()[: len(NOT_FOUND)]):
                        continue
                    ready, held = held, None
                for event in self._streamed(markers, markers.feed(ready), draft):
                    yield event
        metrics.MODEL_SECONDS.labels(model.name).observe(time.perf_counter() - began)
        if held is not None and (not held.strip() or held.strip().startswith(NOT_FOUND)):
            draft.found = False
            return
        for event in self._streamed(markers, (markers.feed(held) if held else "") + markers.finish(), draft):
            yield event
        draft.text, draft.removed = markers.text.strip(), markers.removed
        metrics.REMOVED_CITATIONS.inc(markers.removed)

    def _streamed(self, markers: MarkerFilter, text: str, draft: Draft) -> list[Event]:
        events: list[Event] = [Delta(text)] if text else []
        done = {citation.marker for citation in draft.citations}
        for marker, claim in markers.cited.items():
            if marker not in done:
                passage = markers.passages[marker - 1]
                citation = cite(marker, passage, best_sentence(passage, claim))
                draft.citations.append(citation)
                events.append(CitationFound(citation))
        return events

    def _finish(
        self, draft: Draft, result: SearchResult, conversation_id: UUID, started: float, question: str
    ) -> Answer:
        if not draft.found:
            draft.text = NOTHING_FOUND[detect_language(question) or "en"]
            draft.citations = []
        top = result.hits[0] if result.hits else None
        return Answer(
            answer=draft.text,
            citations=draft.citations,
            confidence=round(result.confidence, 3) if draft.found and top else 0.0,
            grounded=bool(draft.citations) and draft.found,
            found=draft.found,
            degraded=draft.degraded,
            degraded_detail=draft.degraded_detail,
            removed_citations=draft.removed,
            nearest=[] if draft.found else list(result.hits[:NEAREST]),
            model=draft.model,
            usage=draft.usage,
            conversation_id=conversation_id,
            took_ms=round((time.perf_counter() - started) * 1000, 1),
        )

    async def _record(
        self,
        identity: Identity,
        conversation: Conversation,
        question: str,
        answer: Answer,
        *,
        passages: Sequence[Passage],
        workspace_ids: Sequence[UUID] | None,
    ) -> UUID:
        stored = to_json(answer)
        # The nearest documents are named in the answer; a model has read all passages, whether it cites them or not.
        used = {citation.document_id for citation in answer.citations} | {hit.document_id for hit in answer.nearest}
        used |= {passage.document_id for passage in passages} if answer.model != EXTRACTIVE else set()
        async with self.database.transaction(identity.context) as session:
            message_id = await conversations.add_turn(session, conversation, question, stored, used)
            session.add(
                UsageRecord(
                    organization_id=identity.organization_id,
                    workspace_id=workspace_ids[0] if workspace_ids and len(workspace_ids) == 1 else None,
                    user_id=identity.user_id,
                    kind="answer",
                    model=answer.model,
                    input_tokens=answer.usage.input_tokens,
                    output_tokens=answer.usage.output_tokens,
                    cost=answer.usage.cost,
                    took_ms=answer.took_ms,
                    degraded=answer.degraded,
                )
            )
            organization = await get_organization(session, identity.organization_id)
            await audit.record(
                session,
                identity.organization_id,
                identity.actor,
                "ask",
                target=f"message:{message_id}",
                details={"documents": sorted(str(document_id) for document_id in used)},
                private={"question": question} if organization.audit_questions else None,
            )
        outcome = "answered" if answer.found else "not_found"
        metrics.ANSWERS.labels(answer.model, outcome, answer.degraded or "").inc()
        metrics.ANSWER_SECONDS.observe(answer.took_ms / 1000)
        metrics.TOKENS.labels(answer.model, "input").inc(answer.usage.input_tokens)
        metrics.TOKENS.labels(answer.model, "output").inc(answer.usage.output_tokens)
        return message_id


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as it is stored with its message: without the nearest documents' texts."""
    stored: dict[str, Any] = asdict(answer)
    del stored["usage"]["truncated"]
    stored["nearest"] = [{"document_id": hit.document_id, "title": hit.title, "uri": hit.uri} for hit in answer.nearest]
    return _plain(stored)  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is of any type
    match value:
        case dict():
            return {key: _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case UUID() | Decimal():
            return str(value)
        case _:
            return value


def _added(one: Usage, other: Usage) -> Usage:
    return Usage(one.input_tokens + other.input_tokens, one.output_tokens + other.output_tokens, one.cost + other.cost)


def _passages(hits: Sequence[SearchHit], limit: int) -> list[Passage]:
    """The best passages: of each document the first few, in the order of the documents."""
    found: list[Passage] = []
    for hit in hits:
        for passage in hit.passages[:PASSAGES_PER_DOCUMENT]:
            found.append(
                Passage(
                    hit.document_id,
                    hit.title,
                    hit.uri,
                    passage.chunk_id,
                    passage.heading_path,
                    passage.text,
                    passage.start_offset,
                    passage.score,
                )
            )
    return found[:limit]
