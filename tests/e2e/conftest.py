"""Fixtures with the real thing in front of a real browser.

They end with each module: while Playwright is open, its event loop keeps asynchronous tests from running.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser
