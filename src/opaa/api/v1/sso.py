"""Log-in at identity providers: where the browser is sent, what it brings back, and providers' own log-out calls."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.api.dependencies import LimitedLogIn, RuntimeDependency, address_of, set_session_cookie
from opaa.db.base import utc_now
from opaa.errors import NotFoundError, UnavailableError
from opaa.identity import flows, provisioning, sessions
from opaa.identity.external import ExternalIdentity, SignOnError
from opaa.identity.flows import FLOW_LIFETIME, Flow
from opaa.identity.oidc import OidcClient
from opaa.identity.providers import AUTH_PATH
from opaa.identity.saml import SamlClient
from opaa.runtime import Runtime
from opaa.tenancy.service import organization_id_by_slug

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/auth", tags=["auth"])

FLOW_COOKIE = "opaa_sso_"
ANSWER_COOKIE = "opaa_saml_answer"
SAML_METADATA = "application/samlmetadata+xml"
REPLAY_MEMORY = timedelta(minutes=15)
REDIRECTS: dict[int | str, dict[str, str]] = {
    303: {"description": "To the provider, to where the log-in began, or to /login with what went wrong."}
}

ProviderName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
NextPath = Annotated[str | None, Query(max_length=500, description="A page of this installation to go to afterwards.")]


class ProviderOut(BaseModel):
    name: str
    label: str
    kind: Literal["oidc", "saml"]


class LoginMethods(BaseModel):
    """How people can log in here."""

    password: bool
    providers: list[ProviderOut]


class AuthorizationResponse(BaseModel):
    """What an OpenID Connect provider sends back through the browser (RFC 6749, 4.1.2; RFC 9207)."""

    state: Annotated[str, Field(max_length=500)] = ""
    code: Annotated[str, Field(max_length=5000)] = ""
    iss: Annotated[str | None, Field(max_length=2000)] = None
    error: Annotated[str, Field(max_length=200)] = ""


@router.get("/providers")
async def providers(runtime: RuntimeDependency) -> LoginMethods:
    """How people can log in. Needs no log-in."""
    listed = [ProviderOut(name=each.name, label=each.title, kind=each.kind) for each in runtime.settings.sign_on]
    return LoginMethods(password=runtime.settings.auth_type == "local", providers=listed)


@router.get(
    "/sso/{name}/start", dependencies=[LimitedLogIn], status_code=303, responses=REDIRECTS, response_class=Response
)
async def start(name: ProviderName, request: Request, runtime: RuntimeDependency, next: NextPath = None) -> Response:
    """Send the browser to the provider. Needs no log-in."""
    flow = flows.new_flow(name, next)
    try:
        location = await _client(runtime, name).authorization_url(flow)
    except SignOnError as error:
        return await _refused(runtime, request, name, error)
    answer = _redirect(location)
    _set_short_cookie(runtime, answer, FLOW_COOKIE + flow.id, flows.seal(runtime.key, flow, "sign-on-flow"))
    return answer


@router.get(
    "/oidc/{name}/callback", dependencies=[LimitedLogIn], status_code=303, responses=REDIRECTS, response_class=Response
)
async def callback(
    name: ProviderName,
    request: Request,
    runtime: RuntimeDependency,
    answer: Annotated[AuthorizationResponse, Query()],
) -> Response:
    """Where an OpenID Connect provider sends the browser back to. Needs no log-in; starts a session."""
    client = _oidc_client(runtime, name)
    try:
        flow = await _flow(runtime, request, name, answer.state)
        _check_error(answer.error)
        return await _log_in(runtime, request, flow, await client.identify(flow, answer.code, answer.iss))
    except SignOnError as problem:
        return await _refused(runtime, request, name, problem, flows.flow_id(answer.state))


@router.post(
    "/oidc/{name}/backchannel-logout",
    dependencies=[LimitedLogIn],
    response_class=Response,
    responses={400: {"description": "No."}},
)
async def backchannel_logout(
    name: ProviderName, runtime: RuntimeDependency, logout_token: Annotated[str, Form(max_length=20_000)]
) -> Response:
    """A provider ends the sessions of somebody (OpenID Connect Back-Channel Logout 1.0). Needs no log-in."""
    client = _oidc_client(runtime, name)
    organization_id = await _organization_id(runtime, name)
    try:
        claims = await client.logout_token(logout_token)
        ended = await sessions.end_provider_sessions(
            runtime.database,
            organization_id,
            name,
            claims["iss"],
            subject=claims.get("sub"),
            provider_session=claims.get("sid"),
            token_id=claims["jti"],
            remember_until=utc_now() + REPLAY_MEMORY,
        )
    except SignOnError as error:
        log.warning("logout token refused", provider=name, problem=error.message)
        return JSONResponse({"error": "invalid_request"}, 400, {"Cache-Control": "no-store"})
    log.info("sessions ended by provider", provider=name, sessions=ended)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.get("/saml/{name}/metadata", response_class=Response, responses={200: {"content": {SAML_METADATA: {}}}})
async def metadata(name: ProviderName, runtime: RuntimeDependency) -> Response:
    """What a SAML identity provider has to know about this installation. Needs no log-in."""
    return Response(await _saml_client(runtime, name).metadata(), media_type=SAML_METADATA)


@router.post(
    "/saml/{name}/acs", dependencies=[LimitedLogIn], status_code=303, responses=REDIRECTS, response_class=Response
)
async def assertion_consumer_service(
    name: ProviderName,
    request: Request,
    runtime: RuntimeDependency,
    SAMLResponse: Annotated[str, Form(max_length=800_000)],
    RelayState: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Where the browser brings a SAML response. Needs no log-in.

    The provider's page posts it from another site, so the cookie of the log-in is not sent along. What the response
    says, once checked, is sealed into a cookie and the browser sent on to `complete`, where both cookies meet.
    """
    client = _saml_client(runtime, name)
    try:
        external, answered, assertion_id, until = await client.identify(SAMLResponse)
        organization_id = await _organization_id(runtime, name)
        async with runtime.database.transaction(sessions.outside(organization_id)) as session:
            await _refuse_replay(session, organization_id, f"assertion {external.issuer} {assertion_id}", until)
        sealed = flows.seal(runtime.key, external, f"sign-on-answer {name} {answered}")
    except SignOnError as error:
        return await _refused(runtime, request, name, error)
    answer = _redirect(f"{AUTH_PATH}/saml/{name}/complete?flow={flows.flow_id(RelayState)}")
    _set_short_cookie(runtime, answer, ANSWER_COOKIE, sealed)
    return answer


@router.get(
    "/saml/{name}/complete", dependencies=[LimitedLogIn], status_code=303, responses=REDIRECTS, response_class=Response
)
async def complete(
    name: ProviderName, request: Request, runtime: RuntimeDependency, flow: Annotated[str, Query(max_length=100)] = ""
) -> Response:
    """The second half of a SAML log-in: the answer must be to the request of this browser. Starts a session."""
    _saml_client(runtime, name)
    flow_id = flows.flow_id(flow)
    try:
        begun = flows.unseal_flow(runtime.key, request.cookies.get(FLOW_COOKIE + flow_id), name)
        begun = await _flow(runtime, request, name, begun.state)
        use = f"sign-on-answer {name} {begun.state}"
        found = flows.unseal(runtime.key, request.cookies.get(ANSWER_COOKIE), use)
        external = ExternalIdentity(**{**found, "values": tuple(found["values"])})
        answer = await _log_in(runtime, request, begun, external)
    except SignOnError as error:
        answer = await _refused(runtime, request, name, error, flow_id)
    answer.delete_cookie(ANSWER_COOKIE, path=AUTH_PATH)
    return answer


async def _flow(runtime: Runtime, request: Request, name: str, state: str) -> Flow:
    """The log-in that this browser began, used up. Raises SignOnError."""
    flow = flows.unseal_flow(runtime.key, request.cookies.get(FLOW_COOKIE + flows.flow_id(state)), name)
    if not state or flow.state != state:
        raise SignOnError("expired", "the log-in was not begun in this browser")
    organization_id = await _organization_id(runtime, name)
    async with runtime.database.transaction(sessions.outside(organization_id)) as session:
        await _refuse_replay(session, organization_id, f"state {state}", utc_now() + REPLAY_MEMORY)
    return flow


async def _refuse_replay(session: AsyncSession, organization_id: UUID, what: str, until: datetime) -> None:
    if not await flows.use_once(session, organization_id, what, until):
        raise SignOnError("expired", "the answer was used already")


def _check_error(error: str) -> None:
    if error:
        raise SignOnError("cancelled" if error == "access_denied" else "invalid", "the provider refused")


async def _log_in(runtime: Runtime, request: Request, flow: Flow, external: ExternalIdentity) -> Response:
    provider = next(each for each in runtime.settings.sign_on if each.name == flow.provider)
    cookie = await provisioning.sign_on(
        runtime.database,
        runtime.key,
        await _organization_id(runtime, flow.provider),
        provider,
        external,
        lifetime_s=runtime.settings.session_lifetime_s,
        user_agent=request.headers.get("user-agent", ""),
        address=address_of(request),
    )
    answer = _redirect(flow.next)
    answer.delete_cookie(FLOW_COOKIE + flow.id, path=AUTH_PATH)
    set_session_cookie(answer, runtime, cookie)
    return answer


async def _refused(
    runtime: Runtime, request: Request, name: str, error: SignOnError, flow_id: str | None = None
) -> Response:
    """Back to the log-in page, with the reason for the person there and the whole of it in the log."""
    log.warning("sign-on failed", provider=name, reason=error.reason, problem=error.message)
    await provisioning.refuse(
        runtime.database,
        await _organization_id(runtime, name),
        name,
        error,
        {"address": address_of(request)},
    )
    answer = _redirect(f"/login?error=sso-{error.reason}")
    if flow_id:
        answer.delete_cookie(FLOW_COOKIE + flow_id, path=AUTH_PATH)
    return answer


def _set_short_cookie(runtime: Runtime, answer: Response, name: str, value: str) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=int(FLOW_LIFETIME.total_seconds()),
        httponly=True,
        secure=runtime.settings.cookie_secure,
        samesite="lax",
        path=AUTH_PATH,
    )


def _redirect(location: str) -> RedirectResponse:
    return RedirectResponse(location, 303, {"Cache-Control": "no-store"})


def _client(runtime: Runtime, name: str) -> OidcClient | SamlClient:
    try:
        return runtime.sign_on[name]
    except KeyError:
        raise NotFoundError(f"There is no identity provider {name}") from None


def _oidc_client(runtime: Runtime, name: str) -> OidcClient:
    client = _client(runtime, name)
    if not isinstance(client, OidcClient):
        raise NotFoundError(f"{name} is no OpenID Connect provider")
    return client


def _saml_client(runtime: Runtime, name: str) -> SamlClient:
    client = _client(runtime, name)
    if not isinstance(client, SamlClient):
        raise NotFoundError(f"{name} is no SAML provider")
    return client


async def _organization_id(runtime: Runtime, name: str) -> UUID:
    """The organization into which a provider's people log in."""
    provider = next((each for each in runtime.settings.sign_on if each.name == name), None)
    if provider is None:
        raise NotFoundError(f"There is no identity provider {name}")
    found = await organization_id_by_slug(runtime.database, provider.organization)
    if found is None:
        raise UnavailableError(f"The identity provider {name} belongs to an organization that does not exist")
    return found
