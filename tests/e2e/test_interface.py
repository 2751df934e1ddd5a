"""The web UI in everybody's circumstances: while an answer streams, in the dark, on a phone, by keyboard alone."""

import json
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browser import PHONE, Visitor, visit
from tests.e2e.installation import Installation, running
from tests.fakes.openai_server import Chat, Failure, FakeOpenAI

SEAL = "The seal of the dome is greased every six weeks with lithium grease."
DOME = f"""\
---
owner: Mira Okafor
---
# Dome maintenance

{"The dome turns on rails. " * 60}

## Seals

{SEAL} A worn seal is replaced by two people.

| Part | Interval |
| --- | --- |
| A very long name of a part that does not fit on a telephone | every-six-weeks-and-after-each-storm-without-exception |
"""
GERMAN = """\
# Notstrom

Das Notstromaggregat wird jeden ersten Montag im Monat für zwanzig Minuten probeweise gestartet.
"""
PAGES = {
    "ask": ("/", "Your question"),
    "documents": ("/documents", "Filter by title or file name"),
    "sources": ("/sources", "Actions for Observatory"),
}

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def model() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as model:
        model.chat = Chat(text="It is greased every six weeks [1].")
        yield model


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, model: FakeOpenAI) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("interface")
    documents = folder / "documents"
    documents.mkdir()
    (documents / "dome-maintenance.md").write_text(DOME, encoding="utf-8")
    (documents / "notstrom.md").write_text(GERMAN, encoding="utf-8")
    environment = {
        "LLM_PROVIDER": "openai",
        "LLM_API_BASE": model.base_url,
        "LLM_API_KEY": model.api_key,
        "LLM_MODEL": "fake-model",
    }
    with running(folder / "data", environment) as installation:
        installation.index("Observatory", documents)
        yield installation


@pytest.fixture(scope="module")
def logged_in(browser: Browser, installation: Installation) -> dict[str, object]:
    """The cookies of a log-in, so that not each test types the password."""
    with visit(browser, installation) as visitor:
        visitor.log_in()
        state = visitor.page.context.storage_state()
    return {"cookies": state["cookies"], "origins": state["origins"]}


@pytest.fixture
def visitor(browser: Browser, installation: Installation, logged_in: dict[str, object]) -> Iterator[Visitor]:
    with visit(browser, installation, storage_state=logged_in) as visitor:
        yield visitor


@pytest.mark.req("WEB-1")
def test_an_answer_is_read_while_it_is_written_and_stopped_with_escape(visitor: Visitor, model: FakeOpenAI) -> None:
    model.chat_replies.append(Chat(text="Grease the seal every six weeks [1] and do not forget it.", stall_after=8))
    page = visitor.page
    visitor.open("/")
    page.get_by_label("Your question").fill("How often is the seal greased?")
    page.keyboard.press("Enter")
    # The model stays silent after these words: whoever waits for the end never sees them.
    expect(visitor.answer).to_contain_text("Grease the seal every six weeks")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    assert visitor.answer.get_attribute("aria-busy") == "true"
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(visitor.answer).to_contain_text("Grease the seal every six weeks")
    assert model.disconnected.wait(10), "the call to the model goes on"


@pytest.mark.req("WEB-1")
def test_a_failing_model_still_leaves_an_answer_that_says_so(visitor: Visitor, model: FakeOpenAI) -> None:
    model.chat_replies.extend([Failure(503)] * 6)
    visitor.open("/")
    visitor.ask("How often is the seal greased?")
    model.chat_replies.clear()
    expect(visitor.page.get_by_role("alert").filter(has_text="Limited answer")).to_be_visible()
    expect(visitor.answer).to_contain_text(SEAL)
    assert visitor.accessibility_problems() == []


@pytest.mark.req("SEC-12")
def test_what_a_model_writes_is_text(visitor: Visitor, model: FakeOpenAI) -> None:
    hostile = (
        "Fine [1]. <img src=x onerror=document.body.remove()> ![pixel](http://192.0.2.1/p.png) "
        "[click](javascript:document.body.remove()) <script>document.body.remove()</script> [99]"
    )
    model.chat_replies.append(Chat(text=hostile))
    visitor.open("/")
    visitor.ask("How often is the seal greased?")
    expect(visitor.answer.get_by_role("button", name="Dome maintenance")).to_be_visible()
    assert visitor.answer.locator("img, script, a[href^='javascript']").count() == 0
    expect(visitor.page.get_by_text("1 unverifiable references were removed.")).to_be_visible()


@pytest.mark.req("WEB-4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_every_page_is_accessible(
    browser: Browser, installation: Installation, logged_in: dict[str, object], scheme: str, viewport: str
) -> None:
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True} if viewport == "phone" else {}
    with visit(browser, installation, storage_state=logged_in, color_scheme=scheme, **phone) as visitor:
        page = visitor.page
        found: list[str] = []
        for name, (path, label) in PAGES.items():
            visitor.open(path)
            expect(page.get_by_label(label, exact=True)).to_be_visible()
            found += _complaints(visitor, name)
        page.goto(installation.url + "/")
        visitor.ask("How often is the seal greased?")
        visitor.answer.get_by_role("button", name="Dome maintenance").first.click()
        expect(page.get_by_test_id("quote")).to_be_in_viewport()
        found += _complaints(visitor, "passage")
        page.get_by_role("link", name="Open the document").click()
        expect(page.locator("mark")).to_be_in_viewport()
        found += _complaints(visitor, "document")
        page.context.clear_cookies()
        visitor.open("/")
        expect(page.get_by_label("Login")).to_be_visible()
        found += _complaints(visitor, "log-in")
        assert not found, "\n".join(found)


def _complaints(visitor: Visitor, name: str) -> list[str]:
    problems = visitor.accessibility_problems()
    if not visitor.fits_the_window():
        problems.append("scrolls sideways")
    return [f"{name}: {problem}" for problem in problems]


@pytest.mark.req("WEB-4")
def test_dark_mode_is_chosen_and_stays(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/")
    light = _brightness(page)
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    assert _brightness(page) < 100 < light
    page.reload()
    expect(page.get_by_label("Your question")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


def _brightness(page: Page) -> float:
    color = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)")
    return float(sum(color)) / 3


@pytest.mark.req("WEB-4")
def test_german_is_chosen_and_stays(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open("/sources")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Quellen", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Quellen", exact=True)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "de")


@pytest.mark.req("WEB-4")
def test_everything_goes_by_keyboard(browser: Browser, installation: Installation) -> None:
    with visit(browser, installation) as visitor:
        page = visitor.page
        visitor.open("/")
        expect(page.get_by_label("Login")).to_be_focused()
        page.keyboard.type(installation.login)
        page.keyboard.press("Tab")
        page.keyboard.type(installation.password)
        page.keyboard.press("Enter")
        question = page.get_by_label("Your question")
        expect(question).to_be_focused()
        page.keyboard.type("How often is")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("the seal greased?")
        expect(question).to_have_value("How often is\nthe seal greased?")
        page.keyboard.press("Enter")
        marker = visitor.answer.get_by_role("button", name="Dome maintenance").first
        expect(page.get_by_label("Copy the answer")).to_be_visible()
        _tab_to(page, marker, "Shift+Tab")
        assert marker.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("quote")).to_have_text(SEAL)
        page.keyboard.press("Escape")
        expect(page.get_by_test_id("quote")).to_have_count(0)
        page.keyboard.press("/")
        expect(question).to_be_focused()
        page.keyboard.press("Control+k")
        expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()

        visitor.open("/sources")
        expect(page.get_by_role("heading", name="Sources", exact=True)).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="New workspace")).to_be_focused()
        actions = page.get_by_role("button", name="Actions for Observatory")
        for item, state in (("Pause", "paused"), ("Resume", "up to date")):
            _tab_to(page, actions, "Tab")
            page.keyboard.press("Enter")
            _tab_to(page, page.get_by_role("menuitem", name=item), "ArrowDown")
            page.keyboard.press("Enter")
            expect(page.get_by_test_id("state")).to_have_text(state)


def _tab_to(page: Page, wanted: Locator, key: str) -> None:
    """Presses the key until the element has the focus, 40 times at most."""
    for _ in range(40):
        if wanted.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press(key)
    expect(wanted).to_be_focused()


@pytest.mark.req("WEB-4")
def test_the_phone_has_everything(browser: Browser, installation: Installation, logged_in: dict[str, object]) -> None:
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
    with visit(browser, installation, storage_state=logged_in, **phone) as visitor:
        page = visitor.page
        visitor.open("/")
        visitor.ask("How often is the seal greased?")
        visitor.answer.get_by_role("button", name="Dome maintenance").first.tap()
        drawer = page.get_by_role("dialog")
        expect(drawer.get_by_test_id("quote")).to_be_in_viewport()
        box = drawer.bounding_box()
        assert box is not None
        assert round(box["width"]) == PHONE["width"]
        drawer.get_by_role("button", name="Close").tap()
        expect(drawer).to_have_count(0)
        page.get_by_role("button", name="Menu").tap()
        visitor.follow_link("Documents")
        expect(page.get_by_role("link", name="Notstrom")).to_be_in_viewport()


@pytest.mark.req("WEB-1")
def test_a_session_that_ends_leads_to_log_in_and_back(browser: Browser, installation: Installation) -> None:
    with visit(browser, installation) as visitor:
        page = visitor.page
        visitor.log_in()
        visitor.follow_link("Sources")
        expect(page.get_by_role("heading", name="Sources", exact=True)).to_be_visible()
        visitor.expected_failures |= {f"/api/v1/{name}": 401 for name in ("sources", "documents", "events")}
        visitor.expected_failures |= {f"/api/v1/{name}": 401 for name in ("workspaces", "conversations")}
        page.context.clear_cookies()
        visitor.follow_link("Documents")
        expect(page.get_by_label("Login")).to_be_visible()
        page.get_by_label("Login").fill(installation.login)
        page.get_by_label("Password", exact=True).fill(installation.password)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Documents", exact=True)).to_be_visible()


@pytest.mark.req("WEB-2", "SEC-6")
def test_the_event_stream_ends_with_its_log_in_and_shows_new_workspaces(
    installation: Installation, tmp_path: pytest.TempPathFactory
) -> None:
    events: list[str] = []
    opened, ended = threading.Event(), threading.Event()

    with installation.client() as client:
        token = {"Cookie": f"opaa_session={client.cookies['opaa_session']}"}

        def listen() -> None:
            import httpx

            with httpx.stream("GET", f"{installation.url}/api/v1/events", headers=token, timeout=60) as stream:
                opened.set()
                events.extend(stream.iter_lines())
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        assert opened.wait(10)
        installation.index("Added later", tmp_path)
        client.post("auth/logout").raise_for_status()
        assert ended.wait(20), "the stream outlives its log-in"
    runs = [json.loads(line[5:]) for line in events if line.startswith("data:")]
    assert runs[-1]["state"] == "succeeded"
