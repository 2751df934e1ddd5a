"""Tokens and answers that are forged, old, replayed, mixed up or meant for somebody else: none of them logs in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from opaa.db.session import Database
from tests.conftest import Tenant
from tests.fakes.hostile_oidc import Change, HostileOidc, unsigned
from tests.integration.api.conftest import Api, assert_problem
from tests.integration.identity.conftest import audited, me, serving_with


class Trap:
    def __init__(self, api: Api, provider: HostileOidc) -> None:
        self.api, self.provider = api, provider

    async def log_in(self, **answer: str | None) -> tuple[httpx.AsyncClient, str]:
        """Where somebody ends up who comes back from the provider with this answer."""
        browser = self.api.client()
        begun = await browser.get("/api/v1/auth/sso/corp/start")
        parameters = self.provider.began(begun.headers["location"])
        assert parameters["code_challenge_method"] == "S256"
        full = {"state": parameters["state"], "code": "c", "iss": self.provider.issuer, **answer}
        landed = await browser.get(
            "/api/v1/auth/oidc/corp/callback",
            params={name: value for name, value in full.items() if value is not None},
        )
        assert landed.status_code == 303, landed.text
        return browser, landed.headers["location"]

    async def log_out(self, token: str) -> int:
        client = self.api.client()
        answer = await client.post("/api/v1/auth/oidc/corp/backchannel-logout", data={"logout_token": token})
        assert answer.headers["cache-control"] == "no-store"
        return answer.status_code


@pytest.fixture
async def trap(database: Database, tenant: Tenant, tmp_path: Path) -> AsyncIterator[Trap]:
    provider = HostileOidc()
    configured = {
        "kind": "oidc",
        "name": "corp",
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
    }
    other = {**configured, "name": "other", "issuer": "https://other.example"}
    async with serving_with(database, tenant, tmp_path, [configured, other], transport=provider.transport) as api:
        yield Trap(api, provider)


def without(name: str) -> Change:
    return lambda provider, claims: provider.sign({key: value for key, value in claims.items() if key != name})


def with_claims(**changed: Any) -> Change:
    return lambda provider, claims: provider.sign({**claims, **changed})


def public_pem(provider: HostileOidc) -> bytes:
    return provider.key.as_pem(private=False)


FORGERIES: dict[str, Change] = {
    "alg none": lambda p, c: unsigned({"alg": "none"}, c),
    "alg None": lambda p, c: unsigned({"alg": "None", "kid": "k1"}, c),
    "alg none with a signature": lambda p, c: unsigned({"alg": "none", "kid": "k1"}, c, "AAAA"),
    "HS256 with the client's secret": lambda p, c: p.sign_shared(c, p.client_secret.encode()),
    "HS256 with the public key": lambda p, c: p.sign_shared(c, public_pem(p)),
    "another key with the same id": lambda p, c: p.sign(c, key=p.other_key),
    "a key in the header": lambda p, c: p.sign(c, key=p.other_key, jwk=p.other_key.as_dict(private=False)),
    "an unknown key": lambda p, c: p.sign(c, kid="k2"),
    "a changed payload": lambda p, c: ".".join([*p.sign({**c, "sub": "1"}).split(".")[:2], p.sign(c).split(".")[2]]),
    "another issuer": with_claims(iss="https://other.example"),
    "another audience": with_claims(aud="somebody"),
    "several audiences and no azp": with_claims(aud=["opaa", "somebody"]),
    "another authorized party": with_claims(azp="somebody"),
    "expired": with_claims(exp=1_700_000_000),
    "from the future": with_claims(iat=4_000_000_000, exp=4_000_000_300),
    "not yet": with_claims(nbf=4_000_000_000),
    "another nonce": with_claims(nonce="x"),
    "another access token": with_claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "a number as subject": with_claims(sub=42),
    "an empty subject": with_claims(sub=""),
    "an endless subject": with_claims(sub="x" * 5000),
    "no nonce": without("nonce"),
    "no subject": without("sub"),
    "no audience": without("aud"),
    "no issuer": without("iss"),
    "no expiry": without("exp"),
    "no time": without("iat"),
    "a logout token": lambda p, c: p.sign({**c, "events": {}}, typ="logout+jwt"),
    "no token at all": lambda p, c: None,
    "a list": lambda p, c: ["x"],
    "garbage": lambda p, c: "a.b.c",
    "nothing": lambda p, c: "",
}


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_token_does_not_log_in(trap: Trap, forgery: str) -> None:
    trap.provider.forge = FORGERIES[forgery]
    browser, location = await trap.log_in()
    assert location == "/login?error=sso-invalid"
    assert "opaa_session" not in browser.cookies
    assert_problem(await browser.get("/api/v1/auth/me"), 401)
    [row] = await audited(trap.api, "login.failed")
    assert (row.actor, row.details["reason"]) == ("anonymous", "invalid")


@pytest.mark.req("SEC-1")
async def test_the_same_without_forgery_logs_in(trap: Trap) -> None:
    browser, location = await trap.log_in()
    assert location == "/"
    assert (await me(browser))["user"]["login"] == "somebody-else"


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"iss": "https://other.example"}, "invalid"),
        ({"iss": None}, "invalid"),  # the provider says that it always sends it
        ({"state": "_another"}, "expired"),
        ({"state": None}, "expired"),
        ({"error": "access_denied"}, "cancelled"),
        ({"error": "server_error"}, "invalid"),
    ],
)
async def test_answers_that_are_not_this_providers_to_this_browser(
    trap: Trap, answer: dict[str, str | None], reason: str
) -> None:
    browser, location = await trap.log_in(**answer)
    assert location == f"/login?error=sso-{reason}"
    assert "opaa_session" not in browser.cookies
    assert "/token" not in trap.provider.requests


@pytest.mark.req("SEC-1")
async def test_a_log_in_begun_at_one_provider_does_not_end_at_another(trap: Trap) -> None:
    browser = trap.api.client()
    begun = await browser.get("/api/v1/auth/sso/corp/start")
    state = trap.provider.began(begun.headers["location"])["state"]
    landed = await browser.get("/api/v1/auth/oidc/other/callback", params={"state": state, "code": "c"})
    assert landed.headers["location"] == "/login?error=sso-invalid"
    assert "/token" not in trap.provider.requests


@pytest.mark.req("SEC-1")
async def test_a_provider_that_contradicts_itself_is_not_believed(trap: Trap) -> None:
    trap.provider.user_info = {"sub": "somebody else"}
    assert (await trap.log_in())[1] == "/login?error=sso-invalid"
    trap.provider.token_answer = {"error": "invalid_grant", "error_description": "<script>alert(1)</script>"}
    assert (await trap.log_in())[1] == "/login?error=sso-invalid"
    trap.api.runtime.sign_on["corp"]._metadata = None
    trap.provider.metadata = {"issuer": "https://other.example"}
    browser = trap.api.client()
    landed = await browser.get("/api/v1/auth/sso/corp/start")
    assert landed.headers["location"] == "/login?error=sso-unavailable"


@pytest.mark.req("SEC-1")
async def test_made_up_key_ids_do_not_make_us_hammer_the_provider(trap: Trap) -> None:
    trap.provider.forge = lambda provider, claims: provider.sign(claims, kid="made up")
    for _ in range(5):
        await trap.log_in()
    assert trap.provider.requests.count("/jwks") <= 2


@pytest.mark.req("SEC-1")
async def test_what_a_provider_says_never_reaches_the_log_or_the_page(
    trap: Trap, capsys: pytest.CaptureFixture[str]
) -> None:
    trap.provider.user_info = {"name": "Eve\r\nSet-Cookie: x=1\u202e", "preferred_username": "eve\r\nX: y"}
    trap.provider.forge = without("preferred_username")
    browser, location = await trap.log_in()
    assert location == "/login?error=sso-refused"
    assert "x" not in browser.cookies
    trap.provider.user_info = {"name": "Eve\r\nSet-Cookie: x=1\u202e", "preferred_username": "eve"}
    browser, _ = await trap.log_in()
    assert (await me(browser))["user"]["display_name"] == "Eve Set-Cookie: x=1"
    printed = capsys.readouterr().out
    assert trap.provider.client_secret not in printed
    assert "\nSet-Cookie" not in printed


LOGOUTS: dict[str, Change] = {
    "alg none": lambda p, c: unsigned({"alg": "none"}, c),
    "another key": lambda p, c: p.sign(c, key=p.other_key),
    "another audience": lambda p, c: p.sign({**c, "aud": "somebody"}),
    "another issuer": lambda p, c: p.sign({**c, "iss": "https://other.example"}),
    "expired": lambda p, c: p.sign({**c, "exp": 1_700_000_000}),
    "a nonce": lambda p, c: p.sign({**c, "nonce": "n"}),
    "no event": lambda p, c: p.sign({**c, "events": {}}),
    "an event that is no object": lambda p, c: p.sign({**c, "events": {next(iter(c["events"])): 1}}),
    "no id": lambda p, c: p.sign({key: value for key, value in c.items() if key != "jti"}),
    "nobody": lambda p, c: p.sign({key: value for key, value in c.items() if key != "sub"}),
    "an ID token": lambda p, c: p.sign(p.claims()),
    "garbage": lambda p, c: "garbage",
}


@pytest.mark.req("SEC-1")
@pytest.mark.parametrize("forgery", LOGOUTS)
async def test_a_forged_logout_token_ends_nothing(trap: Trap, forgery: str) -> None:
    browser, _ = await trap.log_in()
    provider = trap.provider
    assert await trap.log_out(str(LOGOUTS[forgery](provider, provider.logout_claims()))) == 400
    assert (await me(browser))["user"]["login"] == "somebody-else"


@pytest.mark.req("SEC-1")
async def test_a_logout_token_works_once(trap: Trap) -> None:
    browser, _ = await trap.log_in()
    token = trap.provider.sign(trap.provider.logout_claims(), typ="logout+jwt")
    assert await trap.log_out(token) == 200
    assert_problem(await browser.get("/api/v1/auth/me"), 401)
    again, _ = await trap.log_in()
    assert await trap.log_out(token) == 400
    assert (await me(again))["user"]["login"] == "somebody-else"
