"""A person's conversations: kept, listed, renamed, deleted; feedback on their answers.

Row-level security shows each person only their own.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.answering.models import Conversation, Feedback, Message
from opaa.audit import service as audit
from opaa.db.base import utc_now, uuid7
from opaa.errors import InvalidInputError, NotFoundError
from opaa.llm.port import ChatMessage

LONGEST_TITLE = 120
HISTORY_MESSAGES = 12
WITHHELD = "This answer was made from documents that you can no longer read."


async def get_conversation(session: AsyncSession, conversation_id: UUID) -> Conversation:
    conversation = await session.get(Conversation, conversation_id)
    if conversation is None:
        raise NotFoundError(f"There is no conversation {conversation_id}")
    return conversation


async def list_conversations(
    session: AsyncSession, user_id: UUID, before: Conversation | None, limit: int
) -> list[Conversation]:
    """Most lately used first, those after `before` in that order."""
    query = (
        select(Conversation)
        .where(Conversation.user_id == user_id)
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(
            or_(
                Conversation.updated_at < before.updated_at,
                (Conversation.updated_at == before.updated_at) & (Conversation.id < before.id),
            )
        )
    return list(await session.scalars(query))


async def list_messages(session: AsyncSession, conversation_id: UUID) -> tuple[list[Message], dict[UUID, Feedback]]:
    """The messages in order, and the feedback by message. Answers from documents no longer readable are withheld."""
    messages = list(
        await session.scalars(select(Message).where(Message.conversation_id == conversation_id).order_by(Message.id))
    )
    await _withhold(session, messages)
    given = select(Feedback).where(Feedback.message_id.in_([message.id for message in messages]))
    return messages, {feedback.message_id: feedback for feedback in await session.scalars(given)}


async def history(session: AsyncSession, conversation_id: UUID) -> list[ChatMessage]:
    """The last turns of a conversation, oldest first."""
    query = (
        select(Message)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.id.desc())
        .limit(HISTORY_MESSAGES)
    )
    turns = list(await session.scalars(query))
    await _withhold(session, turns)
    return [
        ChatMessage("user" if message.role == "user" else "assistant", message.content) for message in reversed(turns)
    ]


def new_conversation(organization_id: UUID, user_id: UUID, workspace_id: UUID | None, question: str) -> Conversation:
    title = " ".join(question.split())
    if len(title) > LONGEST_TITLE:
        title = title[: LONGEST_TITLE - 1].rsplit(" ", 1)[0] + "…"
    return Conversation(
        id=uuid7(), organization_id=organization_id, user_id=user_id, workspace_id=workspace_id, title=title
    )


async def _withhold(session: AsyncSession, messages: Sequence[Message]) -> None:
    """Take out answers made from a document that the session may not read (any more): what they say came from there."""
    used = {document_id for message in messages for document_id in message.document_ids}
    if not used:
        return
    readable = set(await session.scalars(text("SELECT id FROM documents WHERE id = ANY (:ids)"), {"ids": list(used)}))
    for message in messages:
        if not set(message.document_ids) <= readable:
            session.expunge(message)  # never written back
            message.content, message.document_ids = WITHHELD, []
            if message.answer is not None:
                empty = {"citations": [], "nearest": [], "grounded": False, "withheld": True}
                message.answer = {**message.answer, "answer": WITHHELD, **empty}


async def add_turn(
    session: AsyncSession,
    conversation: Conversation,
    question: str,
    answer: dict[str, Any],
    document_ids: Collection[UUID],
) -> UUID:
    """Store a question and its answer, and return the answer's id; the first turn creates the conversation."""
    if await session.get(Conversation, conversation.id) is None:
        session.add(conversation)
        await session.flush()
    owner = {
        "organization_id": conversation.organization_id,
        "user_id": conversation.user_id,
        "conversation_id": conversation.id,
    }
    asked = Message(id=uuid7(), role="user", content=question, **owner)
    answered = Message(id=uuid7(), role="assistant", content=answer["answer"], answer=answer, **owner)
    answered.document_ids = sorted(set(document_ids))
    session.add_all([asked, answered])
    await session.execute(update(Conversation).where(Conversation.id == conversation.id).values(updated_at=utc_now()))
    return answered.id


async def rename_conversation(session: AsyncSession, conversation_id: UUID, title: str) -> Conversation:
    title = " ".join(title.split())
    if not 1 <= len(title) <= LONGEST_TITLE or not title.isprintable():
        raise InvalidInputError(f"A title is 1 to {LONGEST_TITLE} printable characters")
    conversation = await get_conversation(session, conversation_id)
    conversation.title = title
    return conversation


async def delete_conversation(session: AsyncSession, conversation_id: UUID) -> None:
    conversation = await get_conversation(session, conversation_id)
    await audit.record(
        session,
        conversation.organization_id,
        f"user:{conversation.user_id}",
        "conversation.deleted",
        target=f"conversation:{conversation_id}",
    )
    await session.delete(conversation)


async def give_feedback(session: AsyncSession, user_id: UUID, message_id: UUID, rating: str, comment: str) -> None:
    """One judgement per answer; a later one replaces it. Raises NotFoundError for a message of somebody else."""
    message = await session.get(Message, message_id)
    if message is None or message.role != "assistant" or message.user_id != user_id:
        raise NotFoundError(f"There is no answer {message_id}")
    statement = insert(Feedback).values(
        id=uuid7(),
        organization_id=message.organization_id,
        user_id=user_id,
        message_id=message_id,
        rating=rating,
        comment=comment,
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["message_id"],
            set_={"rating": statement.excluded.rating, "comment": statement.excluded.comment, "created_at": utc_now()},
        )
    )


def previous_question(turns: Sequence[ChatMessage]) -> str | None:
    """The last thing the person asked."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), None)
