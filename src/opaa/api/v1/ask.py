"""Questions: answered as JSON, or streamed as server-sent events."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from opaa.answering.service import Answer, CitationFound, Delta, Event, Sources, Status
from opaa.api.dependencies import MayAsk, RuntimeDependency, identify, workspace_ids
from opaa.api.problems import problem, problem_of
from opaa.api.schemas import Input, SearchResultOut, results_out
from opaa.errors import OpaaError, PermissionDeniedError
from opaa.identity.service import Identity
from opaa.runtime import Runtime

log = structlog.get_logger(__name__)
router = APIRouter(tags=["ask"])

CHECK_AGAIN_AFTER_S = 2.0  # of an open stream, whether the person may still have it
EVENT_STREAM = "text/event-stream"


class Question(Input):
    question: str
    workspace: Annotated[str | None, Field(max_length=200, description="Name or id; unset: all that you may read.")] = (
        None
    )
    conversation_id: UUID | None = None
    limit: Annotated[int | None, Field(ge=1, le=50, description="Documents considered.")] = None


class CitationOut(BaseModel):
    """A passage that the answer relies on; the offsets are the quote's place in the document's text."""

    model_config = ConfigDict(from_attributes=True)

    marker: int
    document_id: UUID
    title: str
    uri: str
    chunk_id: UUID
    heading_path: list[str]
    quote: str
    start_offset: int
    end_offset: int
    score: float


class UsageOut(BaseModel):
    input_tokens: int
    output_tokens: int
    cost: str


class AnswerOut(BaseModel):
    """`answer` is Markdown with markers such as [1]; `degraded` says why it is not what was configured."""

    answer: str
    citations: list[CitationOut]
    confidence: float
    grounded: bool
    found: bool
    degraded: str | None
    degraded_detail: str | None
    removed_citations: int
    nearest: list[SearchResultOut]
    model: str
    usage: UsageOut
    conversation_id: UUID
    message_id: UUID
    took_ms: float


def answer_out(answer: Answer) -> AnswerOut:
    usage = answer.usage
    return AnswerOut(
        answer=answer.answer,
        citations=[CitationOut.model_validate(citation) for citation in answer.citations],
        confidence=answer.confidence,
        grounded=answer.grounded,
        found=answer.found,
        degraded=answer.degraded,
        degraded_detail=answer.degraded_detail,
        removed_citations=answer.removed_citations,
        nearest=results_out(answer.nearest),
        model=answer.model,
        usage=UsageOut(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=f"{usage.cost:f}"),
        conversation_id=answer.conversation_id,
        message_id=answer.message_id or answer.conversation_id,
        took_ms=answer.took_ms,
    )


@router.post(
    "/ask",
    response_model=AnswerOut,
    responses={200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
)
async def ask(
    body: Question,
    request: Request,
    identity: MayAsk,
    runtime: RuntimeDependency,
    accept: Annotated[str, Header(description=f"`{EVENT_STREAM}` streams.")] = "application/json",
) -> Any:  # noqa: ANN401 - a stream or a model
    """Answer a question from the documents that you may read.

    With `Accept: text/event-stream` the events are `status`, `sources`, `delta`, `citation`, `done` (the whole answer,
    which replaces what was streamed) and `error` (a problem document).
    """
    chosen = workspace_ids(identity, body.workspace) if body.workspace else None
    events = runtime.answers.ask(
        identity, body.question, workspace_ids=chosen, conversation_id=body.conversation_id, limit=body.limit
    )
    if EVENT_STREAM in accept:
        first = await anext(events)  # what can be refused is refused with a status, before the stream begins
        return EventSourceResponse(
            _stream(request, runtime, identity, first, events), ping=15, headers={"X-Accel-Buffering": "no"}
        )
    answer: Answer | None = None
    async for event in events:
        if isinstance(event, Answer):
            answer = event
    if answer is None:
        raise OpaaError("The answer ended early")
    return answer_out(answer)


async def _stream(
    request: Request, runtime: Runtime, identity: Identity, first: Event, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[ServerSentEvent, None]:
    checked_at = time.monotonic()
    try:
        yield _event(first)
        async for event in events:
            if time.monotonic() - checked_at >= CHECK_AGAIN_AFTER_S:
                await _still_allowed(request, runtime, identity)
                checked_at = time.monotonic()
            yield _event(event)
    except OpaaError as error:
        yield _sse("error", problem_of(request, error))
    except Exception:
        log.exception("the stream of an answer broke")
        yield _sse("error", problem(request, 500, "internal", "Something unexpected went wrong"))
    finally:
        await events.aclose()


async def _still_allowed(request: Request, runtime: Runtime, identity: Identity) -> None:
    """Raises AuthenticationError or PermissionDeniedError when what began the stream would not begin it now.

    An answer is made of what the person could read; who has lost any of that gets no more of it.
    """
    now = await identify(request, runtime)
    lost = set(identity.context.principals) - set(now.context.principals)
    if lost or not now.may_somewhere("ask"):
        raise PermissionDeniedError("Your permissions changed while the answer was written; ask again")


def _event(event: Event) -> ServerSentEvent:
    match event:
        case Status(phase, question):
            return _sse("status", {"phase": phase, "question": question})
        case Sources(conversation_id, results):
            shown = [result.model_dump(mode="json") for result in results_out(results)]
            return _sse("sources", {"conversation_id": str(conversation_id), "results": shown})
        case Delta(text):
            return _sse("delta", {"text": text})
        case CitationFound(citation):
            return _sse("citation", {"citation": CitationOut.model_validate(citation).model_dump(mode="json")})
        case Answer():
            return _sse("done", answer_out(event).model_dump(mode="json"))


def _sse(name: str, data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(data=orjson.dumps(data).decode(), event=name)
