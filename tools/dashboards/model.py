"""The model: which one answers, what it says, how sure it is, and whether it is right."""

from __future__ import annotations

from serving.monitor.kinds import Kind
from tools.dashboards.boards import Board
from tools.dashboards.limits import limit
from tools.dashboards.panels import AMBER, RED, Card, Panel, bars, heat, lines, number, rows

_FIRST = 6  # lines of the grid: the table of the first row has as many servers
_SCORE = "histogram_quantile(%s, sum by (le) (rate(toolwear_score_bucket[$__rate_interval])))"


def _which() -> list[Panel]:
    return [
        rows(
            Card(
                title="The model that each server has",
                about="The version is the package's; `use` says for which runs the gate has "
                "released it.",
                unit="none",
                queries={"": "max by (server, version, use, sha256) (toolwear_model_info)"},
                width=12,
                height=_FIRST,
                absent="no server has one",
            )
        ),
        number(
            Card(
                title="Different models served",
                about="1 is well; two for more than a moment: a server could not load the "
                "champion.",
                unit="none",
                queries={"": "count(count by (sha256) (toolwear_model_info))"},
                width=4,
                steps=((limit("ToolwearServersDisagree") + 1, RED),),
                runbooks=("ToolwearServersDisagree",),
            ),
            height=_FIRST,
        ),
        number(
            Card(
                title="Champion for",
                about="How long ago it was promoted.",
                unit="s",
                queries={"": "time() - max(toolwear_champion_since_timestamp_seconds)"},
                width=4,
                steps=((limit("ToolwearModelOld"), AMBER),),
                runbooks=("ToolwearModelOld",),
                absent="unknown",
            ),
            height=_FIRST,
        ),
        number(
            Card(
                title="Right, by late labels",
                about="Share of right answers in the newest window of rows whose truth became "
                "known.",
                unit="percentunit",
                queries={"": "min(toolwear_labelled_accuracy)"},
                width=4,
                runbooks=("ToolwearModelDegraded",),
                absent="too few labels",
            ),
            height=_FIRST,
        ),
    ]


def _answers() -> list[Panel]:
    return [
        lines(
            Card(
                title="What it answers",
                about="Rows by answer. A mix that moves means other tools, other work, or drift.",
                unit="rowsps",
                queries={
                    "{{answer}}": "sum by (answer) "
                    '(rate(toolwear_answers_total{server="transformer"}[$__rate_interval]))'
                },
            ),
            stacked=True,
        ),
        lines(
            Card(
                title='Answered "not sure"',
                about="Share of the rows of ten minutes. Above the line there is an alert.",
                unit="percentunit",
                queries={"not sure": "toolwear:unsure:ratio_rate10m"},
                steps=((limit("ToolwearOftenUnsure"), RED),),
                runbooks=("ToolwearOftenUnsure",),
                top=1,
            )
        ),
        lines(
            Card(
                title='Why "not sure"',
                about="envelope: values that the model was not tested on. band: too close to call.",
                unit="rowsps",
                queries={
                    "{{reason}}": "sum by (reason) (rate(toolwear_unsure_total[$__rate_interval]))"
                },
                runbooks=("ToolwearOftenUnsure", "ToolwearAbstainsMore"),
            )
        ),
    ]


def _scores() -> list[Panel]:
    return [
        heat(
            Card(
                title="Probability of wear",
                about="How many rows got which probability. Two bands, at 0 and at 1, are a sure "
                "model; a band in the middle is one that guesses.",
                unit="percentunit",
                queries={
                    "{{le}}": "sum by (le) (increase(toolwear_score_bucket[$__rate_interval]))"
                },
                width=12,
            )
        ),
        lines(
            Card(
                title="Probability of wear, quartiles",
                about="A quarter, half and three quarters of the rows are below these.",
                unit="percentunit",
                queries={
                    name: _SCORE % q for name, q in (("75 %", 0.75), ("50 %", 0.5), ("25 %", 0.25))
                },
                width=12,
                top=1,
            )
        ),
    ]


def _labels() -> list[Panel]:
    return [
        lines(
            Card(
                title="Right answers, by late labels",
                about="Each window of labelled rows, and below which share it is an alarm.",
                unit="percentunit",
                queries={
                    "right": "min(toolwear_labelled_accuracy)",
                    "alarm below": f'max(toolwear_drift_threshold{{kind="{Kind.CONCEPT}"}})',
                },
                width=12,
                runbooks=("ToolwearModelDegraded",),
                top=1,
            )
        ),
        lines(
            Card(
                title="Rows whose truth is known",
                about="So far. Flat: nobody tells the system how its tools really were.",
                unit="short",
                queries={"labelled rows": "sum(toolwear_labelled_rows)"},
                width=12,
            )
        ),
    ]


def _explanations() -> list[Panel]:
    return [
        lines(
            Card(
                title="Explanations asked for",
                about="By method.",
                unit="reqps",
                queries={
                    "{{method}}": "sum by (method) "
                    "(rate(toolwear_explanation_seconds_count[$__rate_interval]))"
                },
                width=12,
            )
        ),
        bars(
            Card(
                title="How good the explanations are",
                about="Mean of the shown time. Errors are the better the smaller; shares "
                "(precision, coverage, fidelity, stability) the larger the better.",
                unit="none",
                queries={
                    "{{method}}: {{figure}}": "sum by (method, figure) "
                    "(increase(toolwear_explanation_quality_sum[$__range])) / sum by (method, "
                    "figure) (increase(toolwear_explanation_quality_count[$__range]) > 0)"
                },
                width=12,
                absent="none asked for",
            )
        ),
    ]


def board() -> Board:
    """Return the dashboard."""
    return Board(
        name="model",
        title="toolwear 2: model",
        about="Which model answers, what it says, how sure it is, and whether it is right.",
        rows={
            "Now": _which(),
            "Answers": _answers(),
            "Score": _scores(),
            "Truth that became known later": _labels(),
            "Explanations": _explanations(),
        },
        span="now-6h",
    )
