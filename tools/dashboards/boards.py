"""What every dashboard has in common, and the JSON that Grafana takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import text
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from tools.dashboards.panels import RED, SOURCE, Panel

TAG = "toolwear"
EVERYTHING = ".+"  # of a variable: a regular expression that takes every value


@dataclass(frozen=True)
class Board:
    """One dashboard.

    Attributes:
        name: of its file; behind "toolwear-" its uid.
        title: in Grafana's list.
        about: what it is for.
        rows: panels under their headings; the heading "" has none.
        variables: what a reader may choose, each with the query of its values.
        span: the time that it shows at first.
    """

    name: str
    title: str
    about: str
    rows: Mapping[str, Sequence[Panel | text.Panel]]
    variables: Mapping[str, str] = field(default_factory=dict)
    span: str = "now-1h"

    @property
    def uid(self) -> str:
        """Its fixed identity: links and bookmarks name it."""
        return f"{TAG}-{self.name}"

    def json(self) -> str:
        """Return it as Grafana's JSON."""
        built: Any = self._builder().build()
        for number, panel in enumerate(built.panels, start=1):
            panel.id_val = number
        return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"

    def _builder(self) -> build.Dashboard:
        builder = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.about)
            .tags([TAG])
            .readonly()
            .refresh("30s")
            .time(self.span, "now")
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .link(
                build.DashboardLink("toolwear")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .keep_time(True)
            )
            .annotation(
                build.AnnotationQuery()
                .name("Alerts that fire")
                .datasource(SOURCE)
                .enable(True)
                .icon_color(RED)
                .expr('ALERTS{alertname=~"Toolwear.+",alertstate="firing"}')
            )
        )
        for name, query in self.variables.items():
            builder = builder.with_variable(_variable(name, query))
        for heading, panels in self.rows.items():
            if heading:
                builder = builder.with_row(build.Row(heading))
            for panel in panels:
                builder = builder.with_panel(panel)
        return builder


def _variable(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(EVERYTHING)
        .current(model.VariableOption(text="All", value="$__all", selected=True))
    )
