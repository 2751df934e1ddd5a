"""Log-in at a certified OpenID Connect provider, a process of its own: from the button to the page, and out again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from opaa.db.session import Database
from tests.conftest import Tenant
from tests.fakes.oidc_peer import CLIENT_ID, CLIENT_SECRET, OidcPeer, free_port, log_in_at_provider, running
from tests.integration.api.conftest import PASSWORD, Api, assert_problem
from tests.integration.identity.conftest import (
    audited,
    listening,
    me,
    memberships,
    serving_with,
    users,
    workspace_roles,
)

ACCOUNTS = {
    "alice": {
        "name": "Alice Example",
        "preferred_username": "alice",
        "email": "alice@example.org",
        "email_verified": True,
        "groups": ["engineering", "staff", "unknown"],
    },
    "bob": {"name": "Bob", "preferred_username": "bob", "email": "boss@example.org", "email_verified": False},
    "carol": {"name": "Carol", "preferred_username": "carol", "email": "boss@example.org", "email_verified": True},
    "mallory": {"name": "M", "preferred_username": "аlice", "email": "m@example.org", "email_verified": False},
}


class Site:
    """OPAA behind a real port, and the provider that it trusts."""

    def __init__(self, api: Api, peer: OidcPeer, base: str) -> None:
        self.api, self.peer, self.base = api, peer, base

    def browser(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(base_url=self.base, timeout=20)
        self.api.clients.append(client)
        return client

    async def callback_url(self, browser: httpx.AsyncClient, login: str, next_path: str = "/documents") -> str:
        begun = await browser.get("/api/v1/auth/sso/corp/start", params={"next": next_path})
        assert begun.status_code == 303, begun.text
        assert begun.headers["location"].startswith(self.peer.issuer), begun.headers["location"]
        return await log_in_at_provider(browser, begun.headers["location"], login, until=self.base)

    async def log_in(self, login: str, next_path: str = "/documents") -> tuple[httpx.AsyncClient, httpx.Response]:
        browser = self.browser()
        return browser, await browser.get(await self.callback_url(browser, login, next_path))


@pytest.fixture
def provider_options() -> dict[str, Any]:
    return {}


@pytest.fixture
async def site(
    database: Database, tenant: Tenant, tmp_path: Path, provider_options: dict[str, Any]
) -> AsyncIterator[Site]:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    path = f"{base}/api/v1/auth/oidc/corp"
    peer = OidcPeer(tmp_path, f"{path}/callback", ACCOUNTS, f"{path}/backchannel-logout")
    with running(peer):
        provider = {
            "kind": "oidc",
            "name": "corp",
            "label": "Example Corp",
            "issuer": peer.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            **provider_options,
        }
        async with serving_with(database, tenant, tmp_path, [provider], base=base) as api, listening(api.app, port):
            yield Site(api, peer, base)


@pytest.mark.req("SEC-1")
async def test_a_first_log_in_makes_an_account_and_the_second_finds_it(site: Site) -> None:
    listed = (await site.browser().get("/api/v1/auth/providers")).json()
    assert listed == {"password": True, "providers": [{"name": "corp", "label": "Example Corp", "kind": "oidc"}]}
    browser, landed = await site.log_in("alice", "/documents?x=1")
    assert (landed.status_code, landed.headers["location"]) == (303, "/documents?x=1"), landed.text
    found = await me(browser)
    assert (found["user"]["login"], found["user"]["display_name"]) == ("alice@example.org", "Alice Example")
    assert found["user"]["role"] == "member"
    again, _ = await site.log_in("alice")
    assert (await me(again))["user"]["id"] == found["user"]["id"]
    cookie = next(cookie for cookie in again.cookies.jar if cookie.name == "opaa_session")
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert not [cookie.name for cookie in again.cookies.jar if cookie.name.startswith("opaa_sso_")]
    sessions = (await again.get("/api/v1/sessions")).json()["items"]
    assert len(sessions) == 2
    assert len(await audited(site.api, "user.provisioned")) == 1
    assert [each.details for each in await audited(site.api, "login")] == [{"method": "corp"}] * 2


@pytest.mark.req("SEC-1")
async def test_the_first_fifty_log_ins_at_once_make_one_account(site: Site) -> None:
    from opaa.identity.external import ExternalIdentity
    from opaa.identity.provisioning import sign_on

    runtime, tenant = site.api.runtime, site.api.tenant
    provider = runtime.settings.sign_on[0].model_copy(update={"create_groups": True})
    external = ExternalIdentity("https://x", "1", "zoe", "", False, "Zoe", ("a", "b"))
    log_ins = [
        sign_on(
            runtime.database,
            runtime.key,
            tenant.organization_id,
            provider,
            external,
            lifetime_s=60,
            user_agent="",
            address="",
        )
        for _ in range(50)
    ]
    assert len(set(await asyncio.gather(*log_ins))) == 50
    assert len(await audited(site.api, "user.provisioned")) == 1
    assert {name for name, _ in await memberships(site.api, (await users(site.api))["zoe"])} == {"a", "b"}


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize(
    "provider_options",
    [
        {
            "group_claims": ["groups"],
            "mapping": {
                "engineering": {"group": "Engineers", "workspaces": {"main": "editor"}, "role": "auditor"},
                "staff": {"group": "Everybody"},
            },
        }
    ],
)
async def test_group_claims_become_groups_roles_and_workspaces_and_go_with_the_claim(site: Site) -> None:
    browser, _ = await site.log_in("alice")
    found = await me(browser)
    assert found["user"]["role"] == "auditor"
    assert [(each["name"], each["role"]) for each in found["workspaces"]] == [("Main", "editor")]
    alice = (await users(site.api))["alice@example.org"]
    assert await memberships(site.api, alice) == {("Engineers", "provider:corp"), ("Everybody", "provider:corp")}
    assert await workspace_roles(site.api) == {("Main", "Engineers", "editor")}
    await site.api.user("local-boss", "owner")
    boss = await site.api.log_in("local-boss")
    local = (await boss.post("/api/v1/groups", json={"name": "Local"})).json()
    added = await boss.post(f"/api/v1/groups/{local['id']}/members", json={"user_ids": [str(alice.id)]})
    assert added.status_code == 204, added.text
    site.peer.stop()
    site.peer.accounts = {"alice": {**ACCOUNTS["alice"], "groups": ["staff"]}}
    site.peer.start("second")  # with other keys, which are fetched when a token names one
    again, landed = await site.log_in("alice")
    assert landed.headers["location"] == "/documents"
    assert (await me(again))["user"]["role"] == "member"
    assert (await me(again))["workspaces"] == []
    assert await memberships(site.api, alice) == {("Everybody", "provider:corp"), ("Local", "local")}


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize("provider_options", [{"trusted_email_domains": ["example.org"]}])
async def test_an_account_is_joined_only_by_a_verified_address_of_a_trusted_domain(site: Site) -> None:
    boss = await site.api.user("boss@example.org", "admin")
    browser, landed = await site.log_in("bob")  # the address is not verified: an account of his own
    assert landed.headers["location"] == "/documents"
    assert (await me(browser))["user"]["id"] != str(boss.id)
    assert (await me(browser))["user"]["login"] == "bob"
    browser, landed = await site.log_in("carol")  # verified, and the domain is trusted
    assert (await me(browser))["user"]["id"] == str(boss.id)
    assert (await me(browser))["user"]["role"] == "admin"
    assert len(await audited(site.api, "identity.linked")) == 1


@pytest.mark.req("SEC-1")
async def test_without_trust_nobody_gets_an_account_that_is_there(site: Site) -> None:
    await site.api.user("boss@example.org", "admin")
    _, landed = await site.log_in("carol")
    assert landed.headers["location"] == "/login?error=sso-refused"
    await site.api.user("alice")
    _, landed = await site.log_in("mallory")  # a login that looks like hers
    assert landed.headers["location"] == "/login?error=sso-refused"
    refused = await audited(site.api, "login.failed")
    assert [(each.outcome, each.details["reason"]) for each in refused] == [("denied", "refused")] * 2


@pytest.mark.req("SEC-1")
async def test_an_administrator_links_an_account_by_hand(site: Site) -> None:
    carol = await site.api.user("boss@example.org")
    await site.api.user("local-boss", "owner")
    boss = await site.api.log_in("local-boss")
    _, landed = await site.log_in("carol")
    assert landed.headers["location"] == "/login?error=sso-refused"
    [refused] = (await boss.get("/api/v1/audit", params={"action": "login.failed"})).json()["items"]
    who = {name: refused["private"][name] for name in ("issuer", "subject")}
    assert who == {"issuer": site.peer.issuer, "subject": "carol"}
    place = f"/api/v1/users/{carol.id}/identities"
    made = await boss.post(place, json={"provider": "corp", **who})
    assert made.status_code == 201, made.text
    assert_problem(await boss.post(place, json={"provider": "corp", **who}), 409)
    browser, landed = await site.log_in("carol")
    assert (await me(browser))["user"]["id"] == str(carol.id)
    assert [each["subject"] for each in (await boss.get(place)).json()["items"]] == ["carol"]
    assert (await boss.delete(f"{place}/{made.json()['id']}")).status_code == 204
    assert_problem(await boss.delete(f"{place}/{made.json()['id']}"), 404)
    _, landed = await site.log_in("carol")
    assert landed.headers["location"] == "/login?error=sso-refused"


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize("provider_options", [{"sign_up": False}])
async def test_sign_up_can_be_switched_off(site: Site) -> None:
    browser, landed = await site.log_in("alice")
    assert landed.headers["location"] == "/login?error=sso-refused"
    assert_problem(await browser.get("/api/v1/auth/me"), 401)


@pytest.mark.req("SEC-1")
async def test_the_provider_ends_sessions_by_back_channel(site: Site) -> None:
    import re
    from urllib.parse import urljoin

    browser, _ = await site.log_in("alice")
    other, _ = await site.log_in("alice")  # another session at the provider
    assert (await me(browser))["user"]["login"] == "alice@example.org"
    page = await browser.get(f"{site.peer.issuer}/session/end")
    form = re.search(r'<form[^>]*action="([^"]+)"', page.text)
    secret = re.search(r'name="xsrf" value="([^"]+)"', page.text)
    assert form is not None and secret is not None, page.text
    await browser.post(urljoin(site.peer.issuer, form[1]), data={"xsrf": secret[1], "logout": "yes"})
    assert_problem(await browser.get("/api/v1/auth/me"), 401)
    assert (await me(other))["user"]["login"] == "alice@example.org"
    ended = await audited(site.api, "session.ended")
    assert [(each.actor, each.details) for each in ended] == [("provider:corp", {"sessions": 1})]


@pytest.mark.req("SEC-1")
async def test_an_answer_works_once_and_in_one_browser(site: Site) -> None:
    browser = site.browser()
    url = await site.callback_url(browser, "alice")
    stranger = site.browser()
    landed = await stranger.get(url)  # log-in CSRF: the answer in somebody else's browser
    assert landed.headers["location"] == "/login?error=sso-expired"
    assert "opaa_session" not in stranger.cookies
    kept = list(browser.cookies.jar)
    assert (await browser.get(url)).headers["location"] == "/documents"
    for cookie in kept:
        browser.cookies.jar.set_cookie(cookie)  # also with the flow's cookie brought back
    assert (await browser.get(url)).headers["location"] == "/login?error=sso-expired"


@pytest.mark.req("SEC-1")
async def test_a_session_is_always_new(site: Site) -> None:
    browser = site.browser()
    browser.cookies.set("opaa_session", "chosen-by-somebody-else", domain="127.0.0.1")
    await browser.get(await site.callback_url(browser, "alice"))
    cookies = {cookie.value for cookie in browser.cookies.jar if cookie.name == "opaa_session"}
    assert any(len(value or "") > 60 for value in cookies)


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x=1",
     "/api/v1/auth/me", "\t//evil.example", "/ok\u2028", "/a b"],
)  # fmt: skip
async def test_a_log_in_ends_nowhere_else(site: Site, path: str) -> None:
    _, landed = await site.log_in("alice", path)
    assert landed.headers["location"] == "/"
    assert "x" not in landed.cookies


@pytest.mark.req("SEC-1")
async def test_a_disabled_account_stays_out_and_a_provider_that_is_away_is_told(site: Site) -> None:
    await site.log_in("alice")
    await site.api.user("local-boss", "owner")
    boss = await site.api.log_in("local-boss")
    alice = (await users(site.api))["alice@example.org"]
    await boss.patch(f"/api/v1/users/{alice.id}", json={"disabled": True})
    _, landed = await site.log_in("alice")
    assert landed.headers["location"] == "/login?error=sso-refused"
    browser = site.browser()
    url = await site.callback_url(browser, "bob")
    site.peer.stop()
    assert (await browser.get(url)).headers["location"] == "/login?error=sso-unavailable"
    assert_problem(await browser.get("/api/v1/auth/sso/other/start"), 404)


@pytest.mark.req("SEC-1", "SEC-3")
async def test_passwords_can_be_switched_off(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    provider = {"kind": "oidc", "name": "corp", "issuer": "http://127.0.0.1:1", "client_id": "x"}
    async with serving_with(database, tenant, tmp_path, [provider], OPAA_AUTH_TYPE="sso") as api:
        await api.user("ada")
        client = api.client()
        assert not (await client.get("/api/v1/auth/providers")).json()["password"]
        assert_problem(await client.post("/api/v1/auth/login", json={"login": "ada", "password": PASSWORD}), 403)
