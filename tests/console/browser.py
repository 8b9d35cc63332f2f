"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

PAGES = {
    "home": "/?run=02",
    "data": "/data",
    "model": "/model",
    "why": "/why?run=02",
    "runs": "/runs",
    "monitoring": "/monitoring",
    "operate": "/operate",
}
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
_FILLED = """() => [...document.querySelectorAll('[data-part]')]
    .every(part => part.getAttribute('aria-busy') === 'false')"""
_TOP = "() => window.scrollTo(0, 0)"


@contextmanager
def chromium(path: str = "", *options: str) -> Iterator[Browser]:
    """Start the browser, with further options of its command line, and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path or shutil.which("chromium"), args=[*_OPTIONS, *options]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_page(
    browser: Browser, scheme: Literal["light", "dark"] = "light", width: int = 1280
) -> Page:
    """Return a page in a context of its own."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    return context.new_page()


def unfold(page: Page) -> None:
    """Open all that a page folds away."""
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => { d.open = true; })")


def fill(page: Page) -> None:
    """Let every part of a page be asked for, and wait until it is there."""
    parts = page.locator("[data-part]")
    for number in range(parts.count()):
        parts.nth(number).scroll_into_view_if_needed()
    page.wait_for_function(_FILLED, timeout=60_000)
    page.evaluate(_TOP)
