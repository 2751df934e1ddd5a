"""What endpoints ask for: the runtime, who is asking, and whether that person may."""

import hmac
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.access.permissions import PERMISSIONS
from opaa.api.rate_limits import Kind, RateLimits
from opaa.errors import AuthenticationError, InvalidInputError, NotFoundError, PermissionDeniedError
from opaa.identity import service as identity_service
from opaa.identity import tokens
from opaa.identity.credentials import csrf_token
from opaa.identity.service import Identity
from opaa.runtime import Runtime

SESSION_COOKIE = "opaa_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDependency = Annotated[Runtime, Depends(get_runtime)]


def address_of(request: Request) -> str:
    """Where a request comes from; proxies that are trusted are seen through (see the middleware)."""
    return request.client.host if request.client else ""


async def count(request: Request, kind: Kind, who: str) -> None:
    """Count a request against a limit, and have the answer say what is left. Raises RateLimitedError."""
    limits: RateLimits = request.app.state.rate_limits
    request.state.rate_limit = await limits.count(kind, who)


async def limit_log_ins(request: Request) -> None:
    """For what gets somebody in: only so often from one address."""
    await count(request, "login", address_of(request))


LimitedLogIn = Depends(limit_log_ins)


async def identify(request: Request, runtime: Runtime) -> Identity:
    """The person of a request, by bearer token or session cookie, at this moment. Raises AuthenticationError."""
    authorization = request.headers.get("authorization", "")
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not runtime.settings.api_key_enabled:
            raise AuthenticationError("Only bearer tokens are accepted, where the administrator allows them")
        return await tokens.authenticate_token(runtime.database, runtime.key, token.strip(), address_of(request))
    cookie = request.cookies.get(SESSION_COOKIE)
    if cookie:
        return await identity_service.authenticate_session(runtime.database, runtime.key, cookie)
    if not runtime.settings.enable_auth:
        return await identity_service.first_user(runtime.database, runtime.organization_id)
    raise AuthenticationError("Log in to go on")


async def authenticate(request: Request, runtime: RuntimeDependency) -> Identity:
    """Who makes a request, counted against the limits of that person or token. Raises AuthenticationError."""
    identity = await identify(request, runtime)
    if identity.token_id is not None:
        await count(request, "token", str(identity.token_id))
    else:
        await count(request, "user", str(identity.user_id))
    _check_csrf(request, runtime, identity)
    return identity


def _check_csrf(request: Request, runtime: Runtime, identity: Identity) -> None:
    if request.method in SAFE_METHODS or identity.session_id is None:
        return
    expected = csrf_token(runtime.key, identity.session_id)
    if not hmac.compare_digest(request.headers.get(CSRF_HEADER, ""), expected):
        raise PermissionDeniedError(f"The header {CSRF_HEADER} is missing or wrong; reload the page")


def set_session_cookie(response: Response, runtime: Runtime, cookie: str) -> None:
    """Start a session in the browser; no script can read it, and no other site's form sends it along."""
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=runtime.settings.session_lifetime_s,
        httponly=True,
        secure=runtime.settings.cookie_secure,
        samesite="lax",
        path="/",
    )


CurrentIdentity = Annotated[Identity, Depends(authenticate)]


def requires(operation: str) -> Callable[..., Coroutine[Any, Any, Identity]]:
    """A dependency that lets through who may do `operation` (see access/permissions.py), in some workspace at least.

    Where the operation depends on the workspace, the endpoint asks `own_workspace` for the one in question.
    """
    if operation not in PERMISSIONS:
        raise ValueError(f"{operation} is not an operation")

    async def check(identity: CurrentIdentity) -> Identity:
        if not identity.may_somewhere(operation):
            what = "role does" if identity.in_scope(operation) else "token's scopes do"
            raise PermissionDeniedError(f"Your {what} not allow {operation}")
        return identity

    setattr(check, "operation", operation)  # noqa: B010 - read by the test of the table of permissions
    return check


MayAsk = Annotated[Identity, Depends(requires("ask"))]
MaySearch = Annotated[Identity, Depends(requires("search"))]
DocumentsRead = Annotated[Identity, Depends(requires("documents:read"))]
DocumentsWrite = Annotated[Identity, Depends(requires("documents:write"))]
ConversationsRead = Annotated[Identity, Depends(requires("conversations:read"))]
ConversationsWrite = Annotated[Identity, Depends(requires("conversations:write"))]
FeedbackWrite = Annotated[Identity, Depends(requires("feedback:write"))]
SourcesRead = Annotated[Identity, Depends(requires("sources:read"))]
SourcesWrite = Annotated[Identity, Depends(requires("sources:write"))]
WorkspacesRead = Annotated[Identity, Depends(requires("workspaces:read"))]
WorkspacesCreate = Annotated[Identity, Depends(requires("workspaces:create"))]
WorkspacesWrite = Annotated[Identity, Depends(requires("workspaces:write"))]
WorkspacesDelete = Annotated[Identity, Depends(requires("workspaces:delete"))]
DocumentsShare = Annotated[Identity, Depends(requires("documents:share"))]
UsersRead = Annotated[Identity, Depends(requires("users:read"))]
UsersWrite = Annotated[Identity, Depends(requires("users:write"))]
GroupsRead = Annotated[Identity, Depends(requires("groups:read"))]
GroupsWrite = Annotated[Identity, Depends(requires("groups:write"))]
ServiceAccountsRead = Annotated[Identity, Depends(requires("service-accounts:read"))]
ServiceAccountsWrite = Annotated[Identity, Depends(requires("service-accounts:write"))]
SessionsRead = Annotated[Identity, Depends(requires("sessions:read"))]
SessionsWrite = Annotated[Identity, Depends(requires("sessions:write"))]
OrganizationWrite = Annotated[Identity, Depends(requires("organization:write"))]
AuditRead = Annotated[Identity, Depends(requires("audit:read"))]
AccessExplain = Annotated[Identity, Depends(requires("access:explain"))]
MayProvision = Annotated[Identity, Depends(requires("scim"))]
TokensRead = Annotated[Identity, Depends(requires("tokens:read"))]
TokensWrite = Annotated[Identity, Depends(requires("tokens:write"))]
MetricsRead = Annotated[Identity, Depends(requires("metrics:read"))]


async def open_session(runtime: RuntimeDependency, identity: CurrentIdentity) -> AsyncIterator[AsyncSession]:
    """A session in the asking person's context; the endpoint commits."""
    async with runtime.database.session(identity.context) as session:
        yield session


SessionDependency = Annotated[AsyncSession, Depends(open_session)]
Limit = Annotated[int, Query(ge=1, le=200, description="Most items of one page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")]
WorkspaceQuery = Annotated[str | None, Query(max_length=200, description="Name or id of a workspace.")]


def own_workspace(identity: Identity, name_or_id: str | UUID, operation: str | None = None) -> Workspace:
    """One of the workspaces that a person belongs to, by name (any case) or id, in which `operation` is allowed.

    Raises NotFoundError, or PermissionDeniedError where the person's role in it does not do.
    """
    name_or_id = str(name_or_id)
    wanted = name_or_id.strip().lower()
    for workspace in identity.workspaces:
        if wanted in {workspace.name.lower(), str(workspace.id)}:
            if operation is not None and not identity.may(operation, workspace.id):
                raise PermissionDeniedError(f"Your role in {workspace.name} does not allow {operation}")
            return workspace
    raise NotFoundError(f"There is no workspace {name_or_id[:100]!r}")


def workspace_ids(identity: Identity, name_or_id: str | None) -> list[UUID]:
    """The ids of the one named, or of all that the person may read."""
    if name_or_id:
        return [own_workspace(identity, name_or_id).id]
    return [workspace.id for workspace in identity.workspaces]


def parse_cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    try:
        return UUID(cursor)
    except ValueError as error:
        raise InvalidInputError("The cursor is not one that a page returned") from error
