"""An administrator brings somebody in, puts them into a group, and looks at the audit log; in the browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browser import DESKTOP, PHONE, visit
from tests.e2e.installation import Installation, running

pytestmark = [pytest.mark.slow]
PASSWORD = "a fresh pass phrase"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running(tmp_path_factory.mktemp("administration") / "data") as installation:
        yield installation


@pytest.mark.req("SEC-3", "SEC-5", "SEC-8", "WEB-3")
def test_somebody_comes_in_by_a_link_and_all_of_it_is_recorded(browser: Browser, installation: Installation) -> None:
    with visit(browser, installation) as visitor:
        page = visitor.page
        visitor.log_in()
        visitor.follow_link("Administration")
        page.get_by_role("button", name="Add a person").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Login").fill("ada@example.org")
        dialog.get_by_label("Name").fill("Ada")
        dialog.get_by_role("button", name="Add", exact=True).click()
        link = page.get_by_role("dialog").locator("pre")
        expect(link).to_contain_text("/reset#")
        address = link.inner_text()
        page.get_by_role("button", name="Close").last.click()
        expect(page.get_by_role("cell", name="ada@example.org", exact=True)).to_be_visible()

        with visit(browser, installation) as newcomer:
            newcomer.page.goto(address)
            newcomer.page.get_by_label("New password", exact=True).fill(PASSWORD)
            newcomer.page.get_by_label("New password, again").fill(PASSWORD + "x")
            newcomer.page.get_by_role("button", name="Set password").click()
            expect(newcomer.page.get_by_role("alert")).to_contain_text("not the same")
            newcomer.page.get_by_label("New password, again").fill(PASSWORD)
            newcomer.page.get_by_role("button", name="Set password").click()
            expect(newcomer.page.get_by_role("status")).to_contain_text("Your password is set")
            newcomer.page.get_by_role("link", name="Log in").click()
            newcomer.page.get_by_label("Login").fill("ada@example.org")
            newcomer.page.get_by_label("Password", exact=True).fill(PASSWORD)
            newcomer.page.get_by_role("button", name="Log in").click()
            expect(newcomer.page.get_by_label("Your question")).to_be_visible()
            # Nothing to administer for a member.
            expect(newcomer.page.get_by_role("link", name="Administration")).to_have_count(0)

        page.get_by_role("tab", name="Groups").click()
        page.get_by_label("Name of a new group").fill("Payroll")
        page.get_by_role("button", name="Create").click()
        page.get_by_role("button", name="0 members of Payroll").click()
        page.get_by_role("combobox", name="Add somebody").fill("ada")
        page.get_by_role("option", name="Ada · ada@example.org").click()
        expect(page.get_by_role("button", name="Remove ada@example.org")).to_be_visible()
        page.keyboard.press("Escape")

        page.get_by_role("tab", name="Audit log").click()
        page.get_by_label("Action").fill("group.*")
        expect(page.get_by_role("cell", name="group.member-added")).to_be_visible()
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_role("status").filter(has_text="Intact")).to_be_visible()


@pytest.mark.req("WEB-3", "WEB-4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_administration_is_accessible(browser: Browser, installation: Installation, scheme: str, size: str) -> None:
    viewport = PHONE if size == "phone" else DESKTOP
    with visit(browser, installation, viewport=viewport, color_scheme=scheme) as visitor:
        visitor.log_in()
        for tab, sign in (("people", "Search people"), ("groups", "Name of a new group"), ("audit", "Actor")):
            visitor.open(f"/admin/{tab}")
            expect(visitor.page.get_by_label(sign)).to_be_visible()
            if tab != "groups":
                expect(visitor.page.get_by_role("table")).to_be_visible()
            if pictures := os.environ.get("PICTURES_TO"):
                visitor.page.screenshot(path=Path(pictures) / f"admin-{tab}-{scheme}-{size}.png")
            assert visitor.accessibility_problems() == []
            assert visitor.fits_the_window()
