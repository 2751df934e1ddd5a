"""Log-in and log-out of people."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from opaa import __version__
from opaa.access.permissions import PERMISSIONS
from opaa.api.dependencies import (
    SESSION_COOKIE,
    CurrentIdentity,
    LimitedLogIn,
    RuntimeDependency,
    address_of,
    set_session_cookie,
)
from opaa.api.schemas import Input, Named
from opaa.db.session import TenantContext
from opaa.errors import PermissionDeniedError
from opaa.identity import service, users
from opaa.identity.credentials import csrf_token
from opaa.identity.service import Identity
from opaa.runtime import Runtime
from opaa.tenancy.service import get_organization

router = APIRouter(prefix="/auth", tags=["auth"])


class Login(Input):
    login: Annotated[str, Field(min_length=1, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    code: Annotated[str | None, Field(max_length=64, description="Of the authenticator app, or a recovery code.")] = (
        None
    )


class PasswordChange(Input):
    current_password: Annotated[str, Field(min_length=1, max_length=1024)]
    new_password: Annotated[str, Field(min_length=1, max_length=1024)]


class UserOut(BaseModel):
    id: UUID
    login: str
    display_name: str
    role: str


class Abilities(BaseModel):
    """What the UI offers; the API checks again."""

    manage_sources: bool
    manage_workspaces: bool
    upload: bool
    operations: list[str]


class PasswordReset(Input):
    token: Annotated[str, Field(min_length=1, max_length=200)]
    new_password: Annotated[str, Field(min_length=1, max_length=1024)]


class OwnWorkspace(Named):
    """A workspace with one's role in it, and what that allows."""

    role: str
    operations: list[str]


class Me(BaseModel):
    user: UserOut
    organization: Named
    workspaces: list[OwnWorkspace]
    csrf_token: str
    must_change_password: bool
    can: Abilities
    model: str | None
    max_upload_bytes: int
    max_question_chars: int
    version: str


async def describe(runtime: Runtime, identity: Identity) -> Me:
    async with runtime.database.session(TenantContext(identity.organization_id, ())) as session:
        organization = await get_organization(session, identity.organization_id)
    return Me(
        user=UserOut(id=identity.user_id, login=identity.login, display_name=identity.display_name, role=identity.role),
        organization=Named.model_validate(organization),
        workspaces=[
            OwnWorkspace(
                id=workspace.id,
                name=workspace.name,
                role=identity.access.roles[workspace.id],
                operations=[each for each in PERMISSIONS if identity.may(each, workspace.id)],
            )
            for workspace in identity.workspaces
        ],
        csrf_token=csrf_token(runtime.key, identity.session_id) if identity.session_id else "",
        must_change_password=identity.must_change_password,
        can=Abilities(
            manage_sources=identity.may_somewhere("sources:write"),
            manage_workspaces=identity.may("workspaces:create"),
            upload=identity.may_somewhere("documents:write"),
            operations=[each for each in PERMISSIONS if identity.may_somewhere(each)],
        ),
        model=runtime.model.name if runtime.model else None,
        max_upload_bytes=runtime.settings.max_upload_bytes,
        max_question_chars=runtime.settings.max_question_chars,
        version=__version__,
    )


@router.post("/login", dependencies=[LimitedLogIn])
async def log_in(body: Login, request: Request, response: Response, runtime: RuntimeDependency) -> Me:
    """Start a session; its cookie cannot be read by scripts. Too many wrong passwords lock the account for a while."""
    if runtime.settings.auth_type != "local":
        raise PermissionDeniedError("Log in at the organization's identity provider; passwords are switched off")
    cookie = await service.log_in(
        runtime.database,
        runtime.key,
        runtime.organization_id,
        body.login,
        body.password,
        code=body.code,
        lifetime_s=runtime.settings.session_lifetime_s,
        user_agent=request.headers.get("user-agent", ""),
        address=address_of(request),
    )
    identity = await service.authenticate_session(runtime.database, runtime.key, cookie)
    set_session_cookie(response, runtime, cookie)
    return await describe(runtime, identity)


@router.post("/logout", status_code=204)
async def log_out(identity: CurrentIdentity, runtime: RuntimeDependency, response: Response) -> None:
    """End this session."""
    await service.log_out(runtime.database, identity)
    response.delete_cookie(SESSION_COOKIE, path="/")


@router.get("/me")
async def me(identity: CurrentIdentity, runtime: RuntimeDependency) -> Me:
    """Who is logged in, what they may do, and what pages must send back with changes."""
    return await describe(runtime, identity)


@router.post("/password", status_code=204)
async def change_password(body: PasswordChange, identity: CurrentIdentity, runtime: RuntimeDependency) -> None:
    """Set a new password; every other session ends."""
    await service.change_password(runtime.database, identity, body.current_password, body.new_password)


@router.post("/reset-password", status_code=204, dependencies=[LimitedLogIn])
async def reset_password(body: PasswordReset, runtime: RuntimeDependency) -> None:
    """Choose a new password with the token of a reset link; every session ends. Needs no log-in."""
    await users.reset_with_token(runtime.database, runtime.key, body.token, body.new_password)
