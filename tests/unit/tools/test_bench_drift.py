"""The drift table counts what it says it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.monitor.judge import Verdict
from serving.monitor.kinds import Kind, Result
from serving.monitor.state import State, Window
from tools.bench_drift import figures, pages
from tools.replay.scenarios import SCENARIOS
from toolwear.common.errors import ToolwearError
from toolwear.common.fingerprint import ROOT

MEANING = {"a": Result.ALARM, "o": Result.OK, "u": Result.UNCALIBRATED}


def state(word: str) -> State:
    """Return a state whose windows had these results for the data."""
    windows = [
        Window(
            id=str(number),
            package="p",
            about="feed-3",
            rows=500,
            first=f"2018-01-02T00:{number:02d}:00+00:00",
            last=f"2018-01-02T00:{number:02d}:59+00:00",
            verdicts={Kind.DATA: Verdict(result=MEANING[letter], score=0.0, threshold=0.0, why="")},
        )
        for number, letter in enumerate(word)
    ]
    return State(windows=windows)


def test_the_delay_is_counted_in_judged_windows() -> None:
    words = {"aa": 2, "oaa": 3, "aoa": 3, "uaua": 2, "aoo": None, "": None, "aooa": None}
    assert {word: figures.delay(state(word), Kind.DATA) for word in words} == words


def test_a_cell_counts_runs_windows_and_delays() -> None:
    seen = figures.cell({"01": state("oaa"), "02": state("oo"), "03": state("u")})[Kind.DATA]
    assert (seen.windows, seen.alarming) == (5, 2)
    assert (seen.runs, seen.raised, seen.delays) == (2, 1, (3,))


def test_false_alarms_have_an_interval_over_runs() -> None:
    quiet = figures.null({str(number): state("oooo") for number in range(10)})[Kind.DATA]
    assert (quiet.windows, quiet.runs, quiet.alarming, quiet.raised) == (40, 10, 0, 0)
    assert quiet.interval == (0.0, 300.0), "none in ten runs may still be three in ten"
    one_bad = {str(number): state("oooo") for number in range(9)} | {"9": state("aaaa")}
    loud = figures.null(one_bad)[Kind.DATA]
    assert (loud.alarming, loud.raised) == (4, 1)
    low, high = loud.interval
    assert low == 0
    assert 200 <= high <= 400, "one run in ten decides, not four windows in forty"


def test_the_page_has_the_tables_of_every_scenario_and_detector() -> None:
    page = (ROOT / "docs" / "drift.md").read_text()
    inside, of_champion = (
        page.split(begin)[1].split(end)[0] for begin, end in (pages.FORESTS, pages.CHAMPION)
    )
    for scenario in SCENARIOS.values():
        assert inside.count(f"| {pages.TITLES[scenario.name]} |") == 2
        about_another_model = bool(scenario.runs)
        assert of_champion.count(f"| {pages.TITLES[scenario.name]} |") == (not about_another_model)
    honest = [
        inside.index(words) for words in ("runs left out: ", "| known runs: ", "| scenario |")
    ]
    assert honest == sorted(honest), "what a new run does stands before what set the limits"
    for kind in Kind:
        assert f"\n| {kind} | " in inside
        assert f"{kind} 0 of " in of_champion, "known runs raise no alarm"


def test_tables_are_put_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    begin, end = pages.FORESTS
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    pages.replace_tables(page, "new", pages.FORESTS)
    assert page.read_text() == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    with pytest.raises(ToolwearError, match="lacks the marks"):
        pages.replace_tables(page, "new", pages.CHAMPION)
