"""The table of permissions, cell by cell, against every route of the real API; both come from the code."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from opaa.access.members import set_member
from opaa.access.models import Workspace
from opaa.access.permissions import PERMISSIONS, SCOPES, role_allows
from tests.integration.api.conftest import Api, assert_problem

SOME_ID = "01900000-0000-7000-8000-000000000000"
# What needs no operation, and why.
ANONYMOUS = {
    ("GET", "/livez"): "says only that the process runs",
    ("GET", "/readyz"): "says only whether the database can be reached",
    ("GET", "/healthz"): "the same for each dependency",
    ("POST", "/api/v1/auth/login"): "how one gets in",
    ("POST", "/api/v1/auth/reset-password"): "carries a signed token of its own",
    ("GET", "/api/v1/auth/providers"): "how one could get in",
    ("GET", "/api/v1/auth/sso/{name}/start"): "sends one to an identity provider",
    ("GET", "/api/v1/auth/oidc/{name}/callback"): "carries a provider's answer",
    ("POST", "/api/v1/auth/oidc/{name}/backchannel-logout"): "carries a token that the provider has signed",
    ("GET", "/api/v1/auth/saml/{name}/metadata"): "what a provider has to know",
    ("POST", "/api/v1/auth/saml/{name}/acs"): "carries a response that the provider has signed",
    ("GET", "/api/v1/auth/saml/{name}/complete"): "carries what was checked there",
}
EVERYBODY_LOGGED_IN = {
    ("POST", "/api/v1/auth/logout"): "ends one's own session",
    ("GET", "/api/v1/auth/me"): "who one is",
    ("POST", "/api/v1/auth/password"): "one's own password",
    ("GET", "/api/v1/access/operations"): "the table itself",
}
BY_ADDRESS = {("GET", "/metrics"): "this machine, or the scope metrics:read"}
ENDLESS = {"/api/v1/events"}
CAST = [
    ("owner", None), ("admin", None), ("auditor", None), ("member", None),
    ("member", "admin"), ("member", "editor"), ("member", "viewer"), ("auditor", "viewer"),
]  # fmt: skip


def routes(api: Api, *, hidden: bool = False) -> Iterator[tuple[str, str, str | None]]:
    """(method, path, operation) of every route; with `hidden` those that OpenAPI does not describe."""

    def walk(router: object, prefix: str) -> Iterator[tuple[str, str, str | None]]:
        for route in getattr(router, "routes", []):
            if isinstance(route, APIRoute):
                if route.include_in_schema != hidden:
                    for method in route.methods:
                        yield method, prefix + route.path, _operation(route)
            elif hasattr(route, "original_router"):
                context = route.include_context
                yield from walk(route.original_router, prefix + context.prefix)

    yield from walk(api.app.app.router, "")


def _operation(route: APIRoute) -> str | None:
    waiting, found = [route.dependant], set()
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        operation = getattr(dependant.call, "operation", None)
        if operation:
            found.add(operation)
    assert len(found) <= 1, route.path
    return found.pop() if found else None


def url(path: str) -> str:
    return re.sub(r"\{[^}]+\}", SOME_ID, path)


async def call(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, url(path), json={} if method in {"POST", "PUT", "PATCH"} else None)


@pytest.mark.req("SEC-5")
async def test_every_route_demands_one_operation_or_is_named_as_an_exception(api: Api) -> None:
    found = list(routes(api))
    documented = {
        (method.upper(), path) for path, methods in api.app.app.openapi()["paths"].items() for method in methods
    }
    assert {(method, path) for method, path, _ in found} == documented
    without = {(method, path) for method, path, operation in found if operation is None}
    assert without == ANONYMOUS.keys() | EVERYBODY_LOGGED_IN.keys() | BY_ADDRESS.keys()
    # The metrics ask for theirs by hand; provisioning has a protocol of its own (SCIM).
    assert set(PERMISSIONS) - {operation for _, _, operation in found} == {"metrics:read", "scim"}


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize(("role", "workspace_role"), CAST)
async def test_each_cell_of_the_table(api: Api, role: str, workspace_role: str | None) -> None:
    user = await api.user("somebody-else", role, member=False)
    if workspace_role is not None:
        async with api.runtime.database.transaction(api.tenant.system) as session:
            workspace = await session.get_one(Workspace, api.tenant.workspace_id)
            await set_member(session, workspace, f"user:{user.id}", workspace_role, actor="system")
    client = await api.bearer(user, *SCOPES)
    # Owners and admins are admin in every workspace.
    effective = "admin" if role in {"owner", "admin"} else workspace_role
    for method, path, operation in routes(api):
        if operation is None or path in ENDLESS:
            continue
        answer = await call(client, method, path)
        refused = answer.status_code == 403 and "role does not allow" in answer.json()["detail"]
        assert refused != role_allows(role, operation, effective), (method, path, operation, answer.text)
        assert answer.status_code < 500, (method, path, answer.text)


@pytest.mark.req("SEC-4")
async def test_a_token_with_all_scopes_but_one_cannot_do_what_that_one_stands_for(api: Api) -> None:
    user = await api.user("boss", "owner")
    for operation in PERMISSIONS:
        mine = [(method, path) for method, path, needed in routes(api) if needed == operation and path not in ENDLESS]
        if not mine:
            continue
        without = await api.bearer(user, *(scope for scope in SCOPES if scope != operation))
        alone = await api.bearer(user, operation)
        for method, path in mine:
            detail = assert_problem(await call(without, method, path), 403, "permission-denied")["detail"]
            assert detail == f"Your token's scopes do not allow {operation}"
            answer = await call(alone, method, path)
            assert "scopes do not allow" not in answer.text, (method, path, answer.text)


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize("kind", ["documents", "sources", "workspaces", "users", "groups", "tokens", "sessions"])
async def test_ids_of_another_tenant_are_unknown(api: Api, kind: str) -> None:
    """An owner here with the ids of what belongs to somebody there: always 404, never a sign that it exists."""
    from tests.conftest import create_tenant

    other = await create_tenant(api.runtime.database)
    ids = {"workspaces": other.workspace_id, "users": other.user_id, "documents": other.workspace_id}
    owner = await api.bearer(await api.user("boss", "owner"), *SCOPES)
    identifier = str(ids.get(kind, other.user_id))
    for method, path, operation in routes(api):
        if operation is None or not path.startswith(f"/api/v1/{kind}/{{") or path in ENDLESS:
            continue
        bodies = {
            "PATCH": {"name": "x"} if kind in {"workspaces", "groups", "sources"} else {"display_name": "x"},
            "PUT": {"role": "viewer"} if path.endswith("{principal}") else {},
            "POST": {"user_ids": [identifier]} if path.endswith("members") else {},
        }
        if path.endswith("identities"):
            bodies["POST"] = {"provider": "corp", "issuer": "https://login.example.com", "subject": "x"}
        if path.endswith("tag-rules"):
            bodies["PUT"] = {"rules": []}
        target = path.replace("{principal}", f"user:{identifier}")
        answer = await owner.request(method, re.sub(r"\{[^}]+\}", identifier, target), json=bodies.get(method))
        assert answer.status_code == 404, (method, path, answer.text)
