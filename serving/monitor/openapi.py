"""The monitor's OpenAPI document."""

from __future__ import annotations

from typing import Any

from serving.common.described import document, operation


def described() -> dict[str, Any]:
    """Return the document."""
    page = "text/html"
    return document(
        "monitor",
        {
            "/": {"get": operation("To the reports", {307: "There."}, kind=page)},
            "/v1/state": {
                "get": operation(
                    "What was looked at: alarms, the newest windows with their verdicts, and the "
                    "rows that are no window yet",
                    {200: "It."},
                )
            },
            "/reports/": {"get": operation("The reports that are kept", {200: "They."}, kind=page)},
            "/reports/{id}": {
                "get": operation(
                    "The report of a window", {200: "It.", 404: "It is not kept."}, kind=page
                )
            },
            "/healthz": {
                "get": operation(
                    "Tell whether the log is looked at", {200: "It is."}, kind="text/plain"
                )
            },
        },
    )
