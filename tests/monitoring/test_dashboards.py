"""The dashboards' JSON: what the code makes, and what Grafana needs."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.monitoring.dashboards import BUILT_IN, boards, panels, queries
from tools.dashboards import limits, runbooks
from tools.dashboards.every import FOLDER
from tools.dashboards.every import boards as made
from tools.dashboards.panels import SOURCE
from toolwear.common.errors import ToolwearError
from toolwear.common.thresholds import thresholds

WIDTH = 24  # columns of Grafana's grid
NAMES = ("service", "model", "data", "pipelines", "runbooks")
UID = SOURCE.uid


def test_the_committed_json_is_what_the_code_makes() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{x}.json" for x in NAMES)
    for board in made():
        path = FOLDER / f"{board.name}.json"
        assert path.read_text() == board.json(), f"run `make dashboards`: {path.name} is old"


def test_identities_are_unique_and_fixed() -> None:
    found = boards()
    assert {name: board["uid"] for name, board in found.items()} == {
        name: f"toolwear-{name}" for name in NAMES
    }
    assert len({board["title"] for board in found.values()}) == len(NAMES)
    for board in found.values():
        assert "id" not in board  # Grafana's own number of a dashboard; a file must not have one
        assert board["schemaVersion"] >= 36
        ids = [panel["id"] for panel in board["panels"]]
        assert ids == list(range(1, len(ids) + 1))
        titles = Counter(panel["title"] for panel in panels(board))
        assert titles.most_common(1)[0][1] == 1, titles
        for panel in panels(board):
            references = [target["refId"] for target in panel.get("targets", [])]
            assert len(references) == len(set(references))


def sources(value: Any) -> list[Any]:
    """Every data source that is named anywhere below."""
    if isinstance(value, list):
        return [found for item in value for found in sources(item)]
    if not isinstance(value, dict):
        return []
    own = [value["datasource"]] if "datasource" in value else []
    return own + [found for item in value.values() for found in sources(item)]


def test_every_query_names_the_one_data_source() -> None:
    for name, board in boards().items():
        found = sources(board)
        assert found
        assert all(one == {"type": "prometheus", "uid": UID} for one in found)
        assert board["templating"].get("list") or name in ("model", "pipelines", "runbooks")
        for panel in panels(board):
            if panel["type"] != "text":
                assert panel["targets"]
                assert all("datasource" in target for target in [panel, *panel["targets"]])


def test_every_panel_says_its_unit_and_what_it_means() -> None:
    for board in boards().values():
        assert board["description"].endswith(".")
        for panel in panels(board):
            assert panel["description"].endswith("."), panel["title"]
            if panel["type"] != "text":
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_no_panel_covers_another_or_leaves_the_grid() -> None:
    for board in boards().values():
        cells: Counter[tuple[int, int]] = Counter()
        for panel in board["panels"]:
            place = panel["gridPos"]
            across = range(place["x"], place["x"] + place["w"])
            down = range(place["y"], place["y"] + place["h"])
            assert across.stop <= WIDTH, panel["title"]
            cells.update(itertools.product(across, down))
        assert max(cells.values()) == 1, [c for c, n in cells.items() if n > 1]
        # No holes either: every line of the grid is full.
        for line in {y for _, y in cells}:
            assert sum(y == line for _, y in cells) in (WIDTH, WIDTH // 2), (board["title"], line)


def test_panels_lead_to_the_runbook_of_the_alert_that_they_name() -> None:
    found = boards()
    sections = {panel["id"]: panel["title"] for panel in panels(found["runbooks"])}
    linked = set()
    for name, board in found.items():
        for panel in panels(board):
            for link in panel.get("links", []):
                alert = link["title"].removeprefix("What to do: ")
                address, _, number = link["url"].partition("?viewPanel=")
                assert address == f"/d/{found['runbooks']['uid']}"
                assert sections[int(number)] == alert, name
                linked.add(alert)
    assert linked == set(limits.alerts()) == set(sections.values())
    texts = {panel["title"]: panel["options"]["content"] for panel in panels(found["runbooks"])}
    assert texts == runbooks.sections()


def steps(board: str, title: str) -> list[float]:
    """The values of a panel from which another colour holds."""
    (panel,) = [one for one in panels(boards()[board]) if one["title"] == title]
    found = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert found[0]["value"] is None
    return [step["value"] for step in found[1:]]


def test_limits_that_are_drawn_are_those_of_rules_and_gates() -> None:
    rules = {name: rule["expr"] for name, rule in limits.alerts().items()}
    slow, fast = steps("service", "How fast the error budget is used")
    shares = steps("service", "Failed predictions")
    for alert, times, share in (
        ("ToolwearErrorBudgetBurnsSlowly", slow, shares[0]),
        ("ToolwearErrorBudgetBurnsFast", fast, shares[1]),
    ):
        assert f"> {times:g} * {share / times:g}" in rules[alert]
    for board, title, alert in (
        ("service", "Slowest 1 % of answers", "ToolwearAnswersSlow"),
        ("model", 'Answered "not sure"', "ToolwearOftenUnsure"),
        ("data", "Monitor looked", "ToolwearMonitorStopped"),
    ):
        (value,) = steps(board, title)
        assert f"> {value:g}" in rules[alert]
    (days,) = steps("model", "Champion for")
    assert f"> {days / 86400:g} * 86400" in rules["ToolwearModelOld"]
    monitor = thresholds().monitor
    assert steps("data", "Drift of each feature") == [monitor.mean_psi_warning, monitor.max_psi]


@pytest.mark.parametrize("alert", ["ToolwearNoSuchAlert", "ToolwearAbstainsMore"])
def test_a_limit_that_no_rule_has_is_refused(alert: str) -> None:
    # The second has one, "== 1", which is none to draw.
    with pytest.raises(ToolwearError, match="has a limit"):
        limits.limit(alert)


def test_a_link_to_a_runbook_that_is_not_there_is_refused() -> None:
    with pytest.raises(ToolwearError, match="has no section"):
        runbooks.link("ToolwearNoSuchAlert")


def test_every_variable_that_a_query_uses_can_be_chosen() -> None:
    there = {
        name: {one["name"] for one in board["templating"].get("list") or []}
        for name, board in boards().items()
    }
    used = {name: set[str]() for name in there}
    for query in queries():
        used[query.board] |= query.variables() - set(BUILT_IN)
    assert used == there
