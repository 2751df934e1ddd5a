"""Accounts of people, for administrators."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from opaa.api.dependencies import (
    Cursor,
    Limit,
    RuntimeDependency,
    SessionDependency,
    UsersRead,
    UsersWrite,
    parse_cursor,
)
from opaa.api.schemas import Input, Listing, Page
from opaa.api.v1.sessions import SessionOut
from opaa.audit import service as audit
from opaa.identity import provisioning, sessions, totp
from opaa.identity import service as identity_service
from opaa.identity import users as service
from opaa.identity.models import User
from opaa.identity.passwords import check_password

router = APIRouter(prefix="/users", tags=["users"])

Role = Literal["owner", "admin", "auditor", "member"]
DisplayName = Annotated[str, Field(min_length=1, max_length=200)]


class UserIn(Input):
    """Without a password the account logs in through an identity provider, or by a reset link."""

    login: Annotated[str, Field(min_length=1, max_length=320)]
    display_name: DisplayName | None = None
    email: Annotated[str | None, Field(max_length=320)] = None
    role: Role = "member"
    password: Annotated[str | None, Field(min_length=1, max_length=1024)] = None


class UserChange(Input):
    display_name: DisplayName | None = None
    email: Annotated[str | None, Field(max_length=320, description="Empty: none.")] = None
    role: Role | None = None
    disabled: bool | None = None


class AccountOut(BaseModel):
    id: UUID
    login: str
    display_name: str
    email: str | None
    role: str
    disabled: bool
    has_password: bool
    two_step: bool
    provisioned_by: str | None
    last_login_at: datetime | None
    created_at: datetime


class ResetLinkOut(BaseModel):
    """`token` goes behind `/reset#` of this installation's address; it works once."""

    token: str
    expires_at: datetime


def account_out(user: User) -> AccountOut:
    return AccountOut(
        id=user.id,
        login=user.login,
        display_name=user.display_name,
        email=user.email,
        role=user.role,
        disabled=user.disabled_at is not None,
        has_password=user.password_hash is not None,
        two_step=user.totp_confirmed_at is not None,
        provisioned_by=user.provisioned_by,
        last_login_at=user.last_login_at,
        created_at=user.created_at,
    )


@router.get("")
async def list_users(
    identity: UsersRead,
    session: SessionDependency,
    *,
    q: Annotated[str, Query(max_length=200, description="Part of the login or name.")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[AccountOut]:
    found = await service.list_users(session, search=q.replace("\0", ""), after=parse_cursor(cursor), limit=limit + 1)
    items = [account_out(user) for user in found[:limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(found) > limit else None)


@router.post("", status_code=201)
async def create_user(body: UserIn, identity: UsersWrite, session: SessionDependency) -> AccountOut:
    service.may_make(identity.role, body.role)
    if body.password is not None:
        check_password(body.password)
    user = await identity_service.create_user(
        session,
        identity.organization_id,
        body.login,
        body.password,
        role=body.role,
        display_name=body.display_name or "",
        email=service.checked_email(body.email),
    )
    user.must_change_password = body.password is not None
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "user.created",
        target=f"user:{user.id}",
        details={"role": user.role},
    )
    await session.commit()
    return account_out(user)


@router.get("/{user_id}")
async def get_user(user_id: UUID, identity: UsersRead, session: SessionDependency) -> AccountOut:
    return account_out(await service.get_user(session, user_id))


@router.patch("/{user_id}")
async def change_user(user_id: UUID, body: UserChange, identity: UsersWrite, session: SessionDependency) -> AccountOut:
    """Name, e-mail, role; disabling ends every session. All of it holds from the next request on."""
    user = await service.change_user(
        session,
        await service.get_user(session, user_id),
        actor=identity.actor,
        actor_role=identity.role,
        **body.model_dump(exclude_unset=True),
    )
    await session.commit()
    return account_out(user)


@router.delete("/{user_id}", status_code=204)
async def delete_user(user_id: UUID, identity: UsersWrite, session: SessionDependency) -> None:
    """Delete an account with its tokens and conversations. This cannot be undone."""
    user = await service.get_user(session, user_id)
    await service.delete_user(session, user, actor=identity.actor, actor_role=identity.role)
    await session.commit()


@router.post("/{user_id}/reset-link", status_code=201)
async def make_reset_link(
    user_id: UUID, identity: UsersWrite, runtime: RuntimeDependency, session: SessionDependency
) -> ResetLinkOut:
    """A link with which the person chooses a new password, once, within a day."""
    user = await service.get_user(session, user_id)
    service.may_change(identity.role, user)
    token, until = await service.reset_token(session, runtime.key, user, actor=identity.actor)
    await session.commit()
    return ResetLinkOut(token=token, expires_at=until)


@router.delete("/{user_id}/two-step", status_code=204)
async def reset_two_step(user_id: UUID, identity: UsersWrite, session: SessionDependency) -> None:
    """Turn two-step log-in off for somebody who lost the device."""
    user = await service.get_user(session, user_id)
    service.may_change(identity.role, user)
    await totp.reset(session, user, actor=identity.actor)
    await session.commit()


class IdentityIn(Input):
    provider: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="Name of the identity provider.")]
    issuer: Annotated[str, Field(min_length=1, max_length=2000)]
    subject: Annotated[str, Field(min_length=1, max_length=2000)]


class IdentityOut(BaseModel):
    """Who an account is at an identity provider."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    provider: str
    issuer: str
    subject: str
    created_at: datetime
    last_login_at: datetime | None


@router.get("/{user_id}/identities")
async def list_identities(user_id: UUID, identity: UsersRead, session: SessionDependency) -> Listing[IdentityOut]:
    user = await service.get_user(session, user_id)
    rows = await provisioning.identities_of(session, user.id)
    return Listing(items=[IdentityOut.model_validate(row) for row in rows])


@router.post("/{user_id}/identities", status_code=201)
async def link_identity(
    user_id: UUID, body: IdentityIn, identity: UsersWrite, session: SessionDependency
) -> IdentityOut:
    """From now on whoever logs in at the provider as this subject is this person.

    Issuer and subject of a log-in that was refused are in its entry of the audit log.
    """
    user = await service.get_user(session, user_id)
    service.may_change(identity.role, user)
    row = await provisioning.link_by_hand(session, user, body.provider, body.issuer, body.subject, actor=identity.actor)
    await session.commit()
    return IdentityOut.model_validate(row)


@router.delete("/{user_id}/identities/{identity_id}", status_code=204)
async def unlink_identity(user_id: UUID, identity_id: UUID, identity: UsersWrite, session: SessionDependency) -> None:
    user = await service.get_user(session, user_id)
    service.may_change(identity.role, user)
    await provisioning.unlink(session, user, identity_id, actor=identity.actor)
    await session.commit()


@router.get("/{user_id}/sessions")
async def list_sessions(user_id: UUID, identity: UsersRead, session: SessionDependency) -> Listing[SessionOut]:
    user = await service.get_user(session, user_id)
    rows = await sessions.list_sessions(session, user.id)
    return Listing(items=[SessionOut.of(row, identity.session_id) for row in rows])


@router.delete("/{user_id}/sessions", status_code=204)
async def end_sessions(user_id: UUID, identity: UsersWrite, session: SessionDependency) -> None:
    """Log a person out everywhere."""
    user = await service.get_user(session, user_id)
    service.may_change(identity.role, user)
    await sessions.end_sessions(session, user, actor=identity.actor)
    await session.commit()
