"""Schemathesis over the whole OpenAPI document, as every role: no 5xx, no undeclared status, answers as declared."""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from opaa.access.permissions import SCOPES
from opaa.api.app import create_app
from opaa.db.embedded import Urls
from opaa.db.session import Database, TenantContext
from opaa.identity.models import User
from opaa.identity.service import create_user
from opaa.identity.tokens import create_token
from tests.conftest import Tenant, create_tenant
from tests.fakes.oidc_peer import free_port
from tests.integration.api.conftest import Api, make_runtime

pytestmark = [pytest.mark.slow]
EXAMPLES = int(os.environ.get("FUZZING_EXAMPLES", "6"))
ROLES = ["owner", "admin", "auditor", "member", "service", "anonymous"]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = "/api/v1/events"
LIMITS = {f"OPAA_RATE_LIMIT_{kind}": "off" for kind in ("USER", "TOKEN", "ADDRESS", "LOGIN")}


class Target:
    """An installation behind a port of its own, and a credential of each role, renewed when fuzzing has broken it."""

    def __init__(self, urls: Urls, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.statuses: Counter[tuple[str, int]] = Counter()
        self._tokens: dict[str, str] = {}
        self._made = 0
        self._urls, self._folder = urls, folder
        self._ready: Future[None] = Future()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> "Target":
        self._thread.start()
        self._ready.result(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    async def _serve(self) -> None:
        self.database = Database(self._urls.application, pool_size=8)
        self.tenant: Tenant = await create_tenant(self.database)
        self.runtime = make_runtime(self.database, self.tenant, self._folder, None, **LIMITS)

        @asynccontextmanager
        async def opened(_: object) -> Any:
            yield self.runtime

        app = create_app(self.runtime.settings, opened)
        await Api(self.runtime, self.tenant, app, self._folder / "files").index({"a.md": "# A\n\nWords about bees.\n"})
        config = uvicorn.Config(app, port=self.port, log_level="critical")
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        self._ready.set_result(None)
        await serving
        await self.database.close()

    def headers(self, role: str) -> dict[str, str]:
        if role == "anonymous":
            return {}
        if role not in self._tokens:
            self._tokens[role] = asyncio.run_coroutine_threadsafe(self._new_token(role), self._loop).result(30)
        return {"Authorization": f"Bearer {self._tokens[role]}"}

    def known_ids(self, role: str) -> dict[str, str]:
        """Something that exists for each kind of id in a path, so that not every request ends with 404."""
        found = {"workspace_id": str(self.tenant.workspace_id), "name": "corp"}
        with httpx.Client(base_url=f"{self.url}/api/v1/", headers=self.headers(role), timeout=20) as client:
            if client.get("conversations").json().get("items") == []:
                client.post("ask", json={"question": "What about bees?"})
            if client.get("groups").json().get("items") == []:
                client.post("groups", json={"name": "Bees"})
            for kind in ("users", "groups", "documents", "sources", "tokens", "conversations", "sessions"):
                items = client.get(kind, params={"limit": 1}).json().get("items")
                if items:
                    found[f"{kind.removesuffix('s')}_id"] = items[0]["id"]
        return found

    def answered(self, role: str, status: int) -> None:
        self.statuses[role, status] += 1
        if status == 401:
            self._tokens.pop(role, None)

    async def _new_token(self, role: str) -> str:
        self._made += 1
        kind, organization_role = ("service", "admin") if role == "service" else ("person", role)
        async with self.database.transaction(self.tenant.system) as session:
            organization_id = self.tenant.organization_id
            login = f"{role}-{self._made}"
            user: User = await create_user(session, organization_id, login, None, role=organization_role, kind=kind)
        async with self.database.transaction(TenantContext(organization_id, ())) as session:
            _, token = await create_token(session, self.runtime.key, user, "fuzz", list(SCOPES))
        return token


@pytest.fixture(scope="module")
def target(database_urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Target(database_urls, tmp_path_factory.mktemp("fuzzing")) as target:
        yield target


def fuzz(target: Target, operation: Any, role: str) -> str | None:
    """What is wrong with an operation's answers, if anything."""
    known, turns = target.known_ids(role), count()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        if next(turns) % 3:
            wanted = case.path_parameters or {}
            case.path_parameters = wanted | {name: known[name] for name in wanted if name in known}
        response = case.call(headers=target.headers(role), timeout=20)
        target.answered(role, response.status_code)
        case.validate_response(response, checks=CHECKS)

    try:
        run()
    except Exception as failure:  # whatever it is, the other operations are tried too
        return f"{operation.label}: {failure}"
    return None


@pytest.mark.req("API-1", "SEC-5")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.timeout(900)
def test_every_operation_answers_as_it_declares(target: Target, role: str) -> None:
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json").exclude(path=ENDLESS)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 60
    failures = [failure for operation in operations if (failure := fuzz(target, operation, role))]
    reached = {status: count for (who, status), count in sorted(target.statuses.items()) if who == role}
    print(role, reached)
    assert not failures, "\n\n".join(failures)
    if role == "anonymous":
        assert set(reached) <= {200, 303, 400, 401, 404, 405, 413, 422, 429, 503}
    else:
        assert reached.get(200, 0) > 20, "the fuzzing did not reach much"
