"""The data: is what comes in what the model has learnt, are the sensors well, is it fresh."""

from __future__ import annotations

from serving.monitor.judge import ALL, LARGEST
from serving.monitor.kinds import Kind, Result
from tools.dashboards.boards import Board
from tools.dashboards.limits import limit
from tools.dashboards.panels import AMBER, GREEN, RED, Card, Panel, bars, lines, number, states
from toolwear.common.thresholds import thresholds

_ALERTS = (
    "ToolwearDistributionChanged",
    "ToolwearModelDegraded",
    "ToolwearSensorFault",
    "ToolwearAbstainsMore",
)
_SINGLE = f'feature!~"{ALL}|{LARGEST}"'
# Judged by a score above a limit that is not zero.
_ABOVE = f"{Kind.DATA}|{Kind.PREDICTION}|{Kind.ATTRIBUTION}|{Kind.ABSTENTION}"
_SCORE = f'toolwear_drift_score{{kind="{Kind.DATA}",{_SINGLE}%s}}'
_WELL_OR_NOT = {0: ("well", GREEN), 1: ("ALARM", RED)}


def _now() -> list[Panel]:
    return [
        number(
            Card(
                title="Alarms",
                about="data, prediction, attribution: other than in training. concept: labels "
                "contradict. quality: a sensor. abstention: more often not sure. session: tool "
                "length, mains or program far from all that was learnt.",
                unit="none",
                queries={"{{kind}}": "max by (kind) (toolwear_drift_alarm)"},
                width=18,
                words=_WELL_OR_NOT,
                runbooks=_ALERTS,
                absent="no monitor",
            )
        ),
        number(
            Card(
                title="Monitor looked",
                about="How long ago it last read what was answered. When it stands, nobody sees "
                "drift.",
                unit="s",
                queries={"": "time() - max(toolwear_monitor_last_success_timestamp_seconds)"},
                width=3,
                steps=((limit("ToolwearMonitorStopped"), RED),),
                runbooks=("ToolwearMonitorStopped",),
                absent="no monitor",
            )
        ),
        number(
            Card(
                title="Newest window",
                about="Age of the newest rows that were compared. A window takes "
                f"{thresholds().monitor.window_rows} rows of cutting at one feed rate.",
                unit="s",
                queries={"": "time() - max(toolwear_monitor_last_window_timestamp_seconds > 0)"},
                width=3,
                absent="no full window",
            )
        ),
    ]


def _tools() -> list[Panel]:
    return [
        states(
            Card(
                title="Tools",
                about="Red while a machine's tool is held to be worn: "
                f"{thresholds().tool.windows} of its last {thresholds().tool.of_windows} windows "
                "said so, and no other tool was seen since.",
                unit="none",
                queries={"{{machine}}": "max by (machine) (toolwear_tool_worn)"},
                width=12,
                words={0: ("not worn", GREEN), 1: ("WORN", RED)},
                runbooks=("ToolWorn", "ToolwearMachinesLeftOut"),
            )
        ),
        lines(
            Card(
                title="Answers that say worn",
                about=f"Share of each machine's last {thresholds().tool.of_windows} windows of "
                f"{thresholds().tool.window_rows} answers.",
                unit="percentunit",
                queries={"{{machine}}": "max by (machine) (toolwear_tool_worn_ratio)"},
                width=12,
                runbooks=("ToolWorn",),
            )
        ),
    ]


def _drift() -> list[Panel]:
    limits = thresholds().monitor
    psi = ((limits.mean_psi_warning, AMBER), (limits.max_psi, RED))
    chosen = _SCORE % ',feature=~"$feature"'
    score = f"max by (feature) ({chosen})"
    return [
        lines(
            Card(
                title="All features together: score beside its limit",
                about="1 is the limit. Enough windows above it raise the alarm; one alone does "
                "not.",
                unit="suffix:x",
                queries={
                    "{{kind}}": "max by (kind) (toolwear_drift_score"
                    f'{{kind=~"{_ABOVE}",feature="{ALL}"}}) '
                    f'/ max by (kind) (toolwear_drift_threshold{{kind=~"{_ABOVE}"}})'
                },
                steps=((1, RED),),
                runbooks=("ToolwearDistributionChanged",),
            )
        ),
        states(
            Card(
                title="Alarms over time",
                about="Red while enough of the newest windows raise an alarm.",
                unit="none",
                queries={"{{kind}}": "max by (kind) (toolwear_drift_alarm)"},
                words=_WELL_OR_NOT,
                runbooks=_ALERTS,
            )
        ),
        bars(
            Card(
                title="Features that moved most",
                about="Population stability index (PSI) of the newest window: below "
                f"{limits.mean_psi_warning:g} as in training, from {limits.max_psi:g} on another "
                "world.",
                unit="none",
                queries={"{{feature}}": f"topk(12, {score})"},
                steps=psi,
                runbooks=("ToolwearDistributionChanged",),
                absent="no full window",
            )
        ),
        lines(
            Card(
                title="Drift of each feature",
                about="PSI of each load signal, window by window. Choose features above.",
                unit="none",
                queries={"{{feature}}": score},
                width=12,
                steps=psi,
                runbooks=("ToolwearDistributionChanged",),
            )
        ),
        lines(
            Card(
                title="Feature attributions",
                about="Share of the explanations that goes to each feature. A model that relies on "
                "something else than before sees something else.",
                unit="percentunit",
                queries={
                    "{{feature}}": "topk(8, max by (feature) "
                    f'(toolwear_drift_score{{kind="{Kind.ATTRIBUTION}",{_SINGLE}}}))'
                },
                width=12,
            )
        ),
    ]


def _quality() -> list[Panel]:
    total = "sum(increase(toolwear_feature_rows_total[$__rate_interval]) > 0)"
    return [
        lines(
            Card(
                title="Sensors with a fault",
                about="Features that are stuck, at zero or missing: no model is trained from such "
                "data. out_of_range alone may also be another tool, mains voltage or feed rate.",
                unit="none",
                queries={"{{fault}}": "max by (fault) (toolwear_data_quality_faults)"},
                steps=((1, RED),),
                runbooks=("ToolwearSensorFault", "ToolwearOutOfRange"),
            )
        ),
        lines(
            Card(
                title="Windows, by what they said",
                about=f"Of the shown time. {Result.UNCALIBRATED}: too few training runs at this "
                f"feed rate to judge; {Result.NO_REFERENCE}: the model's package has nothing to "
                f"compare.",
                unit="none",
                queries={
                    "{{kind}}: {{result}}": "sum by (kind, result) "
                    "(increase(toolwear_monitor_windows_total[$__range])) > 0"
                },
            )
        ),
        lines(
            Card(
                title="Mean of each feature as it is asked",
                about="Choose one or two features above; beside each other their scales differ.",
                unit="none",
                queries={
                    "{{feature}}": "sum by (feature) "
                    '(delta(toolwear_feature_sum{feature=~"$feature"}[$__rate_interval])) '
                    f"/ scalar({total})"
                },
            ),
            signed=True,
        ),
    ]


def _freshness() -> list[Panel]:
    return [
        lines(
            Card(
                title="Rows from old features",
                about="Answered from features older than allowed; the answers say so.",
                unit="none",
                queries={
                    "stale rows": "sum(increase(toolwear_stale_rows_total[$__rate_interval]))"
                },
                runbooks=("ToolwearFeaturesStale",),
            )
        ),
        lines(
            Card(
                title="Refused, by reason",
                about="Rows and requests that do not fit: a missing column, a text for a number.",
                unit="reqps",
                queries={
                    "{{reason}}": "sum by (reason) "
                    '(rate(toolwear_refusals_total{server="transformer"}[$__rate_interval]))'
                },
                runbooks=("ToolwearMostRefused",),
            )
        ),
        lines(
            Card(
                title="Rows on their way to the monitor",
                about="Written to the payload log, and read from it. Lost: cleared before it was "
                "read.",
                unit="rowsps",
                queries={
                    "written": "sum(rate(toolwear_payload_rows_total[$__rate_interval]))",
                    "read": "sum(rate(toolwear_monitor_rows_total[$__rate_interval]))",
                    "of models that nothing is known of": "sum(rate("
                    "toolwear_monitor_unreferenced_rows_total[$__rate_interval]))",
                    "times that rows were lost": "sum(increase("
                    "toolwear_monitor_gaps_total[$__rate_interval]))",
                    "labels without their answer": "sum(rate("
                    "toolwear_monitor_unmatched_labels_total[$__rate_interval]))",
                },
                runbooks=("ToolwearMonitorLostRows", "ToolwearAnswersNotKept"),
            )
        ),
    ]


def board() -> Board:
    """Return the dashboard."""
    return Board(
        name="data",
        title="toolwear 3: data",
        about="Is what comes in what the model has learnt, are the sensors well, is it fresh.",
        rows={
            "Now": _now(),
            "Tools": _tools(),
            "Drift": _drift(),
            "Sensors and features": _quality(),
            "Freshness and refusals": _freshness(),
        },
        variables={
            "feature": f"label_values({_SCORE % ''}, feature)",
        },
        span="now-6h",
    )
