"""Log-in at a SAML identity provider of pysaml2 in a process of its own; and responses that must not log anybody in."""

import base64
import html
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from opaa.db.session import Database
from tests.conftest import Tenant
from tests.fakes.oidc_peer import free_port
from tests.fakes.saml_idp import SamlIdp, running
from tests.integration.api.conftest import Api, assert_problem
from tests.integration.identity.conftest import BASE, audited, me, memberships, serving_with, users

SP = f"{BASE}/api/v1/auth/saml/corp"
ACS, ENTITY = f"{SP}/acs", f"{SP}/metadata"
ALICE = {
    "preferred_username": ["alice"],
    "name": ["Alice Example"],
    "email": ["alice@example.org"],
    "groups": ["engineering", "staff"],
}


class Trap:
    """OPAA with a SAML provider, and that provider's means to make any response."""

    def __init__(self, api: Api, idp: SamlIdp) -> None:
        self.api, self.idp = api, idp

    async def begin(self) -> tuple[httpx.AsyncClient, str, str]:
        """A browser on its way to the provider, its request's id, and the relay state."""
        browser = self.api.client()
        begun = await browser.get("/api/v1/auth/sso/corp/start", params={"next": "/documents"})
        assert begun.status_code == 303, begun.text
        assert self.idp.server is not None
        query = parse_qs(urlsplit(begun.headers["location"]).query)
        request = self.idp.server.parse_authn_request(
            query["SAMLRequest"][0], "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
        )
        return browser, str(request.message.id), query["RelayState"][0]

    def response(self, request: str, attributes: dict[str, Any] | None = None, **changes: Any) -> str:
        settings = {"request": request, "acs": ACS, "audience": ENTITY, **changes}
        return self.idp.response(attributes or ALICE, **settings)

    async def bring(self, browser: httpx.AsyncClient, response: str, relay_state: str) -> str:
        """Where the browser ends up with this response."""
        encoded = base64.b64encode(response.encode()).decode()
        # A page of another site posts it, so the cookies stay at home.
        stranger = self.api.client()
        posted = await stranger.post(
            "/api/v1/auth/saml/corp/acs", data={"SAMLResponse": encoded, "RelayState": relay_state}
        )
        assert posted.status_code == 303, posted.text
        for cookie in stranger.cookies.jar:
            browser.cookies.jar.set_cookie(cookie)
        location = str(posted.headers["location"])
        if location.startswith("/login"):
            return location
        return str((await browser.get(location)).headers["location"])


@pytest.fixture
def provider_options() -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saml")


@pytest.fixture
async def trap(
    database: Database, tenant: Tenant, tmp_path: Path, keys: Path, provider_options: dict[str, Any]
) -> AsyncIterator[Trap]:
    metadata = tmp_path / "idp.xml"
    metadata.write_text(SamlIdp("https://idp.example", keys, None).metadata())
    provider = {"kind": "saml", "name": "corp", "label": "Corp", "metadata_file": str(metadata), **provider_options}
    async with serving_with(database, tenant, tmp_path, [provider]) as api:
        published = await api.client().get(f"{SP}/metadata")
        assert published.headers["content-type"].startswith("application/samlmetadata+xml")
        yield Trap(api, SamlIdp("https://idp.example", keys, published.text))


@pytest.mark.req("SEC-2")
async def test_a_log_in_through_a_providers_own_pages(database: Database, tenant: Tenant, tmp_path: Path) -> None:
    idp_base = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "idp.xml").write_text(SamlIdp(idp_base, tmp_path, None).metadata())
    provider = {"kind": "saml", "name": "corp", "metadata_file": str(tmp_path / "idp.xml")}
    async with serving_with(database, tenant, tmp_path, [provider]) as api:
        browser = api.client()
        metadata = (await browser.get("/api/v1/auth/saml/corp/metadata")).text
        with running(idp_base, tmp_path, metadata, {"alice": ALICE}):
            begun = await browser.get("/api/v1/auth/sso/corp/start", params={"next": "/documents"})
            query = parse_qs(urlsplit(begun.headers["location"]).query)
            async with httpx.AsyncClient(base_url=idp_base) as outside:
                form = {name: values[0] for name, values in query.items()}
                page = (await outside.post("/login", data={**form, "login": "alice"})).text
        fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
        posted = await browser.post("/api/v1/auth/saml/corp/acs", data=fields)
        assert posted.headers["location"].startswith("/api/v1/auth/saml/corp/complete?flow=")
        landed = await browser.get(posted.headers["location"])
        assert landed.headers["location"] == "/documents", landed.headers
        found = await me(browser)
        assert (found["user"]["login"], found["user"]["display_name"]) == ("alice", "Alice Example")


@pytest.mark.req("SEC-2")
@pytest.mark.parametrize(
    "provider_options", [{"mapping": {"engineering": {"group": "Engineers", "workspaces": {"Main": "viewer"}}}}]
)
async def test_attributes_become_an_account_with_groups(trap: Trap) -> None:
    for _ in range(2):
        browser, request, relay = await trap.begin()
        assert await trap.bring(browser, trap.response(request), relay) == "/documents"
    found = await me(browser)
    assert [(each["name"], each["role"]) for each in found["workspaces"]] == [("Main", "viewer")]
    assert await memberships(trap.api, (await users(trap.api))["alice"]) == {("Engineers", "provider:corp")}
    assert len(await audited(trap.api, "user.provisioned")) == 1


def segment(xml: str, name: str) -> str:
    """The first element of this local name, as it stands in the text."""
    found = re.search(rf"<(\w+):{name}[ >].*?</\1:{name}>", xml, re.DOTALL)
    assert found is not None, name
    return found[0]


def evil(assertion: str) -> str:
    """The assertion about somebody else, with an id of its own and without its signature."""
    unsigned = assertion.replace(segment(assertion, "Signature"), "")
    return (
        re.sub(r'ID="[^"]+"', 'ID="id-evil"', unsigned, count=1)
        .replace("subject-1", "admin")
        .replace(">alice<", ">admin<")
    )


def parts(xml: str) -> tuple[str, str, str, str]:
    """Assertion, its signature, the response's own signature, and the response without that."""
    assertion = segment(xml, "Assertion")
    outer = segment(xml.replace(assertion, ""), "Signature")
    return assertion, segment(assertion, "Signature"), outer, xml.replace(outer, "")


def inside(xml: str, addition: str, end: str) -> str:
    """`addition` put before the last end tag of this local name."""
    places = list(re.finditer(rf"</\w+:{end}>", xml))
    return xml[: places[-1].start()] + addition + xml[places[-1].start() :]


def undeclared(xml: str) -> str:
    return re.sub(r"^<\?xml.*?\?>\s*", "", xml)


def xsw1(xml: str) -> str:
    """The original response inside the signature of a forged one."""
    assertion, _, outer, bare = parts(undeclared(xml))
    forged = re.sub(r'ID="[^"]+"', 'ID="id-forged"', bare, count=1).replace(assertion, evil(assertion))
    return forged.replace("<ns0:Status>", inside(outer, bare, "Signature") + "<ns0:Status>", 1)


def xsw2(xml: str) -> str:
    """The original response before the signature of a forged one."""
    assertion, _, outer, bare = parts(undeclared(xml))
    forged = re.sub(r'ID="[^"]+"', 'ID="id-forged"', bare, count=1).replace(assertion, evil(assertion))
    return forged.replace("<ns0:Status>", bare + outer + "<ns0:Status>", 1)


def xsw3(xml: str) -> str:
    assertion = parts(xml)[0]
    return xml.replace(assertion, evil(assertion) + assertion)


def xsw4(xml: str) -> str:
    assertion = parts(xml)[0]
    return xml.replace(assertion, inside(evil(assertion), assertion, "Assertion"))


def xsw5(xml: str) -> str:
    assertion, signature, _, _ = parts(xml)
    changed = re.sub(r'ID="[^"]+"', 'ID="id-evil"', assertion, count=1).replace("subject-1", "admin")
    return xml.replace(assertion, changed + assertion.replace(signature, ""))


def xsw6(xml: str) -> str:
    assertion, signature, _, _ = parts(xml)
    changed = re.sub(r'ID="[^"]+"', 'ID="id-evil"', assertion, count=1).replace("subject-1", "admin")
    return xml.replace(
        assertion, changed.replace(signature, inside(signature, assertion.replace(signature, ""), "Signature"))
    )


def xsw7(xml: str) -> str:
    assertion = parts(xml)[0]
    return xml.replace(assertion, f"<ns0:Extensions>{evil(assertion)}</ns0:Extensions>{assertion}")


def xsw8(xml: str) -> str:
    assertion, signature, _, _ = parts(xml)
    wrapped = inside(signature, f"<ns2:Object>{assertion.replace(signature, '')}</ns2:Object>", "Signature")
    return xml.replace(assertion, evil(assertion).replace("</ns1:Issuer>", "</ns1:Issuer>" + wrapped, 1))


def edited(old: str, new: str) -> Callable[[str], str]:
    def change(xml: str) -> str:
        assert old in xml, (old, xml)
        return xml.replace(old, new)

    return change


def times(**attributes: str) -> Callable[[str], str]:
    """The signature does not fit any more either; the unsigned checks are tested by `moved` below."""

    def change(xml: str) -> str:
        for name, value in attributes.items():
            xml = re.sub(rf'{name}="[^"]+"', f'{name}="{value}"', xml)
        return xml

    return change


def swapped(xml: str) -> str:
    _, inner, outer, _ = parts(xml)
    return xml.replace(inner, "@").replace(outer, inner).replace("@", outer)


TAMPERED: dict[str, Callable[[str], str]] = {
    "XSW 1": xsw1,
    "XSW 2": xsw2,
    "XSW 3": xsw3,
    "XSW 4": xsw4,
    "XSW 5": xsw5,
    "XSW 6": xsw6,
    "XSW 7": xsw7,
    "XSW 8": xsw8,
    "a comment in the name": edited("subject-1", "subject<!-- x -->-1"),
    "a comment after the name": edited("subject-1", "admin<!-- x -->subject-1"),
    "CDATA": edited("subject-1", "<![CDATA[subject-1]]>"),
    "a document type": lambda xml: '<!DOCTYPE r [<!ENTITY e "x">]>' + undeclared(xml),
    "an outside entity": lambda xml: '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    + undeclared(xml).replace("subject-1", "&e;"),
    "an instruction": edited("subject-1", "<?x y?>subject-1"),
    "two assertions": lambda xml: xml.replace(segment(xml, "Assertion"), segment(xml, "Assertion") * 2),
    "another name": edited("subject-1", "admin"),
    "another attribute": edited(">alice<", ">admin<"),
    "the response's signature removed": lambda xml: parts(xml)[3],
    "the assertion's signature removed": lambda xml: xml.replace(parts(xml)[1], ""),
    "both signatures removed": lambda xml: parts(xml)[3].replace(parts(xml)[1], ""),
    "the signatures swapped": swapped,
    "a longer life": times(NotOnOrAfter="2099-01-01T00:00:00Z"),
    "another request": edited('InResponseTo="', 'InResponseTo="x'),
    "an empty signature value": lambda xml: re.sub(r"(SignatureValue>)[^<]+", r"\1", xml),
    "a weak algorithm": edited("xmldsig-more#rsa-sha256", "xmldsig#rsa-sha1"),
    "a shared secret": edited("2001/04/xmldsig-more#rsa-sha256", "2000/09/xmldsig#hmac-sha1"),
    "another canonical form": edited("xml-exc-c14n#", "xml-exc-c14n#WithComments"),
    "an XPath transform": lambda xml: xml.replace("2000/09/xmldsig#enveloped-signature", "TR/1999/REC-xpath-19991116"),
    "no XML": lambda xml: "hello",
    "another root": lambda xml: "<a/>",
    "a billion laughs": lambda xml: '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>',
    "deep": lambda xml: "<a>" * 20_000 + "</a>" * 20_000,
    "UTF-7": lambda xml: '<?xml version="1.0" encoding="utf-7"?>' + undeclared(xml),
}  # fmt: skip


@pytest.mark.req("SEC-2")
@pytest.mark.parametrize("name", TAMPERED)
async def test_a_response_that_was_tampered_with_logs_nobody_in(trap: Trap, name: str) -> None:
    browser, request, relay = await trap.begin()
    tampered = TAMPERED[name](trap.response(request))
    assert await trap.bring(browser, tampered, relay) == "/login?error=sso-invalid"
    assert "opaa_session" not in browser.cookies
    assert_problem(await browser.get("/api/v1/auth/me"), 401)
    [row] = await audited(trap.api, "login.failed")
    assert row.details["reason"] == "invalid"


@pytest.mark.req("SEC-2")
@pytest.mark.parametrize(
    "changes",
    [
        {"sign_response": False},
        {"sign_assertion": False},
        {"acs": "http://opaa.test/api/v1/auth/saml/other/acs"},
        {"subject": ""},
        {"name_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"},
        {"sign_alg": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"},
        {"digest_alg": "http://www.w3.org/2000/09/xmldsig#sha1"},
    ],
    ids=str,
)
async def test_a_response_that_the_provider_itself_should_not_have_made(trap: Trap, changes: dict[str, Any]) -> None:
    browser, request, relay = await trap.begin()
    assert await trap.bring(browser, trap.response(request, **changes), relay) == "/login?error=sso-invalid"


@pytest.mark.req("SEC-2")
async def test_somebody_elses_key_does_not_do(trap: Trap, keys: Path) -> None:
    assert trap.idp.server is not None
    forger = SamlIdp("https://idp.example", keys, (await trap.api.client().get(f"{SP}/metadata")).text, key="forger")
    browser, request, relay = await trap.begin()
    response = forger.response(ALICE, request=request, acs=ACS, audience=ENTITY)
    assert await trap.bring(browser, response, relay) == "/login?error=sso-invalid"
    metadata = (await trap.api.client().get(f"{SP}/metadata")).text
    other = SamlIdp("https://other.example", keys, metadata)
    response = other.response(ALICE, request=request, acs=ACS, audience=ENTITY)
    assert await trap.bring(browser, response, relay) == "/login?error=sso-invalid"
    somebody = SamlIdp(
        "https://idp.example", keys, metadata.replace(f'entityID="{ENTITY}"', 'entityID="https://sp.example"')
    )
    response = somebody.response(ALICE, request=request, acs=ACS, audience="https://sp.example")
    assert await trap.bring(browser, response, relay) == "/login?error=sso-invalid"


@pytest.mark.req("SEC-2")
@pytest.mark.parametrize(("shift", "ends"), [(-30, "/documents"), (30, "/documents"), (-900, None), (900, None)])
async def test_the_time_window_with_a_minute_of_skew(
    trap: Trap, monkeypatch: pytest.MonkeyPatch, shift: int, ends: str | None
) -> None:
    """The provider's clock goes ahead or behind by so many seconds; its responses live five minutes."""
    from saml2 import time_util

    browser, request, relay = await trap.begin()
    moved = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=shift)
    with monkeypatch.context() as patch:
        patch.setattr(time_util, "time_in_a_while", lambda **span: moved + timedelta(**span))
        patch.setattr(time_util, "utc_now", lambda: 0)

        def instant(format: str | None = None, time_stamp: float = 0) -> str:
            return moved.strftime("%Y-%m-%dT%H:%M:%SZ")

        for module in ("saml2.assertion", "saml2.s_utils", "saml2.response", "saml2.entity", "saml2.server"):
            patch.setattr(f"{module}.instant", instant, raising=False)

        def in_a_while(format: str | None = None, **span: float) -> str:
            return (moved + timedelta(**span)).strftime("%Y-%m-%dT%H:%M:%SZ")

        patch.setattr("saml2.assertion.in_a_while", in_a_while)
        response = trap.response(request)
    assert moved.strftime("%Y-%m-%dT%H:%M") in response
    assert await trap.bring(browser, response, relay) == (ends or "/login?error=sso-invalid")


@pytest.mark.req("SEC-2")
async def test_a_response_works_once_and_in_the_browser_that_asked(trap: Trap) -> None:
    browser, request, relay = await trap.begin()
    response = trap.response(request)
    stranger, _, strange_relay = await trap.begin()
    assert await trap.bring(stranger, response, strange_relay) == "/login?error=sso-expired"  # log-in CSRF
    assert await trap.bring(browser, response, relay) == "/login?error=sso-expired"  # it was used up by that
    browser, request, relay = await trap.begin()
    response = trap.response(request)
    assert await trap.bring(browser, response, relay) == "/documents"
    assert await trap.bring(browser, response, relay) == "/login?error=sso-expired"
    unasked = trap.api.client()
    assert await trap.bring(unasked, trap.response("_never"), "x") == "/login?error=sso-expired"


@pytest.mark.req("SEC-2")
async def test_a_provider_that_refuses_is_told_from_one_that_lies(trap: Trap) -> None:
    browser, request, relay = await trap.begin()
    assert trap.idp.server is not None
    from saml2.s_utils import UnknownPrincipal

    refusal = str(trap.idp.server.create_error_response(request, ACS, UnknownPrincipal("no"), sign=True))
    assert await trap.bring(browser, refusal, relay) == "/login?error=sso-invalid"
    declined = refusal.replace("status:UnknownPrincipal", "status:AuthnFailed")
    assert await trap.bring(browser, declined, relay) == "/login?error=sso-cancelled"
