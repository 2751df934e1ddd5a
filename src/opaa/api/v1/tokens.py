"""A person's API tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from opaa.api.dependencies import RuntimeDependency, SessionDependency, TokensRead, TokensWrite
from opaa.api.schemas import Input, Listing
from opaa.errors import PermissionDeniedError
from opaa.identity import service
from opaa.identity.models import User

router = APIRouter(prefix="/tokens", tags=["tokens"])


class TokenIn(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)]
    expires_at: AwareDatetime | None = None


class TokenOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewTokenOut(TokenOut):
    """`token` is shown this once."""

    token: str


@router.get("")
async def list_tokens(identity: TokensRead, session: SessionDependency) -> Listing[TokenOut]:
    tokens = await service.list_tokens(session, identity.user_id)
    return Listing(items=[TokenOut.model_validate(token) for token in tokens])


@router.post("", status_code=201)
async def create_token(
    body: TokenIn, identity: TokensWrite, runtime: RuntimeDependency, session: SessionDependency
) -> NewTokenOut:
    """A token for programs that act as you. One made with a token has no more scopes than that one."""
    if identity.scopes is not None and not set(body.scopes) <= set(identity.scopes):
        raise PermissionDeniedError("A token cannot make one with more scopes than its own")
    user = await session.get_one(User, identity.user_id)
    token, secret = await service.create_token(
        session, runtime.key, user, body.name, body.scopes, expires_at=body.expires_at
    )
    await session.commit()
    return NewTokenOut(**TokenOut.model_validate(token).model_dump(), token=secret)


@router.delete("/{token_id}", status_code=204)
async def revoke_token(token_id: UUID, identity: TokensWrite, session: SessionDependency) -> None:
    """The token stops working at once."""
    await service.revoke_token(session, identity.user_id, token_id)
    await session.commit()
