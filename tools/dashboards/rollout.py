"""The front of one machine, which divides the traffic between champion and candidate."""

from __future__ import annotations

from tools.dashboards.panels import AMBER, GREEN, Card, Panel, lines, number


def panels() -> list[Panel]:
    """Return the row of them."""
    return [
        lines(
            Card(
                title="Share of the traffic",
                about="Per cent that champion (stable) and candidate are given; 100 under shadow: "
                "the candidate gets copies whose answers nobody sees.",
                unit="percent",
                queries={"{{track}}": "max by (track) (toolwear_front_weight)"},
                width=6,
                top=100,
            )
        ),
        lines(
            Card(
                title="Requests by who was asked",
                about="A candidate that fails costs no client anything: the champion answers "
                "instead.",
                unit="reqps",
                queries={
                    "{{track}} {{status}}": "sum by (track, status) "
                    "(rate(toolwear_front_requests_total[$__rate_interval]))"
                },
                width=6,
            )
        ),
        lines(
            Card(
                title="Slowest 5 % of answers, by who was asked",
                about="A candidate that is much slower than the champion is dropped.",
                unit="s",
                queries={
                    "{{track}}": "histogram_quantile(0.95, sum by (track, le) "
                    "(rate(toolwear_front_seconds_bucket[$__rate_interval])))"
                },
                width=6,
            )
        ),
        number(
            Card(
                title="Rollout",
                about="Whether a candidate is being tried on part of the traffic.",
                unit="none",
                queries={"": "max(toolwear_rollout_in_progress)"},
                width=3,
                words={0: ("none", GREEN), 1: ("under way", AMBER)},
                runbooks=("ToolwearRolloutLong",),
                absent="no front",
            ),
            height=8,
        ),
        number(
            Card(
                title="Rollouts that ended",
                about="Since the front was started: candidates that became champion, and those "
                "that were taken back by themselves.",
                unit="none",
                queries={"{{result}}": "sum by (result) (toolwear_rollouts_total)"},
                runbooks=("ToolwearRolledBack",),
                width=3,
                absent="no front",
            ),
            height=8,
        ),
    ]
