"""Log-in at an OpenID Connect and at a SAML provider, in the browser; both are processes on another site than OPAA."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import visit
from tests.e2e.installation import Installation, running
from tests.fakes import oidc_peer, saml_idp
from tests.fakes.oidc_peer import CLIENT_ID, CLIENT_SECRET, OidcPeer, free_port

pytestmark = [pytest.mark.slow]
# Another site for a browser, so that cookies of OPAA are not sent along with what these pages post.
OTHER_SITE = "127.0.0.2"
FONT = "https://fonts.googleapis.com/"  # the provider's own page asks for it, in vain
ACCOUNTS = {
    "alice": {
        "name": "Alice Example",
        "preferred_username": "alice",
        "email": "alice@example.org",
        "email_verified": True,
        "groups": ["engineering"],
    }
}
BOB = {"preferred_username": ["bob"], "name": ["Bob Example"], "groups": ["engineering"]}


@dataclass
class Site:
    installation: Installation
    oidc: str
    saml: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("single-sign-on")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    saml_base = f"http://{OTHER_SITE}:{free_port()}"
    peer = OidcPeer(folder, f"{base}/api/v1/auth/oidc/corp/callback", ACCOUNTS, host=OTHER_SITE)
    (folder / "idp.xml").write_text(saml_idp.SamlIdp(saml_base, folder, None).metadata())
    mapping = {"engineering": {"group": "Engineers", "workspaces": {"Handbook": "viewer"}}}
    providers = [
        {
            "kind": "oidc",
            "name": "corp",
            "label": "Example Corp",
            "issuer": peer.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "mapping": mapping,
        },
        {
            "kind": "saml",
            "name": "works",
            "label": "Works",
            "metadata_file": str(folder / "idp.xml"),
            "mapping": mapping,
        },
    ]
    environment = {"OPAA_PUBLIC_URL": base, "OPAA_IDENTITY_PROVIDERS": json.dumps(providers)}
    with oidc_peer.running(peer), running(folder / "data", environment, port) as installation:
        files = folder / "handbook"
        files.mkdir()
        (files / "leave.md").write_text("# Leave\n\nEverybody has 30 days of leave a year.\n")
        installation.index("Handbook", files)
        metadata = httpx.get(f"{base}/api/v1/auth/saml/works/metadata").text
        with saml_idp.running(saml_base, folder, metadata, {"bob": BOB}):
            yield Site(installation, peer.issuer, saml_base)


@pytest.mark.req("SEC-1")
def test_openid_connect(browser: Browser, site: Site) -> None:
    with visit(browser, site.installation) as visitor:
        visitor.other_hosts = (site.oidc, FONT)
        page = visitor.page
        visitor.open("/documents?q=leave")
        expect(page.get_by_role("link", name="Log in with Works")).to_be_visible()
        assert visitor.accessibility_problems() == []
        page.get_by_role("link", name="Log in with Example Corp").click()
        page.locator("input[name=login]").fill("alice")
        page.locator("input[name=password]").fill("anything")
        page.get_by_role("button", name="Sign-in").click()
        page.get_by_role("button", name="Continue").click()
        page.wait_for_url(site.installation.url + "/documents?q=leave")  # where one wanted to go
        expect(page.get_by_role("link", name="Leave")).to_be_visible()  # by the group's role in the workspace
        visitor.begin()
        visitor.ask("How many days of leave?")
        expect(visitor.answer).to_contain_text("30 days")
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies(site.installation.url)}
        assert cookies["opaa_session"]["httpOnly"] and cookies["opaa_session"]["sameSite"] == "Lax"


@pytest.mark.req("SEC-1")
def test_openid_connect_cancelled(browser: Browser, site: Site) -> None:
    with visit(browser, site.installation) as visitor:
        visitor.other_hosts = (site.oidc, FONT)
        page = visitor.page
        visitor.open("/")
        page.get_by_role("link", name="Log in with Example Corp").click()
        page.get_by_role("link", name="Cancel").click()
        page.wait_for_url(site.installation.url + "/login?error=sso-cancelled")
        expect(page.get_by_role("alert")).to_contain_text("You did not log in")
        page.get_by_label("Login").fill("admin")
        page.get_by_label("Password", exact=True).fill(site.installation.password)
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_label("Your question")).to_be_visible()
        assert "error" not in page.url


@pytest.mark.req("SEC-2")
def test_saml(browser: Browser, site: Site) -> None:
    with visit(browser, site.installation) as visitor:
        visitor.other_hosts = (site.saml,)
        page = visitor.page
        visitor.open("/documents")
        page.get_by_role("link", name="Log in with Works").click()
        page.locator("input[name=login]").fill("bob")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(site.installation.url + "/documents")
        expect(page.get_by_role("link", name="Leave")).to_be_visible()
        left = {cookie["name"] for cookie in page.context.cookies(site.installation.url + "/api/v1/auth/")}
        assert left == {"opaa_session"}
