"""The training runs: what started them, how they ended, what the gate said, what waits."""

from __future__ import annotations

from tools.dashboards.boards import Board
from tools.dashboards.panels import AMBER, GREEN, Card, Panel, bars, lines, number

_AGO = "time() - max(toolwear_run_last_%s_timestamp_seconds > 0)"


def _now() -> list[Panel]:
    return [
        number(
            Card(
                title="Run",
                about="Whether a training run is at work now; there is one at a time.",
                unit="none",
                queries={"": "max(toolwear_run_in_progress)"},
                width=3,
                words={0: ("none", GREEN), 1: ("at work", AMBER)},
                absent="no trigger",
            )
        ),
        number(
            Card(
                title="Causes that wait",
                about="Something has asked for a run that has not begun: another is at work, or "
                "the cooldown of its cause is not over.",
                unit="none",
                queries={"": "max(toolwear_causes_waiting)"},
                width=3,
                steps=((1, AMBER),),
                runbooks=("ToolwearRunOverdue",),
                absent="no trigger",
            )
        ),
        number(
            Card(
                title="Promotions held",
                about="Winners that wait for a person to allow or refuse them, in the console.",
                unit="none",
                queries={"": "max(toolwear_approvals_waiting)"},
                width=3,
                steps=((1, AMBER),),
                runbooks=("ToolwearApprovalWaits",),
                absent="no trigger",
            )
        ),
        number(
            Card(
                title="Last good run",
                about="How long ago a run last came to its decision.",
                unit="s",
                queries={"": _AGO % "success"},
                width=5,
                absent="never",
            )
        ),
        number(
            Card(
                title="Last failed run",
                about="How long ago a run last failed or was killed. Newer than the last good one: "
                "there is an alert.",
                unit="s",
                queries={"": _AGO % "failure"},
                width=5,
                runbooks=("ToolwearRunFailed",),
                absent="never",
            )
        ),
        number(
            Card(
                title="Next scheduled run in",
                about="By the clock; below zero it is late.",
                unit="s",
                queries={"": "max(toolwear_schedule_next_timestamp_seconds > 0) - time()"},
                width=5,
                runbooks=("ToolwearRunOverdue",),
                absent="no schedule",
            )
        ),
    ]


def _runs() -> list[Panel]:
    return [
        bars(
            Card(
                title="Runs by cause and how they ended",
                about="All that the trigger has known. killed: its process was. cancelled: by a "
                "person.",
                unit="none",
                queries={
                    "{{cause}}: {{outcome}}": "sum by (cause, outcome) "
                    "(toolwear_run_seconds_count) > 0"
                },
                absent="none yet",
            )
        ),
        bars(
            Card(
                title="How long runs take",
                about="Mean of all runs of a cause that ended alike.",
                unit="s",
                queries={
                    "{{cause}}: {{outcome}}": "sum by (cause, outcome) (toolwear_run_seconds_sum) "
                    "/ (sum by (cause, outcome) (toolwear_run_seconds_count) > 0)"
                },
                absent="none yet",
            )
        ),
        lines(
            Card(
                title="Runs that ended",
                about="So far, by how; a step is a run.",
                unit="none",
                queries={"{{outcome}}": "sum by (outcome) (toolwear_runs_total)"},
                runbooks=("ToolwearRunFailed",),
            )
        ),
    ]


def _decisions() -> list[Panel]:
    return [
        bars(
            Card(
                title="What the gate decided",
                about="Of all challengers so far. promote_*: it became champion, or was held or "
                "tried first. keep_*: the champion is as good. refuse_*: it must not be served.",
                unit="none",
                queries={"{{outcome}}": "sum by (outcome) (toolwear_decisions_total) > 0"},
                width=12,
                absent="none yet",
                runbooks=("ToolwearAuditLogChanged",),
            )
        ),
        lines(
            Card(
                title="Decisions of the shown time",
                about="New ones since the beginning of the plot; a step is a decision.",
                unit="none",
                queries={
                    "{{outcome}}": "sum by (outcome) (increase(toolwear_decisions_total[$__range]))"
                },
                width=12,
            )
        ),
    ]


def _queue() -> list[Panel]:
    return [
        bars(
            Card(
                title="Causes told since the trigger was started",
                about="accepted: gets a run. merged: a run of the same cause was waiting. "
                "duplicate: told before. refused: too many wait.",
                unit="none",
                queries={
                    "{{cause}}: {{result}}": "sum by (cause, result) (toolwear_triggers_total) > 0"
                },
                runbooks=("ToolwearCausesRefused",),
                absent="none yet",
            )
        ),
        lines(
            Card(
                title="Queue",
                about="Causes, scoring jobs and promotions that wait, and whether a run is at "
                "work.",
                unit="none",
                queries={
                    "causes that wait": "max(toolwear_causes_waiting)",
                    "scoring jobs that wait": 'max(toolwear_scoring_jobs{state="waiting"})',
                    "promotions held": "max(toolwear_approvals_waiting)",
                    "run at work": "max(toolwear_run_in_progress)",
                },
                runbooks=("ToolwearRunOverdue", "ToolwearApprovalWaits"),
            )
        ),
        lines(
            Card(
                title="Causes refused",
                about="Nobody gets a run for these. The trigger's answer said why.",
                unit="none",
                queries={
                    "{{cause}}": "sum by (cause) "
                    '(increase(toolwear_triggers_total{result="refused"}[$__rate_interval]))'
                },
                runbooks=("ToolwearCausesRefused",),
            )
        ),
    ]


def board() -> Board:
    """Return the dashboard."""
    return Board(
        name="pipelines",
        title="toolwear 4: training runs",
        about="Retrain requests, outcomes, decisions of the gate, the queue.",
        rows={
            "Now": _now(),
            "Runs": _runs(),
            "Decisions": _decisions(),
            "Retrain requests": _queue(),
        },
        span="now-7d",
    )
