"""The pure parts of the serving bench: percentiles, ratios, targets, arguments, turns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench_serving.__main__ import arguments
from tools.bench_serving.compare import interleaved
from tools.bench_serving.figures import Load, chain_ratio, cpu_ratio, percentile, summary, targets


def load(latency: float, cpu_ms: float, requests: int = 10, seconds: float = 1.0) -> Load:
    return Load([latency] * requests, seconds, cpu_ms * requests / 1000)


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1.0), (50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_percentiles_are_measured_values(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_there_is_no_percentile_of_nothing(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_a_summary_pools_latencies_and_takes_the_median_of_rates() -> None:
    rounds = [load(1, 0.2, seconds=1), load(2, 0.3, seconds=2), load(9, 5.0, seconds=5)]
    assert summary(rounds) == pytest.approx(
        {
            "requests": 30,
            "p50_ms": 2,
            "p99_ms": 9,
            "requests_per_second": 5,
            "cpu_ms": 0.3,
        }
    )


def test_ratios_are_paired_by_round() -> None:
    base = [load(1, 0.1), load(2, 0.2), load(4, 0.4)]
    found = [load(3, 0.15), load(4, 0.4), load(4, 0.4)]
    assert cpu_ratio(found, base) == pytest.approx(
        {"cpu_ratio": 1.5, "cpu_ratio_least": 1.0, "cpu_ratio_most": 2.0}
    )
    assert chain_ratio(found, base) == pytest.approx(
        {"chain_ratio": 2, "chain_ratio_least": 1, "chain_ratio_most": 3}
    )
    with pytest.raises(ValueError, match="zip"):
        cpu_ratio(found[:2], base)


def test_targets_hold_at_their_limit_but_for_the_one_that_says_under() -> None:
    at = targets({"cpu_ratio": 1.8, "chain_ratio": 4.0, "shap_p50_ms": 15.0})
    assert [target["reached"] for target in at] == [True, True, False]
    above = targets({"cpu_ratio": 1.81, "chain_ratio": 4.01})
    assert [target["reached"] for target in above] == [False, False]
    assert [target["value"] for target in above] == [1.81, 4.01]


def test_each_round_begins_with_another_server() -> None:
    order: list[str] = []

    def step(name: str) -> Load:
        order.append(name)
        return load(1, 1)

    loads = interleaved({"a": lambda: step("a"), "b": lambda: step("b")}, 3)
    assert "".join(order) == "abbaab"
    assert {name: len(found) for name, found in loads.items()} == {"a": 3, "b": 3}


def test_the_arguments_are_read() -> None:
    chosen = arguments(["--home", "there", "--rounds", "2", "--requests", "16"])
    assert (chosen.home, chosen.rounds, chosen.requests) == (Path("there"), 2, 16)
    assert arguments([]).output.parts[-2:] == ("runs", "bench-serving.json")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [(["--rounds", "0"], "0 is not 1 or more"), (["--requests", "15"], "up to 16 clients")],
)
def test_wrong_arguments_are_told(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(given)
    assert sentence in capsys.readouterr().err
