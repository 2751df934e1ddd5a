"""A real browser that reports whatever a careful person would complain about."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.e2e.installation import Installation

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    # Whatever tries to leave this machine fails, and is seen as a failed request to another host.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE 127.0.0.2",
]
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
"""
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
TIMEOUT_MS = 20_000
# Until somebody has logged in, asking who it is fails, and the browser says so.
EXPECTED_FAILURES = {"/api/v1/auth/me": 401, "/api/v1/auth/login": 401}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert path is not None, "Chromium is missing: `make setup` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody in front of the web UI of one installation."""

    page: Page
    installation: Installation
    expected_failures: dict[str, int] = field(default_factory=lambda: dict(EXPECTED_FAILURES))
    complaints: list[str] = field(default_factory=list)
    other_hosts: tuple[str, ...] = ()  # whose pages a test visits on purpose

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        url = message.location.get("url", "")
        if self.other_hosts and url.startswith(self.other_hosts):
            return
        path = urlsplit(url).path
        status = self.expected_failures.get(path)
        if status is None or f"status of {status}" not in message.text:
            self.complaints.append(f"console {message.type}: {message.text} {path}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.installation.url + "/", "data:", "blob:", *self.other_hosts)):
            self.complaints.append(f"request to another host: {request.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.installation.url + path)

    def log_in(self) -> None:
        self.open("/")
        self.page.get_by_label("Login").fill(self.installation.login)
        self.page.get_by_label("Password", exact=True).fill(self.installation.password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_label("Your question")).to_be_visible()

    def begin(self) -> None:
        """Goes to where a new conversation begins."""
        self.follow_link("New question")
        expect(self.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()

    def ask(self, question: str) -> None:
        """Asks, and waits until the answer is complete."""
        turns = self.page.get_by_role("article").filter(has=self.page.get_by_label("Copy the answer"))
        before = turns.count()
        self.page.get_by_label("Your question").fill(question)
        self.page.keyboard.press("Enter")
        expect(turns).to_have_count(before + 1)

    @property
    def answer(self) -> Any:
        """The newest answer."""
        return self.page.get_by_role("region", name="Answer").last

    def follow_link(self, name: str) -> None:
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()

    def fits_the_window(self) -> bool:
        """Whether nothing has to be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def accessibility_problems(self) -> list[str]:
        """What axe-core finds on the page as it is that is serious or worse, by the rules of WCAG 2.2 AA."""
        self.page.evaluate(AXE.read_text(encoding="utf-8") + "\n;undefined")
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = self.page.evaluate("(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
        return [
            f"{problem['id']}: {problem['help']}: {node['html'][:200]}"
            for problem in found["violations"]
            if problem["impact"] in {"serious", "critical"}
            for node in problem["nodes"]
        ]


@contextmanager
def visit(browser: Browser, installation: Installation, **options: Any) -> Iterator[Visitor]:
    """A visitor with a fresh profile, who must have had nothing to complain about in the end."""
    context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(REPORT_VIOLATIONS)
    expect.set_options(timeout=TIMEOUT_MS)
    try:
        visitor = Visitor(context.new_page(), installation)
        yield visitor
        assert not visitor.complaints, "\n".join(visitor.complaints)
    finally:
        context.close()
