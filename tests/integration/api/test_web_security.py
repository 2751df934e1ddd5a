"""What every answer carries, who may ask how often, from where, under which name; and that secrets stay secret."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client import generate_latest

from opaa.db.embedded import Urls
from opaa.db.session import Database
from opaa.telemetry import metrics
from tests.conftest import Tenant
from tests.fakes.oidc_peer import free_port
from tests.integration.api.conftest import PASSWORD, Api, assert_problem, make_runtime, serving
from tests.integration.api.test_permissions import routes, url


@asynccontextmanager
async def configured(database: Database, tenant: Tenant, folder: Path, **environment: str) -> AsyncIterator[Api]:
    async with serving(make_runtime(database, tenant, folder, **environment), tenant, folder) as api:
        yield api


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is missing: `make setup` installs it"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if b"Ready to accept connections" in line:
            break
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait()


# ── rate limits ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.req("SEC-10", "API-1")
async def test_a_person_and_a_token_have_limits_of_their_own(
    database: Database, tenant: Tenant, tmp_path: Path
) -> None:
    limits = {"OPAA_RATE_LIMIT_USER": "3/minute", "OPAA_RATE_LIMIT_TOKEN": "2/minute"}
    async with configured(database, tenant, tmp_path, **limits) as api:
        ada, bob = await api.user("ada"), await api.user("bob")
        client, other = await api.log_in("ada"), await api.log_in("bob")
        for left in (2, 1, 0):
            answer = await client.get("/api/v1/auth/me")
            assert answer.headers["ratelimit-policy"] == '"user";q=3;w=60'
            assert re.fullmatch(rf'"user";r={left};t=\d+', answer.headers["ratelimit"])
        answer = await client.get("/api/v1/auth/me")
        assert_problem(answer, 429, "rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await other.get("/api/v1/auth/me")).status_code == 200  # somebody else is not concerned
        token = await api.bearer(ada, "search")
        statuses = [(await token.get("/api/v1/search?q=x")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await (await api.bearer(bob, "search")).get("/api/v1/search?q=x")).status_code == 200


@pytest.mark.req("SEC-10")
async def test_an_address_and_its_log_ins_have_limits(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    limits = {"OPAA_RATE_LIMIT_ADDRESS": "8/minute", "OPAA_RATE_LIMIT_LOGIN": "2/minute"}
    async with configured(database, tenant, tmp_path, **limits) as api:
        client = api.client()
        body = {"login": "nobody", "password": "wrong"}
        statuses = [(await client.post("/api/v1/auth/login", json=body)).status_code for _ in range(3)]
        assert statuses == [401, 401, 429]
        statuses = [(await client.get("/api/v1/auth/me")).status_code for _ in range(6)]
        assert statuses == [401] * 5 + [429]
        # A header that anybody can write does not make another address.
        assert_problem(await client.get("/api/v1/auth/me", headers={"X-Forwarded-For": "203.0.113.9"}), 429)
        assert (await client.get("/livez")).status_code == 200  # probes are never refused


@pytest.mark.req("SEC-10")
async def test_behind_a_trusted_proxy_everybody_has_their_own_address(
    database: Database, tenant: Tenant, tmp_path: Path
) -> None:
    options = {"OPAA_RATE_LIMIT_ADDRESS": "2/minute", "OPAA_TRUSTED_PROXIES": "127.0.0.0/8"}
    async with configured(database, tenant, tmp_path, **options) as api:
        client = api.client()

        async def status(forwarded: str) -> int:
            answer = await client.get("/api/v1/auth/me", headers={"X-Forwarded-For": forwarded})
            return answer.status_code

        assert [await status("203.0.113.1") for _ in range(3)] == [401, 401, 429]
        assert await status("203.0.113.2") == 401
        assert await status("203.0.113.9, 203.0.113.1") == 429  # the left one is what a client wrote


@pytest.mark.req("SEC-10")
async def test_processes_share_limits_in_redis_and_go_on_without_it(
    database: Database, tenant: Tenant, tmp_path: Path, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, process = redis
    options = {"OPAA_RATE_LIMIT_ADDRESS": "4/hour", "REDIS_URL": url}
    async with (
        configured(database, tenant, tmp_path, **options) as first,
        configured(database, tenant, tmp_path, **options) as second,
    ):
        one, two = first.client(), second.client()
        statuses = [(await client.get("/api/v1/auth/me")).status_code for client in (one, two, one, two, one, two)]
        assert statuses == [401] * 4 + [429] * 2
        process.kill()
        process.wait()
        statuses = [(await one.get("/api/v1/auth/me")).status_code for _ in range(5)]
        assert statuses == [401] * 4 + [429]  # each process counts for itself, and nobody is refused for that


# ── names, origins, headers ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.req("SEC-10")
async def test_only_the_names_that_are_allowed(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    async with configured(database, tenant, tmp_path, OPAA_ALLOWED_HOSTS="opaa.test,[::1]") as api:
        client = api.client()
        for host, status in (
            ("opaa.test", 401), ("OPAA.test:8080", 401), ("[::1]:8080", 401), ("evil.example", 400), ("", 400),
            ("opaa.test.evil.example", 400), ("opaa.test@evil.example", 400),
        ):  # fmt: skip
            assert (await client.get("/api/v1/auth/me", headers={"Host": host})).status_code == status, host
        assert (await client.get("/readyz", headers={"Host": "10.1.2.3"})).status_code == 200


@pytest.mark.req("SEC-10")
async def test_every_answer_carries_the_headers(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    async with configured(database, tenant, tmp_path, OPAA_COOKIE_SECURE="true") as api:
        client = api.client()
        paths = {url(path) for method, path, _ in routes(api) if method == "GET" and path != "/api/v1/events"}
        for path in (*paths, "/", "/documents", "/assets/none.js", "/nothing", "/api/nothing", "/scim/v2/Users"):
            headers = (await client.get(path)).headers
            policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'", path
            assert policy["script-src"] == "'self'", path
            assert policy["img-src"] == "'self' data:", path
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'", path
            assert policy["form-action"] == policy["connect-src"] == "'self'", path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert "camera=()" in headers["permissions-policy"]
            assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["strict-transport-security"].startswith("max-age=63072000")
            assert "server" not in headers and "x-powered-by" not in headers
            if path.startswith("/api/"):
                assert headers["cache-control"] == "no-store", path


@pytest.mark.req("SEC-10")
async def test_pages_of_other_origins_get_nothing(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    evil = {"Origin": "https://evil.example"}
    async with configured(database, tenant, tmp_path) as api:
        answer = await api.client().get("/api/v1/auth/me", headers=evil)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    async with configured(database, tenant, tmp_path, CORS_ORIGINS="https://intranet.example") as api:
        await api.user("ada")
        client = await api.log_in("ada")
        for origin in (
            "https://evil.example",
            "null",
            "https://intranet.example.evil.example",
            "http://intranet.example",
        ):
            answer = await client.get("/api/v1/auth/me", headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers, origin
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = await client.options("/api/v1/ask", headers=preflight)
            assert "access-control-allow-origin" not in answer.headers, origin
        answer = await client.get("/api/v1/auth/me", headers={"Origin": "https://intranet.example"})
        assert answer.headers["access-control-allow-origin"] == "https://intranet.example"
        assert "access-control-allow-credentials" not in answer.headers  # tokens, not cookies
        assert "Origin" in answer.headers["vary"]


@pytest.mark.req("SEC-10")
async def test_a_change_needs_the_pages_own_token(api: Api) -> None:
    await api.user("ada", "owner")
    client = await api.log_in("ada")
    for value in ("", "0" * 64, client.headers["X-CSRF-Token"][:-1]):
        answer = await client.post("/api/v1/workspaces", json={"name": "x"}, headers={"X-CSRF-Token": value})
        assert_problem(answer, 403)
    cookies = {"opaa_session": client.cookies["opaa_session"]}
    other = api.client()
    assert_problem(await other.post("/api/v1/workspaces", data={"name": "x"}, cookies=cookies), 403)


# ── uploads and secrets ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(
    ("name", "declared", "content", "found"),
    [
        ("notes.txt", "text/plain", b"MZ\x90\x00\x03" + b"\x00" * 200, []),
        ("picture.md", "text/markdown", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, []),
        (
            "report.pdf",
            "application/pdf",
            b"<html><body><h1>Report</h1><p>Many words.</p></body></html>",
            ["text/html"],
        ),
    ],
)
async def test_what_a_file_is_its_content_says(
    api: Api, name: str, declared: str, content: bytes, found: list[str]
) -> None:
    await api.user("ada")
    client = await api.log_in("ada")
    form = {"workspace": str(api.tenant.workspace_id)}
    answer = await client.post("/api/v1/documents", files={"file": (name, content, declared)}, data=form)
    assert answer.status_code == 202, answer.text
    await api.work()
    documents = (await client.get("/api/v1/documents")).json()["items"]
    assert [document["content_type"] for document in documents] == found


@pytest.mark.req("SEC-11", "OPS-3")
async def test_secrets_are_in_no_log_no_metric_no_audit_row_and_no_answer(
    database: Database, database_urls: Urls, tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canaries = {
        "SECRET_KEY": "canary-secret-key-0123456789abcdef",
        "LLM_API_KEY": "canary-model-key-0123456789",
        "OAUTH_CLIENT_SECRET": "canary-client-secret-01234",
    }
    provider = {"OAUTH_PROVIDER": "http://127.0.0.1:9", "OAUTH_CLIENT_ID": "x", "OPAA_PUBLIC_URL": "http://opaa.test"}
    seen: list[str] = []
    async with configured(database, tenant, tmp_path, **canaries, **provider) as api:
        user = await api.user("ada", "owner")
        client = await api.log_in("ada")
        token = await api.bearer(user, "search")
        secret_values = [
            *canaries.values(), PASSWORD, "canary-wrong-password", client.cookies["opaa_session"],
            token.headers["Authorization"].removeprefix("Bearer "), client.headers["X-CSRF-Token"],
        ]  # fmt: skip
        answers: list[httpx.Response] = [
            await api.client().post("/api/v1/auth/login", json={"login": "ada", "password": "canary-wrong-password"}),
            await api.client().post("/api/v1/auth/login", json={"login": {}, "password": "canary-wrong-password"}),
            await api.client().get("/api/v1/auth/sso/oidc/start"),
            await token.get("/api/v1/search", params={"q": "x"}),
            await token.get("/api/v1/users"),
            await client.get("/api/v1/tokens"),
            await client.get("/api/v1/sessions"),
            await client.get("/api/v1/audit"),
            await client.post("/api/v1/workspaces", json={"name": "x"}, headers={"X-CSRF-Token": "wrong"}),
        ]
        seen += [answer.text + str(answer.headers) for answer in answers]
    seen.append(generate_latest(metrics.REGISTRY).decode())
    printed = capsys.readouterr()
    seen += [printed.out, printed.err]
    with psycopg.connect(database_urls.owner) as connection:
        for table in ("audit_log", "audit_private", "audit_chain", "sessions", "api_tokens", "users"):
            rows: list[Any] = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
            seen += [row[0] for row in rows]
    everything = "\n".join(seen)
    assert "login.failed" in everything
    for value in secret_values:
        assert value not in everything, value[:12]
