"""A trained home behind `toolwear serve`, its console, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.console.browser import chromium, open_page
from tests.console.stack import Stack, running
from tests.programs import program


@pytest.fixture(scope="module")
def stack(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("console")
    home = folder / "home"
    shutil.copytree(trained_home, home, symlinks=True)
    with running(home, folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(program("chromium")) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = open_page(browser)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.extend([said.text] * (said.type == "error")))
    yield page
    page.context.close()
    # Refusals of the security policy and faults of the scripts come here; statuses do not count.
    assert [one for one in problems if "Failed to load resource" not in one] == []
