"""Where one is logged in, and two-step log-in."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opaa.api.dependencies import RuntimeDependency, SessionDependency, SessionsRead, SessionsWrite
from opaa.api.schemas import Input, Listing
from opaa.errors import PermissionDeniedError
from opaa.identity import sessions, totp
from opaa.identity.models import LoginSession, User
from opaa.identity.service import Identity

router = APIRouter(tags=["sessions"])


class SessionOut(BaseModel):
    """`current` is the session that asks."""

    id: UUID
    method: str
    user_agent: str
    address: str
    current: bool
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, row: LoginSession, current: UUID | None) -> "SessionOut":
        return cls(
            id=row.id,
            method=row.method,
            user_agent=row.user_agent,
            address=row.address,
            current=row.id == current,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
        )


class TwoStepSecret(BaseModel):
    """For the authenticator app: the secret, and the same as an address to show as a QR code."""

    secret: str
    uri: str


class Code(Input):
    code: Annotated[str, Field(min_length=1, max_length=64)]


class RecoveryCodes(BaseModel):
    """Each replaces one code of the app, once; shown this once."""

    codes: list[str]


def _interactive(identity: Identity) -> None:
    if identity.session_id is None:
        raise PermissionDeniedError("Two-step log-in is changed by a person who is logged in, not with a token")


@router.get("/sessions")
async def list_sessions(identity: SessionsRead, session: SessionDependency) -> Listing[SessionOut]:
    rows = await sessions.list_sessions(session, identity.user_id)
    return Listing(items=[SessionOut.of(row, identity.session_id) for row in rows])


@router.delete("/sessions", status_code=204)
async def end_other_sessions(identity: SessionsWrite, session: SessionDependency) -> None:
    """Log out everywhere else."""
    user = await session.get_one(User, identity.user_id)
    await sessions.end_sessions(session, user, actor=identity.actor, keep=identity.session_id)
    await session.commit()


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(session_id: UUID, identity: SessionsWrite, session: SessionDependency) -> None:
    await sessions.end_session(session, identity.user_id, session_id, actor=identity.actor)
    await session.commit()


@router.post("/two-step", status_code=201)
async def begin_two_step(
    identity: SessionsWrite, runtime: RuntimeDependency, session: SessionDependency
) -> TwoStepSecret:
    """A secret for an authenticator app; in force once a first code confirms it."""
    _interactive(identity)
    user = await session.get_one(User, identity.user_id)
    secret, uri = totp.begin(runtime.key, user, "OPAA")
    await session.commit()
    return TwoStepSecret(secret=secret, uri=uri)


@router.post("/two-step/confirm")
async def confirm_two_step(
    body: Code, identity: SessionsWrite, runtime: RuntimeDependency, session: SessionDependency
) -> RecoveryCodes:
    """Turn two-step log-in on."""
    _interactive(identity)
    user = await session.get_one(User, identity.user_id, with_for_update=True)
    codes = await totp.confirm(session, runtime.key, user, body.code)
    await session.commit()
    return RecoveryCodes(codes=codes)


@router.post("/two-step/disable", status_code=204)
async def disable_two_step(
    body: Code, identity: SessionsWrite, runtime: RuntimeDependency, session: SessionDependency
) -> None:
    """Turn two-step log-in off, with a code."""
    _interactive(identity)
    user = await session.get_one(User, identity.user_id, with_for_update=True)
    await totp.disable(session, runtime.key, user, body.code)
    await session.commit()
