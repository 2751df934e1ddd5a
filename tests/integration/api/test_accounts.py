"""Accounts, groups, service accounts, sessions, two-step log-in, reset links, limits of tokens; and what is refused."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import text

from opaa.access.permissions import SCOPES
from opaa.audit.chain import Filters, entries
from opaa.db.base import utc_now
from opaa.identity.service import first_admin
from tests.conftest import create_tenant
from tests.integration.api.conftest import PASSWORD, Api, assert_problem

NEW = "another correct horse"


async def owner(api: Api) -> httpx.AsyncClient:
    await api.user("boss", "owner")
    return await api.log_in("boss")


async def audited(api: Api, action: str) -> list[Any]:
    async with api.runtime.database.session(api.tenant.system) as session:
        return await entries(session, Filters(action=action))


@pytest.mark.req("SEC-3", "SEC-5")
async def test_an_account_from_its_first_to_its_last_day(api: Api) -> None:
    boss = await owner(api)
    body = {"login": "ada@example.org", "display_name": "Ada", "password": PASSWORD, "email": "ada@example.org"}
    created = await boss.post("/api/v1/users", json=body)
    assert created.status_code == 201, created.text
    user = created.json()
    assert (user["role"], user["disabled"], user["two_step"]) == ("member", False, False)
    ada = await api.log_in("ADA@example.org")
    assert (await ada.get("/api/v1/auth/me")).json()["must_change_password"]
    assert_problem(await ada.get("/api/v1/users"), 403)
    promoted = await boss.patch(f"/api/v1/users/{user['id']}", json={"role": "auditor"})
    assert promoted.json()["role"] == "auditor"
    assert (await ada.get("/api/v1/audit")).status_code == 200  # with the session that she had
    await boss.patch(f"/api/v1/users/{user['id']}", json={"role": "member"})
    assert_problem(await ada.get("/api/v1/audit"), 403)
    await boss.patch(f"/api/v1/users/{user['id']}", json={"disabled": True})
    assert_problem(await ada.get("/api/v1/auth/me"), 401)
    await boss.patch(f"/api/v1/users/{user['id']}", json={"disabled": False})
    assert_problem(await ada.get("/api/v1/auth/me"), 401)  # enabled again, but not the old session
    assert (await boss.delete(f"/api/v1/users/{user['id']}")).status_code == 204
    assert_problem(await boss.get(f"/api/v1/users/{user['id']}"), 404)
    assert {each.action for each in await audited(api, "user.*")} == {"user.created", "user.changed", "user.deleted"}


@pytest.mark.req("SEC-3")
@pytest.mark.parametrize(
    "login",
    ["аda", "ａda", "ADA", "ada\u200b", "a da", "\u202eada", "adа", "x" * 321, "", "ada\r\nSet-Cookie: x", "ad\u0430"],
)
async def test_logins_that_look_like_another_or_cannot_be_seen_are_refused(api: Api, login: str) -> None:
    boss = await owner(api)
    assert (await boss.post("/api/v1/users", json={"login": "ada"})).status_code == 201
    answer = await boss.post("/api/v1/users", json={"login": login})
    assert answer.status_code in {409, 422}, answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.req("SEC-5")
async def test_only_owners_make_owners_and_one_always_stays(api: Api) -> None:
    boss = await owner(api)
    me = (await boss.get("/api/v1/auth/me")).json()["user"]["id"]
    admin_user = await api.user("admin2", "admin")
    admin = await api.log_in("admin2")
    assert_problem(await admin.post("/api/v1/users", json={"login": "x", "role": "owner"}), 403)
    assert_problem(await admin.patch(f"/api/v1/users/{admin_user.id}", json={"role": "owner"}), 403)
    assert_problem(await admin.patch(f"/api/v1/users/{me}", json={"disabled": True}), 403)
    assert_problem(await admin.post(f"/api/v1/users/{me}/reset-link"), 403)
    assert_problem(await admin.delete(f"/api/v1/users/{me}"), 403)
    for change in ({"role": "member"}, {"disabled": True}):
        assert_problem(await boss.patch(f"/api/v1/users/{me}", json=change), 409)
    assert_problem(await boss.delete(f"/api/v1/users/{me}"), 409)


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("users", {"login": "x", "organization_id": "01900000-0000-7000-8000-000000000000"}),
        ("users", {"login": "x", "password_hash": "x"}),
        ("users", {"login": "x", "kind": "service"}),
        ("service-accounts", {"login": "x", "role": "owner"}),
        ("tokens", {"name": "x", "scopes": ["ask"], "user_id": "01900000-0000-7000-8000-000000000000"}),
        ("groups", {"name": "x", "origin": "scim"}),
        ("workspaces", {"name": "x", "id": "01900000-0000-7000-8000-000000000000"}),
        ("workspaces", {"name": "x" * 201}),
        ("groups", {"name": "a\nb\x00"}),
    ],
)
async def test_fields_that_belong_to_the_server_are_refused(api: Api, path: str, body: dict[str, Any]) -> None:
    boss = await owner(api)
    assert_problem(await boss.post(f"/api/v1/{path}", json=body), 422)


@pytest.mark.req("SEC-3")
async def test_fifty_first_starts_at_once_make_one_owner(api: Api) -> None:
    tenant = await create_tenant(api.runtime.database)
    async with api.runtime.database.transaction(tenant.system) as session:
        await session.execute(text("DELETE FROM users"))
    database = api.runtime.database
    made = await asyncio.gather(*(first_admin(database, tenant.organization_id) for _ in range(50)))
    assert len([password for password in made if password]) == 1


@pytest.mark.req("SEC-3")
async def test_two_step_log_in_with_codes_that_work_once(api: Api) -> None:
    await api.user("ada")
    ada = await api.log_in("ada")
    secret = (await ada.post("/api/v1/two-step")).json()["secret"]
    app = pyotp.TOTP(secret)
    assert_problem(await ada.post("/api/v1/two-step/confirm", json={"code": "000000"}), 422)
    now = utc_now()
    code = app.at(now)
    confirmed = await ada.post("/api/v1/two-step/confirm", json={"code": code})
    assert confirmed.status_code == 200, confirmed.text
    recovery = confirmed.json()["codes"]
    assert len(set(recovery)) == 10
    body = {"login": "ada", "password": PASSWORD}
    fresh = api.client()
    assert_problem(await fresh.post("/api/v1/auth/login", json=body), 401, "totp-required")
    assert_problem(await fresh.post("/api/v1/auth/login", json={**body, "code": code}), 401, "authentication")  # replay
    wrong = {"login": "ada", "password": "wrong", "code": app.at(now + timedelta(seconds=30))}
    assert_problem(await fresh.post("/api/v1/auth/login", json=wrong), 401, "authentication")
    assert (await fresh.post("/api/v1/auth/login", json={**body, "code": recovery[0]})).status_code == 200
    assert_problem(await api.client().post("/api/v1/auth/login", json={**body, "code": recovery[0]}), 401)
    following = app.at(now + timedelta(seconds=30))
    assert (await api.client().post("/api/v1/auth/login", json={**body, "code": following})).status_code == 200
    async with api.runtime.database.session(api.tenant.system) as session:
        stored = await session.scalar(text("SELECT totp_secret FROM users WHERE login = 'ada'"))
    assert secret.encode() not in stored
    assert_problem(await ada.post("/api/v1/two-step/disable", json={"code": "000000"}), 422)
    assert (await ada.post("/api/v1/two-step/disable", json={"code": recovery[1]})).status_code == 204
    assert (await api.client().post("/api/v1/auth/login", json=body)).status_code == 200


@pytest.mark.req("SEC-3")
async def test_a_reset_link_works_once_and_no_other_does(api: Api) -> None:
    boss = await owner(api)
    user = await api.user("ada")
    ada = await api.log_in("ada")
    link = (await boss.post(f"/api/v1/users/{user.id}/reset-link")).json()["token"]
    other = (await boss.post(f"/api/v1/users/{user.id}/reset-link")).json()["token"]
    anyone = api.client()
    changed = link[:-1] + ("0" if link[-1] != "0" else "1")
    later = link[:44] + "zzzzzzzz" + link[52:]
    for token in (changed, later, link + "0", link[:50], "x", "0" * 95):
        body = {"token": token, "new_password": NEW}
        assert_problem(await anyone.post("/api/v1/auth/reset-password", json=body), 401)
    short = {"token": link, "new_password": "short"}
    assert_problem(await anyone.post("/api/v1/auth/reset-password", json=short), 422)
    answer = await anyone.post("/api/v1/auth/reset-password", json={"token": link, "new_password": NEW})
    assert answer.status_code == 204
    assert_problem(await ada.get("/api/v1/auth/me"), 401)
    for used in (link, other):  # both were bound to the password before
        body = {"token": used, "new_password": NEW + "!"}
        assert_problem(await anyone.post("/api/v1/auth/reset-password", json=body), 401)
    assert (await anyone.post("/api/v1/auth/login", json={"login": "ada", "password": NEW})).status_code == 200


@pytest.mark.req("SEC-3")
async def test_a_lock_tells_nothing_about_who_exists(api: Api) -> None:
    await api.user("ada")
    answers = {}
    for login in ("ada", "nobody"):
        client = api.client()
        told = []
        for _ in range(6):
            answer = await client.post("/api/v1/auth/login", json={"login": login, "password": "wrong"})
            body = answer.json()
            told.append((answer.status_code, body["code"], body["detail"]))
        answers[login] = told
    assert answers["ada"] == answers["nobody"]
    assert [status for status, _, _ in answers["ada"]] == [401] * 5 + [429]


@pytest.mark.req("SEC-3")
async def test_sessions_are_listed_and_ended_one_by_one(api: Api) -> None:
    await api.user("ada")
    one, two, three = [await api.log_in("ada") for _ in range(3)]
    listed = (await one.get("/api/v1/sessions")).json()["items"]
    assert len(listed) == 3
    assert sum(each["current"] for each in listed) == 1
    assert len({client.cookies["opaa_session"] for client in (one, two, three)}) == 3  # never one that was given
    mine = next(each["id"] for each in (await two.get("/api/v1/sessions")).json()["items"] if each["current"])
    assert (await one.delete(f"/api/v1/sessions/{mine}")).status_code == 204
    assert_problem(await two.get("/api/v1/auth/me"), 401)
    assert_problem(await one.delete(f"/api/v1/sessions/{mine}"), 404)
    await api.user("eve")
    eve = await api.log_in("eve")
    foreign = next(each["id"] for each in (await three.get("/api/v1/sessions")).json()["items"] if each["current"])
    assert_problem(await eve.delete(f"/api/v1/sessions/{foreign}"), 404)
    assert (await one.delete("/api/v1/sessions")).status_code == 204
    assert_problem(await three.get("/api/v1/auth/me"), 401)
    assert (await one.get("/api/v1/auth/me")).status_code == 200


@pytest.mark.req("SEC-4")
async def test_a_service_account_has_tokens_and_no_log_in(api: Api) -> None:
    boss = await owner(api)
    account = (await boss.post("/api/v1/service-accounts", json={"login": "crawler"})).json()
    body = {"name": "t", "scopes": ["search"], "networks": ["10.0.0.0/8"]}
    limited = (await boss.post(f"/api/v1/service-accounts/{account['id']}/tokens", json=body)).json()
    assert_problem(await api.client(Authorization=f"Bearer {limited['token']}").get("/api/v1/auth/me"), 401)
    assert [each.outcome for each in await audited(api, "token.refused")] == ["denied"]
    body = {"name": "t", "scopes": ["search"], "networks": ["127.0.0.0/8"]}
    token = (await boss.post(f"/api/v1/service-accounts/{account['id']}/tokens", json=body)).json()
    client = api.client(Authorization=f"Bearer {token['token']}")
    assert (await client.get("/api/v1/search", params={"q": "x"})).status_code == 200
    login = {"login": "crawler", "password": PASSWORD}
    assert_problem(await api.client().post("/api/v1/auth/login", json=login), 401)
    assert_problem(await boss.post(f"/api/v1/users/{account['id']}/reset-link"), 404)
    path = f"/api/v1/service-accounts/{account['id']}/tokens/{token['id']}/rotate"
    rotated = (await boss.post(path, json={"overlap_s": 60})).json()
    new = api.client(Authorization=f"Bearer {rotated['token']}")
    for each in (client, new):
        assert (await each.get("/api/v1/auth/me")).status_code == 200
    await boss.post(path, json={})
    for each in (client, new):
        assert_problem(await each.get("/api/v1/auth/me"), 401)
    assert (await boss.delete(f"/api/v1/service-accounts/{account['id']}")).status_code == 204


@pytest.mark.req("SEC-4")
async def test_a_token_limited_to_a_workspace_reads_nothing_else_and_makes_no_wider_token(api: Api) -> None:
    boss = await owner(api)
    await api.index({"a.md": "# A\n\nQuartz is mined here."})
    other = (await boss.post("/api/v1/workspaces", json={"name": "Other"})).json()
    body = {"name": "t", "scopes": list(SCOPES), "workspaces": ["Other"]}
    narrow = api.client(Authorization=f"Bearer {(await boss.post('/api/v1/tokens', json=body)).json()['token']}")
    assert [each["id"] for each in (await narrow.get("/api/v1/workspaces")).json()["items"]] == [other["id"]]
    assert (await narrow.get("/api/v1/documents")).json()["items"] == []
    assert (await narrow.get("/api/v1/search", params={"q": "quartz"})).json()["results"] == []
    wider = {"name": "w", "scopes": ["search"]}
    made = (await narrow.post("/api/v1/tokens", json=wider)).json()
    assert made["workspace_ids"] == [other["id"]]
    assert_problem(await narrow.post("/api/v1/tokens", json={**wider, "workspaces": ["Main"]}), 404)
    whole = (await boss.post("/api/v1/tokens", json=wider)).json()
    assert_problem(await narrow.post(f"/api/v1/tokens/{whole['id']}/rotate", json={}), 403)
    for networks in (["not a network"], ["10.0.0.1/8"], []):
        assert_problem(await boss.post("/api/v1/tokens", json={**wider, "networks": networks}), 422)


@pytest.mark.req("SEC-5", "SEC-6")
async def test_a_group_gives_access_and_takes_it_away_at_once_and_it_is_explained(api: Api) -> None:
    boss = await owner(api)
    ada_user = await api.user("ada", member=False)
    ada = await api.log_in("ada")
    await api.index({"pay.md": "# Pay\n\nSalaries rise in May."})
    document = (await boss.get("/api/v1/documents")).json()["items"][0]["id"]
    group = (await boss.post("/api/v1/groups", json={"name": "Payroll"})).json()["id"]
    member = f"/api/v1/workspaces/{api.tenant.workspace_id}/members/group:{group}"

    async def explained(**at: str) -> tuple[bool, list[str]]:
        parameters = {"user": "ada", "document": document, **at}
        body = (await boss.get("/api/v1/access/explain", params=parameters)).json()
        return body["allowed"], [reason["kind"] for reason in body["reasons"]]

    assert await explained() == (False, ["not-in-workspace", "document-acl"])
    before = utc_now().isoformat()
    assert (await boss.put(member, json={"role": "viewer"})).status_code == 204
    body = {"user_ids": [str(ada_user.id)]}
    assert (await boss.post(f"/api/v1/groups/{group}/members", json=body)).status_code == 204
    assert (await ada.get(f"/api/v1/documents/{document}/text")).status_code == 200
    assert await explained() == (True, ["workspace-role", "document-acl", "acl-names-workspace"])
    restricted = {"principals": [f"group:{group}"], "tags": ["secret"]}
    answer = await boss.put(f"/api/v1/documents/{document}/permissions", json=restricted)
    assert_problem(await boss.get(f"/api/v1/documents/{document}"), 404)  # not of the group: not even the owner
    assert answer.json()["origin"] == "document"
    assert (await ada.get(f"/api/v1/documents/{document}/text")).status_code == 200
    assert await explained() == (True, ["workspace-role", "document-acl", "acl-names-group"])
    during = utc_now().isoformat()
    await boss.delete(f"/api/v1/groups/{group}")
    assert_problem(await ada.get(f"/api/v1/documents/{document}/text"), 404)
    assert (await explained())[0] is False
    assert await explained(at=before) == (False, ["not-in-workspace", "document-acl"])
    assert await explained(at=during) == (True, ["workspace-role", "document-acl", "acl-names-group"])


@pytest.mark.req("SEC-8")
async def test_the_audit_log_is_read_exported_and_verified_by_those_who_may(api: Api) -> None:
    boss = await owner(api)
    for number in range(5):
        await boss.post("/api/v1/groups", json={"name": f"G{number}"})
    page = (await boss.get("/api/v1/audit", params={"action": "group.*", "limit": 2})).json()
    assert [each["details"]["name"] for each in page["items"]] == ["G4", "G3"]
    rest = await boss.get("/api/v1/audit", params={"action": "group.*", "cursor": page["next_cursor"]})
    assert [each["details"]["name"] for each in rest.json()["items"]] == ["G2", "G1", "G0"]
    exported = await boss.get("/api/v1/audit/export", params={"format": "csv", "action": "group.*"})
    assert exported.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert len(exported.text.splitlines()) == 6
    assert (await boss.get("/api/v1/audit/verify")).json()["intact"] is True
    kinds = {each.action for each in await audited(api, "audit.*")}
    assert kinds == {"audit.read", "audit.exported", "audit.verified"}
    asked = {"question": "Where is the secret treasure?"}
    await boss.post("/api/v1/ask", json=asked)
    await boss.patch("/api/v1/organization", json={"audit_questions": True})
    await boss.post("/api/v1/ask", json=asked)
    assert [each.private for each in await audited(api, "ask")] == [asked, None]
