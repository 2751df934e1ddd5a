"""Who may do and read what, in the browser: workspaces, tokens, service accounts, sessions, permissions."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import DESKTOP, PHONE, Visitor, visit
from tests.e2e.installation import Installation, running

pytestmark = [pytest.mark.slow]
MEMO = "# Bees\n\nThe bees of the observatory make 40 kilograms of honey a year.\n"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("access")
    files = folder / "files"
    files.mkdir()
    (files / "bees.md").write_text(MEMO)
    with running(folder / "data") as installation:
        installation.index("Garden", files)
        yield installation


@pytest.fixture
def visitor(browser: Browser, installation: Installation) -> Iterator[Visitor]:
    with visit(browser, installation) as visitor:
        visitor.log_in()
        yield visitor


def account(visitor: Visitor, item: str) -> None:
    visitor.page.get_by_role("button", name="Account").click()
    visitor.page.get_by_role("menuitem", name=item).click()


def tab(visitor: Visitor, name: str) -> None:
    visitor.follow_link("Administration")
    visitor.page.get_by_role("tab", name=name).click()


def choose(visitor: Visitor, label: str, typed: str, option: str) -> None:
    field = visitor.page.get_by_label(label, exact=True).first
    field.fill(typed)
    visitor.page.get_by_role("option", name=option).click()


@pytest.mark.req("SEC-4", "WEB-3")
def test_a_token_is_made_shown_once_rotated_and_revoked(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    account(visitor, "API tokens")
    expect(page.get_by_text("There is no token")).to_be_visible()
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("nightly")
    dialog.get_by_label("Only from these networks").fill("10.0.0.1/8")
    visitor.expected_failures["/api/v1/tokens"] = 422
    dialog.get_by_role("button", name="New token").click()
    expect(dialog.get_by_role("alert")).to_be_visible()  # that is no network
    dialog.get_by_label("Only from these networks").fill("127.0.0.0/8")
    dialog.get_by_role("button", name="New token").click()
    made = page.get_by_role("dialog", name="Your token").locator("pre")
    token = made.inner_text()
    page.get_by_role("dialog", name="Your token").get_by_role("button", name="Close").last.click()

    def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{installation.url}/api/v1/search?q=honey", headers=headers).status_code

    assert status(token) == 200
    page.get_by_role("button", name="Rotate nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate", exact=True).click()
    expect(made).not_to_have_text(token)
    rotated = made.inner_text()
    page.get_by_role("dialog", name="Your token").get_by_role("button", name="Close").last.click()
    assert (status(token), status(rotated)) == (200, 200)
    assert visitor.accessibility_problems() == []
    page.get_by_role("button", name="Revoke nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("There is no token")).to_be_visible()
    assert (status(token), status(rotated)) == (401, 401)


@pytest.mark.req("SEC-3", "WEB-3")
def test_sessions_end_and_two_step_log_in_begins(
    browser: Browser, visitor: Visitor, installation: Installation
) -> None:
    page = visitor.page
    with visit(browser, installation) as other:
        other.log_in()
        account(visitor, "Sessions and two-step log-in")
        page.get_by_role("button", name="Log out here: 127.0.0.1").first.click()
        other.expected_failures["/api/v1/conversations"] = 401
        other.page.reload()
        expect(other.page.get_by_label("Login")).to_be_visible()
    page.get_by_role("button", name="Set up").click()
    secret = page.locator("pre").first.inner_text()
    visitor.expected_failures["/api/v1/two-step/confirm"] = 422
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Switch on").click()
    codes = page.get_by_role("dialog", name="Recovery codes").locator("pre").inner_text().split()
    assert len(codes) == 10
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    expect(page.get_by_text("Two-step log-in is on.")).to_be_visible()
    assert visitor.accessibility_problems() == []
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("Two-step log-in is off.")).to_be_visible()


def make_and_remove_rules(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("button", name="Rules of Garden").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tag of a new rule").fill("secret")
    dialog.get_by_role("button", name="Add rule").click()
    choose(visitor, "Let somebody read secret", "ada", "ada")
    dialog.get_by_role("button", name="Take Garden away").click()
    expect(dialog.get_by_role("button", name="Take Garden away")).to_have_count(0)
    dialog.get_by_label("Tag of a new rule").fill("open")
    dialog.get_by_role("button", name="Add rule").click()
    dialog.get_by_role("button", name="Move open up").click()
    expect(dialog.get_by_role("button", name="Move secret up")).to_be_visible()
    assert visitor.accessibility_problems() == []
    picture(visitor, "rules")
    for tag in ("open", "secret"):
        dialog.get_by_role("button", name=f"Remove rule {tag}").click()
    expect(dialog.get_by_text("There is no rule")).to_be_visible()
    page.keyboard.press("Escape")


@pytest.mark.req("SEC-5", "SEC-6", "WEB-3")
def test_a_workspace_gets_members_and_a_document_readers(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    with installation.client() as client:
        for login in ("ada", "bob", "carol"):
            client.post("users", json={"login": login}).raise_for_status()
    tab(visitor, "Workspaces")
    page.get_by_label("Name of a new workspace").fill("Attic")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Members of Garden").click()
    choose(visitor, "Add a person or group", "ada", "ada")
    expect(page.get_by_label("Role of ada").first).to_have_value("viewer")
    choose(visitor, "Add a person or group", "bob", "bob")
    expect(page.get_by_label("Role of bob").first).to_be_visible()
    assert visitor.accessibility_problems() == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Members of Attic").click()
    page.get_by_label("Delete workspace").fill("Attic")
    page.get_by_role("dialog").get_by_role("button", name="Delete workspace").click()
    expect(page.get_by_role("button", name="Members of Attic")).to_have_count(0)

    make_and_remove_rules(visitor)

    visitor.follow_link("Documents")
    page.get_by_role("link", name="Bees").click()
    panel = page.get_by_role("region", name="Who may read this")
    expect(panel.get_by_text("by its source")).to_be_visible()
    choose(visitor, "Let somebody read it", "ada", "ada")
    expect(panel.get_by_text("set here")).to_be_visible()
    choose(visitor, "Let somebody read it", "bob", "bob")
    panel.get_by_role("button", name="Take bob away").click()
    page.get_by_role("dialog").get_by_role("button", name="Take bob away").click()
    expect(panel.get_by_role("button", name="Take bob away")).to_have_count(0)
    assert visitor.accessibility_problems() == []
    for login, allowed, reason in (
        ("ada", True, "That names the person."),
        ("carol", False, "is not in the workspace Garden"),
    ):
        panel.get_by_label("Login of the person").fill(login)
        panel.get_by_role("button", name="Explain").click()
        expect(panel.get_by_text("Can read it" if allowed else "Cannot read it")).to_be_visible()
        expect(panel.get_by_text(reason)).to_be_visible()
    picture(visitor, "permissions")
    panel.get_by_role("button", name="As the source and the tags say").click()
    expect(panel.get_by_text("by its source")).to_be_visible()


@pytest.mark.req("SEC-4", "WEB-3")
def test_a_service_account_gets_a_token(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    tab(visitor, "Service accounts")
    page.get_by_label("Login of a new service account").fill("crawler")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Tokens of crawler").click()
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog", name="New token")
    dialog.get_by_label("Name", exact=True).fill("crawl")
    dialog.get_by_role("button", name="New token").click()
    shown = page.get_by_role("dialog", name="Your token")
    headers = {"Authorization": f"Bearer {shown.locator('pre').inner_text()}"}
    assert httpx.get(f"{installation.url}/api/v1/auth/me", headers=headers).json()["user"]["login"] == "crawler"
    shown.get_by_role("button", name="Close").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Close").first.click()
    page.get_by_role("button", name="Delete crawler").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("There is no service account yet")).to_be_visible()
    assert httpx.get(f"{installation.url}/api/v1/auth/me", headers=headers).status_code == 401


@pytest.mark.req("WEB-3", "WEB-4")
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_each_page_is_accessible_and_fits(browser: Browser, installation: Installation, size: dict[str, int]) -> None:
    with visit(browser, installation, viewport=size) as visitor:
        visitor.log_in()
        for path in (
            "account/security", "account/tokens", "admin/people", "admin/groups", "admin/workspaces", "admin/services",
            "admin/explain", "admin/audit", "admin/organization",
        ):  # fmt: skip
            visitor.open(f"/{path}")
            expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
            visitor.page.wait_for_load_state("networkidle")
            assert visitor.accessibility_problems() == [], path
            assert visitor.fits_the_window(), path
            picture(visitor, f"{path.replace('/', '-')}-{size['width']}")


def picture(visitor: Visitor, name: str) -> None:
    """Kept where PICTURES_TO says, for people to look at."""
    if folder := os.environ.get("PICTURES_TO"):
        visitor.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
