"""The service: is it there, does it answer rightly and in time, what does it cost the machine."""

from __future__ import annotations

from tools.dashboards import rollout
from tools.dashboards.boards import Board
from tools.dashboards.limits import BUDGET, FAST, SLOW, limit
from tools.dashboards.panels import AMBER, GREEN, RED, Card, Panel, lines, number, rows

_ASKED = 'toolwear_requests_total{server="transformer",endpoint=~"v1_predict|v2_infer"%s}'
_FAILED = _ASKED % ',status=~"5.."'
_DONE = _ASKED % ""
_SLOWEST = (
    "histogram_quantile(0.99, sum by (stage, le) "
    '(rate(toolwear_stage_seconds_bucket{server="%s"}[$__rate_interval])))'
)
_TYPICAL = _SLOWEST.replace("0.99", "0.5")


def _now() -> list[Panel]:
    return [
        number(
            Card(
                title="Alerts that fire",
                about="0: nobody has to do anything. Their names are in the table beside.",
                unit="none",
                queries={
                    "": 'count(ALERTS{alertname=~"Toolwear.+",alertstate="firing"}) or vector(0)'
                },
                width=3,
                steps=((1, RED),),
            )
        ),
        number(
            Card(
                title="Servers",
                about="Which server answers. `toolwear serve` and the cluster start a dead one "
                "again.",
                unit="none",
                queries={"{{server}}": 'min by (server) (up{job="toolwear"})'},
                width=9,
                words={1: ("up", GREEN), 0: ("DOWN", RED)},
                runbooks=("ToolwearServerDown",),
            )
        ),
        number(
            Card(
                title="Predictions a second",
                about="What clients ask now, over five minutes.",
                unit="reqps",
                queries={"": "toolwear:predictions:rate5m"},
                width=3,
                absent="none yet",
            )
        ),
        number(
            Card(
                title="Failed predictions",
                about="Share of the predictions of five minutes that failed with a 5xx.",
                unit="percentunit",
                queries={"": "toolwear:prediction_failures:ratio_rate5m"},
                width=3,
                steps=((SLOW * BUDGET, AMBER), (FAST * BUDGET, RED)),
                runbooks=("ToolwearErrorBudgetBurnsFast",),
                absent="none asked",
            )
        ),
        number(
            Card(
                title="Error budget left",
                about=f"Of the {BUDGET:.1%} that may fail, what the shown time has left. Below 0: "
                "more failed than was promised.",
                unit="percentunit",
                queries={
                    "": f"1 - (sum(increase({_FAILED}[$__range])) or vector(0)) "
                    f"/ (sum(increase({_DONE}[$__range])) > 0) / {BUDGET:g}"
                },
                width=3,
                absent="none asked",
            )
        ),
        number(
            Card(
                title="Slowest 1 % of answers",
                about="One request in a hundred took the model longer than this.",
                unit="s",
                queries={"": _SLOWEST.replace("stage, ", "") % 'transformer",stage="predict'},
                width=3,
                steps=((limit("ToolwearAnswersSlow"), RED),),
                runbooks=("ToolwearAnswersSlow",),
                absent="none asked",
            )
        ),
        rows(
            Card(
                title="Alerts",
                about="Alerts that fire, and those that will unless it gets better (pending).",
                unit="none",
                queries={"": 'ALERTS{alertname=~"Toolwear.+"}'},
                width=24,
                height=5,
                absent="none",
            ),
            hidden=("__name__", "instance", "job"),
        ),
    ]


def _traffic() -> list[Panel]:
    return [
        lines(
            Card(
                title="Requests by server",
                about="Everything that each server has answered.",
                unit="reqps",
                queries={
                    "{{server}}": "sum by (server) "
                    '(rate(toolwear_requests_total{server=~"$server"}[$__rate_interval]))'
                },
                width=6,
            )
        ),
        lines(
            Card(
                title="Answers by status",
                about="2xx is well; 4xx is the caller's fault; 5xx is ours.",
                unit="reqps",
                queries={
                    "{{status}}": "sum by (status) "
                    '(rate(toolwear_requests_total{server=~"$server"}[$__rate_interval]))'
                },
                width=6,
            ),
            stacked=True,
        ),
        lines(
            Card(
                title="Refused, by reason",
                about="What clients sent that cannot be answered; each got a sentence that says "
                "why.",
                unit="reqps",
                queries={
                    "{{reason}}": "sum by (reason) "
                    '(rate(toolwear_refusals_total{server=~"$server"}[$__rate_interval]))'
                },
                width=6,
                runbooks=("ToolwearMostRefused",),
            )
        ),
        lines(
            Card(
                title="Responses with a 5xx",
                about="Should be flat at zero. The server's log has the reason.",
                unit="reqps",
                queries={
                    "{{server}}": "sum by (server) "
                    '(rate(toolwear_failures_total{server=~"$server"}[$__rate_interval]))'
                },
                width=6,
                runbooks=("ToolwearErrorBudgetBurnsFast",),
            )
        ),
    ]


def _times() -> list[Panel]:
    stages = [
        lines(
            Card(
                title=f"Time in the {server}, by stage",
                about=f"{about} Typical is the median; one request in a hundred takes longer than "
                "the slowest.",
                unit="s",
                queries={
                    "{{stage}}, slowest 1 %": _SLOWEST % server,
                    "{{stage}}, typical": _TYPICAL % server,
                },
                width=6,
                steps=((limit("ToolwearAnswersSlow"), RED),) if server == "transformer" else (),
                runbooks=("ToolwearAnswersSlow",) if server == "transformer" else (),
            )
        )
        for server, about in (
            ("transformer", "What a client waits for: features, then the model."),
            ("predictor", "The model itself."),
            ("explainer", "Why the model says what it says."),
        )
    ]
    explained = (
        "histogram_quantile(%s, sum by (method, le) "
        "(rate(toolwear_explanation_seconds_bucket[$__rate_interval])))"
    )
    return [
        *stages,
        lines(
            Card(
                title="Time of an explanation, by method",
                about="Waiting included. An anchor takes seconds; the others do not.",
                unit="s",
                queries={
                    "{{method}}, slowest 1 %": explained % "0.99",
                    "{{method}}, typical": explained % "0.5",
                },
                width=6,
            )
        ),
    ]


def _objective() -> list[Panel]:
    windows = {"5 minutes": "5m", "30 minutes": "30m", "1 hour": "1h", "6 hours": "6h"}
    return [
        lines(
            Card(
                title="How fast the error budget is used",
                about=f"1: as fast as allowed. At {FAST:g} over an hour it is gone in two days and "
                f"somebody is paged; at {SLOW:g} over six hours there is a ticket.",
                unit="suffix:x",
                queries={
                    name: f"toolwear:prediction_failures:ratio_rate{window} / {BUDGET:g}"
                    for name, window in windows.items()
                },
                width=24,
                height=7,
                steps=((SLOW, AMBER), (FAST, RED)),
                runbooks=("ToolwearErrorBudgetBurnsFast", "ToolwearErrorBudgetBurnsSlowly"),
            )
        )
    ]


def _load() -> list[Panel]:
    of_servers = 'job="toolwear",server=~"$server"'
    return [
        lines(
            Card(
                title="Processor",
                about="Cores in use. The predictor uses one; more load takes more replicas.",
                unit="suffix: cores",
                queries={
                    "{{server}}": "sum by (server) (rate(process_cpu_seconds_total"
                    f"{{{of_servers}}}[$__rate_interval]))"
                },
                width=6,
            )
        ),
        lines(
            Card(
                title="Memory",
                about="Resident memory. A line that only ever rises is a leak.",
                unit="bytes",
                queries={
                    "{{server}}": f"sum by (server) (process_resident_memory_bytes{{{of_servers}}})"
                },
                width=6,
            )
        ),
        lines(
            Card(
                title="Open files",
                about="Share of the files and connections that a server may have open.",
                unit="percentunit",
                queries={
                    "{{server}}": f"max by (server) (process_open_fds{{{of_servers}}} / "
                    "process_max_fds)"
                },
                width=4,
                steps=((0.8, RED),),
                top=1,
            )
        ),
        lines(
            Card(
                title="Explanations under way",
                about="Computed or waiting; each lane does one kind at a time.",
                unit="none",
                queries={"{{lane}}": "sum by (lane) (toolwear_explanations_under_way)"},
                width=4,
            )
        ),
        lines(
            Card(
                title="Answers not kept",
                about="Left out of the payload log because the disk is full or slow: their "
                "receipts cannot be found later.",
                unit="none",
                queries={
                    "{{server}}": "sum by (server) "
                    "(increase(toolwear_payload_dropped_total[$__rate_interval]))"
                },
                width=4,
                runbooks=("ToolwearAnswersNotKept",),
            )
        ),
    ]


def board() -> Board:
    """Return the dashboard."""
    return Board(
        name="service",
        title="toolwear 1: service",
        about="Is the service there, does it answer rightly and in time, what does it cost.",
        rows={
            "Now": _now(),
            "Traffic and errors": _traffic(),
            "Time": _times(),
            f"Objective: {1 - BUDGET:.1%} of the predictions do not fail": _objective(),
            "Load": _load(),
            "Champion and candidate (the front of one machine)": rollout.panels(),
        },
        variables={"server": 'label_values(up{job="toolwear"}, server)'},
    )
