"""A person's conversations, and feedback on their answers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from opaa.answering import conversations as service
from opaa.answering.models import Feedback, Message
from opaa.api.dependencies import (
    ConversationsRead,
    ConversationsWrite,
    Cursor,
    FeedbackWrite,
    Limit,
    SessionDependency,
    parse_cursor,
)
from opaa.api.schemas import Input, Page
from opaa.audit import service as audit
from opaa.errors import NotFoundError
from opaa.telemetry import metrics

router = APIRouter(tags=["conversations"])


class ConversationOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    workspace_id: UUID | None
    created_at: datetime
    updated_at: datetime


class FeedbackOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    rating: str
    comment: str


class MessageOut(BaseModel):
    """`answer` holds an assistant's message as it was answered: citations, model, usage."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    answer: dict[str, Any] | None
    feedback: FeedbackOut | None
    created_at: datetime


class ConversationWithMessages(ConversationOut):
    messages: list[MessageOut]


class ConversationChange(Input):
    title: Annotated[str, Field(min_length=1, max_length=200)]


class FeedbackIn(Input):
    message_id: UUID
    rating: Literal["up", "down"]
    comment: Annotated[str, Field(max_length=4000)] = ""


def message_out(message: Message, feedback: Feedback | None) -> MessageOut:
    answer = {**message.answer, "message_id": str(message.id)} if message.answer else None
    return MessageOut(
        id=message.id,
        role="user" if message.role == "user" else "assistant",
        content=message.content,
        answer=answer,
        feedback=FeedbackOut.model_validate(feedback) if feedback else None,
        created_at=message.created_at,
    )


@router.get("/conversations")
async def list_conversations(
    identity: ConversationsRead, session: SessionDependency, cursor: Cursor = None, limit: Limit = 50
) -> Page[ConversationOut]:
    """Your conversations, the last used first."""
    before_id = parse_cursor(cursor)
    before = await service.get_conversation(session, before_id) if before_id else None
    found = await service.list_conversations(session, identity.user_id, before, limit + 1)
    items = [ConversationOut.model_validate(conversation) for conversation in found[:limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(found) > limit else None)


@router.get("/conversations/{conversation_id}")
async def get_conversation(
    conversation_id: UUID, identity: ConversationsRead, session: SessionDependency
) -> ConversationWithMessages:
    conversation = await service.get_conversation(session, conversation_id)
    if conversation.user_id != identity.user_id:
        raise NotFoundError(f"There is no conversation {conversation_id}")
    messages, given = await service.list_messages(session, conversation_id)
    shown = ConversationOut.model_validate(conversation)
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "conversation.read",
        target=f"conversation:{conversation_id}",
        details={"documents": sorted({str(each) for message in messages for each in message.document_ids})},
    )
    await session.commit()
    return ConversationWithMessages(
        **shown.model_dump(),
        messages=[message_out(message, given.get(message.id)) for message in messages],
    )


@router.patch("/conversations/{conversation_id}")
async def rename_conversation(
    conversation_id: UUID, body: ConversationChange, identity: ConversationsWrite, session: SessionDependency
) -> ConversationOut:
    conversation = await service.rename_conversation(session, conversation_id, body.title)
    await session.commit()
    return ConversationOut.model_validate(conversation)


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: UUID, identity: ConversationsWrite, session: SessionDependency) -> None:
    """Delete a conversation with its messages and feedback."""
    await service.delete_conversation(session, conversation_id)
    await session.commit()


@router.post("/feedback", status_code=204)
async def give_feedback(body: FeedbackIn, identity: FeedbackWrite, session: SessionDependency) -> None:
    """Judge an answer of yours; a second judgement replaces the first."""
    await service.give_feedback(session, identity.user_id, body.message_id, body.rating, body.comment)
    await session.commit()
    metrics.FEEDBACK.labels(body.rating).inc()
