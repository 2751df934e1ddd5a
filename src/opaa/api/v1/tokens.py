"""A person's API tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.api.dependencies import RuntimeDependency, SessionDependency, TokensRead, TokensWrite, own_workspace
from opaa.api.schemas import Input, Listing
from opaa.errors import PermissionDeniedError
from opaa.identity import tokens as service
from opaa.identity.models import ApiToken, User
from opaa.identity.service import Identity
from opaa.runtime import Runtime

router = APIRouter(prefix="/tokens", tags=["tokens"])


class TokenIn(Input):
    """`workspaces` (names or ids) and `networks` (CIDR) limit the token; null does not."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)]
    expires_at: AwareDatetime | None = None
    workspaces: Annotated[list[str] | None, Field(min_length=1, max_length=100)] = None
    networks: Annotated[list[str] | None, Field(min_length=1, max_length=50)] = None


class RotationIn(Input):
    overlap_s: Annotated[int, Field(ge=0, le=604_800, description="How long the text before still works.")] = 0


class TokenOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    scopes: list[str]
    workspace_ids: list[UUID] | None
    networks: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_address: str


class NewTokenOut(TokenOut):
    """`token` is shown this once."""

    token: str


def new_token_out(token: ApiToken, text: str) -> NewTokenOut:
    return NewTokenOut(**TokenOut.model_validate(token).model_dump(), token=text)


async def make_token(
    session: AsyncSession, runtime: Runtime, identity: Identity, owner: User, body: TokenIn
) -> NewTokenOut:
    """A token of `owner`, made by `identity`; one made with a token is limited as that one is."""
    if identity.scopes is not None and not set(body.scopes) <= set(identity.scopes):
        raise PermissionDeniedError("A token cannot make one with more scopes than its own")
    workspaces = None
    if body.workspaces is not None:
        workspaces = [own_workspace(identity, each) for each in body.workspaces]
    networks = body.networks
    if identity.token_id is not None:
        own = await session.get_one(ApiToken, identity.token_id)
        if own.workspace_ids is not None and workspaces is None:
            workspaces = list(identity.workspaces)
        if own.networks is not None and networks is None:
            networks = own.networks
        if own.networks is not None and not set(networks or ()) <= set(own.networks):
            raise PermissionDeniedError("A token cannot make one for other networks than its own")
        if own.expires_at is not None and (body.expires_at is None or body.expires_at > own.expires_at):
            raise PermissionDeniedError("A token cannot make one that outlives it")
    token, text = await service.create_token(
        session,
        runtime.key,
        owner,
        body.name,
        body.scopes,
        expires_at=body.expires_at,
        workspaces=workspaces,
        networks=networks,
        created_by=identity.user_id,
    )
    await session.commit()
    return new_token_out(token, text)


@router.get("")
async def list_tokens(identity: TokensRead, session: SessionDependency) -> Listing[TokenOut]:
    tokens = await service.list_tokens(session, identity.user_id)
    return Listing(items=[TokenOut.model_validate(token) for token in tokens])


@router.post("", status_code=201)
async def create_token(
    body: TokenIn, identity: TokensWrite, runtime: RuntimeDependency, session: SessionDependency
) -> NewTokenOut:
    """A token for programs that act as you."""
    return await make_token(session, runtime, identity, await session.get_one(User, identity.user_id), body)


@router.post("/{token_id}/rotate")
async def rotate_token(
    token_id: UUID, body: RotationIn, identity: TokensWrite, runtime: RuntimeDependency, session: SessionDependency
) -> NewTokenOut:
    """A new text for the token; what it may do stays."""
    await require_reach(session, identity, await service.find_token(session, identity.user_id, token_id))
    token, text = await service.rotate_token(
        session, runtime.key, identity.user_id, token_id, actor=identity.actor, overlap_s=body.overlap_s
    )
    await session.commit()
    return new_token_out(token, text)


async def require_reach(session: AsyncSession, identity: Identity, token: ApiToken) -> None:
    """A token gets the text of no token that reaches further than it does itself. Raises PermissionDeniedError."""
    if identity.token_id is None or identity.token_id == token.id:
        return
    own = await session.get_one(ApiToken, identity.token_id)
    within = set(token.scopes) <= set(own.scopes)
    within &= own.workspace_ids is None or set(token.workspace_ids or ()) <= set(own.workspace_ids)
    within &= own.workspace_ids is None or token.workspace_ids is not None
    within &= own.networks is None or (token.networks is not None and set(token.networks) <= set(own.networks))
    within &= own.expires_at is None or (token.expires_at is not None and token.expires_at <= own.expires_at)
    if not within:
        raise PermissionDeniedError("A token cannot rotate one that may do more than it does itself")


@router.delete("/{token_id}", status_code=204)
async def revoke_token(token_id: UUID, identity: TokensWrite, session: SessionDependency) -> None:
    """The token stops working at once."""
    await service.revoke_token(session, identity.user_id, token_id, actor=identity.actor)
    await session.commit()
