"""The kinds of panels that the dashboards are made of, and how all of them look."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from tools.dashboards import runbooks

SOURCE = model.DataSourceRef(type_val="prometheus", uid="toolwear-prometheus")
GREEN, AMBER, RED = "green", "orange", "red"
NUMBER_HEIGHT = 4
Panel = (
    stat.Panel
    | timeseries.Panel
    | bargauge.Panel
    | table.Panel
    | statetimeline.Panel
    | heatmap.Panel
)


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a panel shows.

    Attributes:
        title: of the panel.
        about: what it tells and when to worry, for somebody at the machine.
        unit: Grafana's word for it.
        queries: each series' name (`{{label}}` for a label's value) and PromQL.
        width: in 24ths of the dashboard.
        height: in rows of the dashboard's grid.
        steps: value from which a colour holds, after green.
        runbooks: alerts that speak of the same, whose sections it links to.
        words: text and colour to show instead of a value.
        absent: what is shown where there is nothing.
        top: upper end of the axis, if it is fixed.
    """

    title: str
    about: str
    unit: str
    queries: Mapping[str, str]
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    runbooks: tuple[str, ...] = ()
    words: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    absent: str = ""
    top: float | None = None


def number(card: Card, height: int = NUMBER_HEIGHT) -> stat.Panel:
    """Return one large figure for each series, its colour telling whether all is well."""
    panel = _dressed(stat.Panel(), card).height(height)
    named = len(card.queries) > 1 or any("{{" in name for name in card.queries)
    mode = look.BigValueTextMode.VALUE_AND_NAME if named else look.BigValueTextMode.VALUE
    colour = card.steps or card.words
    return (
        _asked(panel, card, instant=True)
        .graph_mode(look.BigValueGraphMode.NONE)
        .color_mode(look.BigValueColorMode.BACKGROUND if colour else look.BigValueColorMode.NONE)
        .text_mode(mode)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def lines(card: Card, *, stacked: bool = False, signed: bool = False) -> timeseries.Panel:
    """Return curves over time from zero up, unless `signed`; limits are dashed lines."""
    panel = _asked(_dressed(timeseries.Panel(), card), card).fill_opacity(8)
    if not signed:
        panel = panel.min(0)
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(look.LegendDisplayMode.TABLE)
        .placement(look.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    ).tooltip(common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI))
    if stacked:
        panel = panel.fill_opacity(60).stacking(
            common.StackingConfig().mode(look.StackingMode.NORMAL)
        )
    if card.steps:
        style = look.GraphThresholdsStyleMode.DASHED
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    return panel


def bars(card: Card) -> bargauge.Panel:
    """Return a bar for each series, of its newest value."""
    return (
        _asked(_dressed(bargauge.Panel(), card), card, instant=True)
        .min(0)
        .orientation(look.VizOrientation.HORIZONTAL)
        .display_mode(look.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def rows(card: Card, hidden: tuple[str, ...] = ()) -> table.Panel:
    """Return a table of the labels of the series there are now, without the columns `hidden`."""
    panel = _dressed(table.Panel(), card)
    for expression in card.queries.values():
        panel = panel.with_target(
            prometheus.Dataquery()
            .expr(expression)
            .instant()
            .format(PromQueryFormat.TABLE)
            .ref_id("A")
            .datasource(SOURCE)
        )
    excluded = dict.fromkeys(("Time", "Value", *hidden), True)
    return panel.with_transformation(
        model.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded})
    )


def states(card: Card) -> statetimeline.Panel:
    """Return a band for each series that changes its colour with its state."""
    return _asked(_dressed(statetimeline.Panel(), card), card).show_value(look.VisibilityMode.NEVER)


def heat(card: Card) -> heatmap.Panel:
    """Return how a histogram moves over time."""
    panel = _dressed(heatmap.Panel(), card)
    for name, expression in card.queries.items():
        panel = panel.with_target(
            prometheus.Dataquery()
            .expr(expression)
            .range()
            .format(PromQueryFormat.HEATMAP)
            .legend_format(name)
            .ref_id("A")
            .datasource(SOURCE)
        )
    return panel.calculate(False)


def _dressed[
    P: (
        stat.Panel,
        timeseries.Panel,
        bargauge.Panel,
        table.Panel,
        statetimeline.Panel,
        heatmap.Panel,
    )
](panel: P, card: Card) -> P:
    panel = (
        panel.title(card.title)
        .description(card.about)
        .datasource(SOURCE)
        .unit(card.unit)
        .span(card.width)
        .height(card.height)
        .thresholds(_thresholds(card))
    )
    if card.runbooks:
        panel = panel.links([runbooks.link(alert) for alert in card.runbooks])
    if card.words:
        panel = panel.mappings([_words(card.words)])
    if card.absent:
        panel = panel.no_value(card.absent)
    if card.top is not None:
        panel = panel.max(card.top)
    return panel


def _asked[P: (stat.Panel, timeseries.Panel, bargauge.Panel, statetimeline.Panel)](
    panel: P, card: Card, *, instant: bool = False
) -> P:
    for letter, (name, expression) in zip(
        string.ascii_uppercase, card.queries.items(), strict=False
    ):
        query = prometheus.Dataquery().expr(expression).legend_format(name)
        query = query.instant() if instant else query.range()
        panel = panel.with_target(query.ref_id(letter).datasource(SOURCE))
    return panel


def _thresholds(card: Card) -> build.ThresholdsConfig:
    steps = [model.Threshold(None, GREEN), *(model.Threshold(x, name) for x, name in card.steps)]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(words: Mapping[int, tuple[str, str]]) -> model.ValueMap:
    return model.ValueMap(
        {
            str(value): model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(words.items())
        }
    )
