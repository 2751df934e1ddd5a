"""Accounts of programs: they have tokens, and cannot log in."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opaa.api.dependencies import (
    Cursor,
    Limit,
    RuntimeDependency,
    ServiceAccountsRead,
    ServiceAccountsWrite,
    SessionDependency,
    parse_cursor,
)
from opaa.api.schemas import Input, Listing, Page
from opaa.api.v1.tokens import NewTokenOut, RotationIn, TokenIn, TokenOut, make_token, new_token_out, require_reach
from opaa.audit import service as audit
from opaa.identity import tokens, users
from opaa.identity.models import SERVICE, User
from opaa.identity.service import create_user

router = APIRouter(prefix="/service-accounts", tags=["service accounts"])

Role = Literal["admin", "auditor", "member"]


class ServiceAccountIn(Input):
    login: Annotated[str, Field(min_length=1, max_length=320)]
    display_name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    role: Role = "member"


class ServiceAccountChange(Input):
    display_name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    role: Role | None = None
    disabled: bool | None = None


class ServiceAccountOut(BaseModel):
    id: UUID
    login: str
    display_name: str
    role: str
    disabled: bool
    created_at: datetime


def service_account_out(user: User) -> ServiceAccountOut:
    return ServiceAccountOut(
        id=user.id,
        login=user.login,
        display_name=user.display_name,
        role=user.role,
        disabled=user.disabled_at is not None,
        created_at=user.created_at,
    )


@router.get("")
async def list_service_accounts(
    identity: ServiceAccountsRead, session: SessionDependency, cursor: Cursor = None, limit: Limit = 50
) -> Page[ServiceAccountOut]:
    found = await users.list_users(session, kind=SERVICE, after=parse_cursor(cursor), limit=limit + 1)
    items = [service_account_out(user) for user in found[:limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(found) > limit else None)


@router.post("", status_code=201)
async def create_service_account(
    body: ServiceAccountIn, identity: ServiceAccountsWrite, session: SessionDependency
) -> ServiceAccountOut:
    user = await create_user(
        session,
        identity.organization_id,
        body.login,
        None,
        role=body.role,
        display_name=body.display_name or "",
        kind=SERVICE,
    )
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "service-account.created",
        target=f"user:{user.id}",
        details={"role": user.role},
    )
    await session.commit()
    return service_account_out(user)


@router.patch("/{account_id}")
async def change_service_account(
    account_id: UUID, body: ServiceAccountChange, identity: ServiceAccountsWrite, session: SessionDependency
) -> ServiceAccountOut:
    user = await users.change_user(
        session,
        await users.get_user(session, account_id, kind=SERVICE),
        actor=identity.actor,
        actor_role=identity.role,
        **body.model_dump(exclude_unset=True),
    )
    await session.commit()
    return service_account_out(user)


@router.delete("/{account_id}", status_code=204)
async def delete_service_account(account_id: UUID, identity: ServiceAccountsWrite, session: SessionDependency) -> None:
    """Its tokens stop working at once."""
    user = await users.get_user(session, account_id, kind=SERVICE)
    await users.delete_user(session, user, actor=identity.actor, actor_role=identity.role)
    await session.commit()


@router.get("/{account_id}/tokens")
async def list_tokens(account_id: UUID, identity: ServiceAccountsRead, session: SessionDependency) -> Listing[TokenOut]:
    user = await users.get_user(session, account_id, kind=SERVICE)
    return Listing(items=[TokenOut.model_validate(token) for token in await tokens.list_tokens(session, user.id)])


@router.post("/{account_id}/tokens", status_code=201)
async def create_token(
    account_id: UUID,
    body: TokenIn,
    identity: ServiceAccountsWrite,
    runtime: RuntimeDependency,
    session: SessionDependency,
) -> NewTokenOut:
    user = await users.get_user(session, account_id, kind=SERVICE)
    return await make_token(session, runtime, identity, user, body)


@router.post("/{account_id}/tokens/{token_id}/rotate")
async def rotate_token(  # noqa: PLR0917 - one parameter per part of the request
    account_id: UUID,
    token_id: UUID,
    body: RotationIn,
    identity: ServiceAccountsWrite,
    runtime: RuntimeDependency,
    session: SessionDependency,
) -> NewTokenOut:
    user = await users.get_user(session, account_id, kind=SERVICE)
    await require_reach(session, identity, await tokens.find_token(session, user.id, token_id))
    token, text = await tokens.rotate_token(
        session, runtime.key, user.id, token_id, actor=identity.actor, overlap_s=body.overlap_s
    )
    await session.commit()
    return new_token_out(token, text)


@router.delete("/{account_id}/tokens/{token_id}", status_code=204)
async def revoke_token(
    account_id: UUID, token_id: UUID, identity: ServiceAccountsWrite, session: SessionDependency
) -> None:
    user = await users.get_user(session, account_id, kind=SERVICE)
    await tokens.revoke_token(session, user.id, token_id, actor=identity.actor)
    await session.commit()
