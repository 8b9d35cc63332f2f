"""The runbooks as a dashboard: the link of a panel has to lead somewhere without a network."""

from __future__ import annotations

import re
from functools import cache

from grafana_foundation_sdk.builders import dashboard, text
from grafana_foundation_sdk.models.text import TextMode

from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

UID = "toolwear-runbooks"
_PAGE = ROOT / "docs" / "runbooks.md"
_HEIGHT, _WIDTH = 9, 12


@cache
def sections() -> dict[str, str]:
    """Return what each alert's section of the runbooks says, in Markdown."""
    parts = re.split(r"^## ", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title.strip(): body.strip() for title, _, body in (p.partition("\n") for p in parts)}


def link(alert: str) -> dashboard.DashboardLink:
    """Return the link to an alert's section, for a panel.

    Raises:
        ToolwearError: the runbooks have no such section.
    """
    if alert not in sections():
        raise ToolwearError(f"{_PAGE} has no section named {alert}.")
    number = list(sections()).index(alert) + 1
    return dashboard.DashboardLink(f"What to do: {alert}").url(f"/d/{UID}?viewPanel={number}")


def panels() -> list[text.Panel]:
    """Return one panel for each alert; their ids are their places."""
    return [
        text.Panel()
        .title(title)
        .description(f"What to do when the alert {title} fires.")
        .mode(TextMode.MARKDOWN)
        .content(body)
        .height(_HEIGHT)
        .span(_WIDTH)
        for title, body in sections().items()
    ]
