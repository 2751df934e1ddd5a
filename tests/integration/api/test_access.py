"""Who gets in: log-in, cookies, CSRF, tokens, scopes, and that nothing else lets anybody in."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from opaa.access.permissions import SCOPES
from opaa.db.base import utc_now
from tests.integration.api.conftest import PASSWORD, Api, assert_problem
from tests.integration.api.test_permissions import ANONYMOUS

SOME_ID = "01900000-0000-7000-8000-000000000000"


def operations(api: Api) -> list[tuple[str, str]]:
    document = api.app.app.openapi()
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


@pytest.mark.req("SEC-3")
async def test_log_in_says_who_one_is_and_sets_a_cookie_that_scripts_cannot_read(api: Api) -> None:
    await api.user("Ada", "owner")
    client = api.client()
    answer = await client.post("/api/v1/auth/login", json={"login": "ada", "password": PASSWORD})
    assert answer.status_code == 200
    me = answer.json()
    assert me["user"]["login"] == "Ada"
    assert [workspace["name"] for workspace in me["workspaces"]] == ["Main"]
    assert set(me["can"]["operations"]) == set(SCOPES)
    assert me["workspaces"][0]["role"] == "admin"
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("opaa_session=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert (await client.get("/api/v1/auth/me")).json()["csrf_token"] == me["csrf_token"]


@pytest.mark.req("SEC-3")
async def test_wrong_passwords_and_unknown_people_look_alike_and_lock_the_account(api: Api) -> None:
    await api.user("ada")
    client = api.client()
    wrong = {"login": "ada", "password": "wrong"}
    first = assert_problem(await client.post("/api/v1/auth/login", json=wrong), 401)
    unknown = assert_problem(await client.post("/api/v1/auth/login", json={**wrong, "login": "nobody"}), 401)
    assert first["detail"] == unknown["detail"]
    for _ in range(4):
        await client.post("/api/v1/auth/login", json=wrong)
    locked = await client.post("/api/v1/auth/login", json={"login": "ada", "password": PASSWORD})
    assert_problem(locked, 429, "locked")
    assert int(locked.headers["retry-after"]) >= 1
    assert "set-cookie" not in locked.headers


@pytest.mark.req("SEC-3")
@pytest.mark.req("SEC-10")
async def test_changes_with_a_cookie_need_the_csrf_header(api: Api) -> None:
    await api.user("ada", "owner")
    client = await api.log_in("ada")
    right = client.headers.pop("X-CSRF-Token")
    for headers in ({}, {"X-CSRF-Token": "0" * 64}):
        assert_problem(await client.post("/api/v1/workspaces", json={"name": "New"}, headers=headers), 403)
    answer = await client.post("/api/v1/workspaces", json={"name": "New"}, headers={"X-CSRF-Token": right})
    assert answer.status_code == 201


async def test_log_out_and_a_new_password_end_sessions(api: Api) -> None:
    await api.user("ada")
    one, two, three = [await api.log_in("ada") for _ in range(3)]
    assert (await one.post("/api/v1/auth/logout")).status_code == 204
    assert_problem(await one.get("/api/v1/auth/me"), 401)
    change = {"current_password": "wrong", "new_password": "a completely new one"}
    assert_problem(await two.post("/api/v1/auth/password", json=change), 401)
    assert_problem(
        await two.post("/api/v1/auth/password", json={"current_password": PASSWORD, "new_password": "short"}), 422
    )
    answer = await two.post("/api/v1/auth/password", json={**change, "current_password": PASSWORD})
    assert answer.status_code == 204
    assert (await two.get("/api/v1/auth/me")).status_code == 200
    assert_problem(await three.get("/api/v1/auth/me"), 401)


@pytest.mark.req("SEC-4")
async def test_nobody_gets_in_without_a_credential_anywhere(api: Api) -> None:
    for method, path in operations(api):
        if (method.upper(), path) in ANONYMOUS or path == "/metrics":
            continue
        url = re.sub(r"\{[^}]+\}", SOME_ID, path)
        for headers in ({}, {"Authorization": "Bearer opaa_nonsense"}, {"Cookie": "opaa_session=nonsense"}):
            answer = await api.client(**headers).request(method, url, json={})
            assert answer.status_code == 401, (method, path, headers, answer.text)
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert len(operations(api)) > 30


@pytest.mark.req("OPS-1")
async def test_metrics_are_for_this_machine_or_a_token_with_the_scope(api: Api) -> None:
    user = await api.user("ada", "auditor")
    from_elsewhere = {"X-Forwarded-For": "203.0.113.9"}
    assert_problem(await api.client(**from_elsewhere).get("/metrics"), 401)
    scraper, other = await api.bearer(user, "metrics:read"), await api.bearer(user, "ask")
    answer = await scraper.get("/metrics", headers=from_elsewhere)
    assert answer.status_code == 200
    assert "opaa_" in answer.text
    assert_problem(await other.get("/metrics", headers=from_elsewhere), 403)
    assert (await api.client().get("/metrics")).status_code == 200


@pytest.mark.req("SEC-4")
async def test_a_token_may_do_what_its_scopes_say_and_no_more(api: Api) -> None:
    user = await api.user("ada", "owner")
    searcher = await api.bearer(user, "search")
    assert (await searcher.get("/api/v1/search", params={"q": "x"})).status_code == 200
    problem = assert_problem(await searcher.get("/api/v1/documents"), 403, "permission-denied")
    assert "documents:read" in problem["detail"]
    maker = await api.bearer(user, "tokens:write", "search")
    more = {"name": "more", "scopes": ["search", "ask"]}
    assert_problem(await maker.post("/api/v1/tokens", json=more), 403)
    assert (await maker.post("/api/v1/tokens", json={"name": "less", "scopes": ["search"]})).status_code == 201


@pytest.mark.req("SEC-4")
async def test_forged_expired_and_revoked_tokens_are_refused(api: Api) -> None:
    user = await api.user("ada", "owner")
    client = await api.log_in("ada")
    created = await client.post("/api/v1/tokens", json={"name": "t", "scopes": list(SCOPES)})
    token = created.json()["token"]
    assert token.startswith("opaa_")
    listed = (await client.get("/api/v1/tokens")).json()["items"]
    assert [item["name"] for item in listed] == ["t"]
    assert token not in str(listed)

    def bearer(value: str):
        return api.client(Authorization=f"Bearer {value}").get("/api/v1/auth/me")

    assert (await bearer(token)).status_code == 200
    for forged in (token[:-1] + ("0" if token[-1] != "0" else "1"), token[:30], "opaa_", "", token + "x"):
        assert_problem(await bearer(forged), 401)
    async with api.runtime.database.transaction(api.tenant.system) as session:
        await session.execute(
            text("UPDATE api_tokens SET expires_at = :past"), {"past": utc_now() - timedelta(seconds=1)}
        )
    assert_problem(await bearer(token), 401)
    async with api.runtime.database.transaction(api.tenant.system) as session:
        await session.execute(text("UPDATE api_tokens SET expires_at = NULL"))
    assert (await bearer(token)).status_code == 200
    assert (await client.delete(f"/api/v1/tokens/{created.json()['id']}")).status_code == 204
    assert_problem(await bearer(token), 401)
    assert_problem(await client.delete(f"/api/v1/tokens/{created.json()['id']}"), 404)
    past = {"name": "p", "scopes": ["ask"], "expires_at": "2020-01-01T00:00:00Z"}
    assert_problem(await client.post("/api/v1/tokens", json=past), 422)
    assert_problem(await client.post("/api/v1/tokens", json={"name": "u", "scopes": ["fly"]}), 422)
    assert user.login == "ada"


async def test_a_disabled_account_is_out_at_once(api: Api) -> None:
    user = await api.user("ada")
    client, token = await api.log_in("ada"), await api.bearer(user, "search")
    async with api.runtime.database.transaction(api.tenant.system) as session:
        await session.execute(text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": user.id})
    assert_problem(await client.get("/api/v1/auth/me"), 401)
    assert_problem(await token.get("/api/v1/auth/me"), 401)
    answer = await api.client().post("/api/v1/auth/login", json={"login": "ada", "password": PASSWORD})
    assert_problem(answer, 401)


@pytest.mark.req("SEC-6")
async def test_documents_of_a_workspace_are_invisible_to_people_outside_it(api: Api) -> None:
    await api.user("boss", "owner")
    await api.user("outsider", member=False)
    await api.index({"salaries.md": "# Salaries\n\nThe director earns 100,000 euros."})
    boss, outsider = await api.log_in("boss"), await api.log_in("outsider")
    document = (await boss.get("/api/v1/documents")).json()["items"][0]
    source_id = document["source"]["id"]
    assert (await boss.get("/api/v1/search", params={"q": "director earns"})).json()["results"]
    assert (await outsider.get("/api/v1/documents")).json()["items"] == []
    assert (await outsider.get("/api/v1/sources")).json()["items"] == []
    assert (await outsider.get("/api/v1/workspaces")).json()["items"] == []
    assert (await outsider.get("/api/v1/search", params={"q": "director earns"})).json()["results"] == []
    answer = (await outsider.post("/api/v1/ask", json={"question": "What does the director earn?"})).json()
    assert (answer["found"], answer["citations"], answer["nearest"]) == (False, [], [])
    for url in (
        f"/api/v1/documents/{document['id']}",
        f"/api/v1/documents/{document['id']}/text",
        f"/api/v1/sources/{source_id}",
        f"/api/v1/sources/{source_id}/runs",
        f"/api/v1/sources/{source_id}/errors",
    ):
        assert_problem(await outsider.get(url), 404)
        assert (await boss.get(url)).status_code == 200
    # No role to write anywhere: whatever the id is, the answer is the same.
    for identifier in (document["id"], str(api.tenant.workspace_id)):
        assert_problem(await outsider.delete(f"/api/v1/documents/{identifier}"), 403)
    assert_problem(await outsider.get("/api/v1/search", params={"q": "x", "workspace": "Main"}), 404)
    assert_problem(await outsider.post("/api/v1/ask", json={"question": "x?", "workspace": "Main"}), 404)


@pytest.mark.req("SEC-5")
async def test_members_may_not_administer(api: Api) -> None:
    await api.user("member")
    client = await api.log_in("member")
    source = {"name": "x", "workspace": "Main", "settings": {"path": "/etc"}}
    assert_problem(await client.post("/api/v1/sources", json=source), 403)
    assert_problem(await client.post("/api/v1/workspaces", json={"name": "x"}), 403)
    assert_problem(await client.delete(f"/api/v1/workspaces/{api.tenant.workspace_id}"), 403)
