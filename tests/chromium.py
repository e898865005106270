"""A real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import pytest

from .servers import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["ARGUMENTS", "chromium", "executable", "window"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Without most of these it looks for hosts that are not of the test.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str:
    """Return the path of Chromium. Skips the test where there is none; under CI it fails."""
    for name in _NAMES:
        if path := shutil.which(name):
            return path
    return _missing(f"there is none of {', '.join(_NAMES)} on PATH (Debian: apt install chromium)")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """
    Run a browser until the block ends.

    Skips the test where there is none, or no Playwright; under CI (`CI=true`) it fails instead.
    """
    path = executable()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("needs Playwright: `pip install playwright`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE * 1000
        )
        try:
            yield browser
        finally:
            browser.close()


def window(browser: Browser) -> Page:
    """Open a window of its own."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    return page


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
