"""The parts of the benchmark that compute and choose; it measures nothing here."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tools.bench import graph, measure, predict, scale, score, tables
from tools.bench.__main__ import SECTIONS, arguments
from toolwear.cli.plain import plain_console
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.fingerprint import ROOT

COPY_BYTES = scale.ROWS_PER_COPY * 1000


def one_round(first: float, plain: float, cached: float, search: float) -> dict[str, Any]:
    def used(wall: float) -> dict[str, float]:
        return {"wall": wall, "cpu": wall / 2, "peak_mib": 100.0}

    return {
        "first": used(first),
        "plain": used(plain),
        "plain_own_peak_mib": 100.0,
        "cached": used(cached),
        "cached_steps": ["ingest", "automl"],
        "steps": {
            "first": {"ingest": 1.0, "automl": search, "promote": 2.0},
            "plain": {"ingest": 1.0, "automl": search, "promote": 2.0},
            "cached": {"ingest": 0.0, "automl": 0.0, "decline": 2.0},
        },
        "search_cpu": search / 2,
    }


def one_scale(copies: int, rows_per_second: float, peak: float = 100.0) -> dict[str, Any]:
    rows = copies * scale.ROWS_PER_COPY
    used = {
        "rows": rows,
        "wall": rows / rows_per_second,
        "cpu": 1.0,
        "rows_per_second": rows_per_second,
        "peak_mib": peak,
    }
    return {
        "asked": copies,
        "copies": copies,
        "rows": rows,
        "bytes_per_row": 500.0,
        "steps": dict.fromkeys(scale.STEPS, used),
    }


def printed(show: Any, found: dict[str, Any]) -> str:
    console = plain_console(width=200)
    with console.capture() as captured:
        show(console, found)
    return captured.get()


def test_by_default_all_sections_run_and_1000_times_is_left_out() -> None:
    chosen = arguments([])
    assert tuple(chosen.only) == SECTIONS
    assert chosen.scales == [1, 10, 100]
    assert (chosen.repeats, chosen.settings) == (1, [])


def test_sections_scales_and_settings_are_chosen_by_name() -> None:
    line = "--only scale predict --scales 1 1000 --set seed=3 --set permutations=5"
    chosen = arguments(line.split())
    assert chosen.only == ["scale", "predict"]
    assert chosen.scales == [1, 1000]
    assert chosen.settings == ["seed=3", "permutations=5"]


@pytest.mark.parametrize("line", ["--only speed", "--scales 0", "--scales ten", "--repeats -1"])
def test_a_wrong_argument_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(line.split())
    assert ended.value.code == 2
    assert f"argument {line.split()[0]}" in capsys.readouterr().err


def test_a_scale_is_cut_to_four_fifths_of_the_free_disk() -> None:
    assert scale.fitting(100, 1000 * COPY_BYTES) == 100
    assert scale.fitting(100, 10 * COPY_BYTES) == 8
    assert scale.fitting(1, COPY_BYTES) == 0


def test_scales_that_the_disk_makes_equal_run_once() -> None:
    assert scale.plan([100, 1, 10, 10], 50 * COPY_BYTES) == [(1, 1), (10, 10), (100, 40)]
    assert scale.plan([10, 100, 1000], 50 * COPY_BYTES) == [(10, 10), (100, 40)]
    with pytest.raises(ToolwearError, match="give another --scratch"):
        scale.plan([1, 10], COPY_BYTES)


def test_linearity_compares_each_scale_with_the_one_before() -> None:
    found = scale.linearity([one_scale(1, 100.0), one_scale(10, 200.0, 150.0), one_scale(100, 200)])
    assert [(entry["from"], entry["to"]) for entry in found] == [(1, 10), (10, 100)]
    assert found[0]["features"] == {"rows_per_second": 2.0, "peak_mib": 1.5}
    assert found[1]["ingest"]["rows_per_second"] == 1.0
    assert scale.linearity([one_scale(1, 100.0)]) == []


def test_the_largest_scale_tells_how_long_more_would_take() -> None:
    scales = [one_scale(1, 10.0), one_scale(10, 1000.0)]
    expected = len(scale.STEPS) * 1000 * scale.ROWS_PER_COPY / 1000.0
    assert scale.seconds_for(1000, scales) == pytest.approx(expected)


def test_what_was_left_out_or_cut_is_said() -> None:
    scales = [one_scale(1, 10.0), one_scale(10, 1000.0)]
    found = {"free_bytes": 10**11, "scales": scales, "linearity": scale.linearity(scales)}
    text = printed(tables.scale, found)
    assert "1000 times was left out" in text
    assert 'make bench ARGS="--only scale --scales 1 10 100 1000"' in text
    scales[-1]["asked"] = 1000
    text = printed(tables.scale, found)
    assert "10 (of 1000)" in text
    assert "10 times was the largest that fits" in text


def test_the_search_is_left_out_of_both_sides() -> None:
    found = graph.conclude([one_round(first=70.0, plain=60.0, cached=14.0, search=20.0)])
    assert found["wall_ratio"] == pytest.approx(50 / 40)
    assert found["cpu_ratio"] == pytest.approx((35 - 10) / (30 - 10))
    assert found["cached_ratio"] == pytest.approx(14 / 70)
    assert found["cached_ratio_without_search"] == pytest.approx(14 / 50)


def test_ratios_are_medians_of_rounds_not_ratios_of_medians() -> None:
    rounds = [
        one_round(first=wall, plain=plain, cached=5.0, search=0.0)
        for wall, plain in ((30.0, 10.0), (20.0, 20.0), (80.0, 40.0))
    ]
    found = graph.conclude(rounds)
    assert found["wall_ratio"] == pytest.approx(2.0)
    assert found["median"]["first"]["wall"] == 30.0
    assert found["median"]["plain"]["wall"] == 20.0


@pytest.mark.parametrize(("first", "word"), [(60.0, "; reached)"), (61.0, "; NOT reached)")])
def test_the_table_says_whether_the_target_is_reached(first: float, word: str) -> None:
    rounds = [one_round(first=first, plain=40.0, cached=5.0, search=0.0)]
    text = printed(tables.graph, {"settings": [], "rounds": rounds, **graph.conclude(rounds)})
    assert word in text
    assert "2 steps from the cache" in text
    assert {"promote", "decline"} <= set(text.split())


def test_predictions_are_compared_by_rows_of_a_call() -> None:
    slow = {"wall": 0.02, "cpu": 0.02, "resident_mib": 300.0, "peak_mib": 300.0}
    fast = {"wall": 0.01, "cpu": 0.005, "resident_mib": 100.0, "peak_mib": 600.0}
    sizes = {"1": {"auto_sklearn": slow, "onnx": fast, "max_abs_diff": 1e-9, "calls": 3}}
    expected = {"wall": 2.0, "cpu": 4.0, "resident_mib": 3.0, "peak_mib": 0.5}
    ratios = predict.ratios(sizes)
    assert ratios == {"1": pytest.approx(expected)}
    found = {
        "members": ["lda"],
        "trained_rows": 5,
        "evaluations": 2,
        "seed": 0,
        "onnx_bytes": 2**21,
        "sizes": sizes,
        "ratios": ratios,
    }
    text = printed(tables.predict, found)
    assert "2.0 x" in text
    assert "agree within 1.0e-09" in text


@pytest.mark.parametrize(("ours", "word"), [(80.0, "; reached)"), (79.0, "; NOT reached)")])
def test_scoring_is_compared_with_the_plain_script_at_the_largest(ours: float, word: str) -> None:
    def used(speed: float) -> dict[str, float]:
        return {"rows": 1000, "rows_per_second": speed, "cpu": 1.0, "peak_mib": 300.0}

    ratio = {"rows_per_second": ours / 100, "peak_mib": 1.0}
    one = {"copies": 100, "toolwear": used(ours), "plain": used(100.0), "ratio": ratio}
    text = printed(tables.score, {"target": score.TARGET, "scales": [one]})
    assert word in text
    assert f"{ours / 100:.2f}" in text


def test_a_ratio_to_nothing_is_no_number() -> None:
    assert measure.ratio(3.0, 2.0) == 1.5
    assert math.isnan(measure.ratio(3.0, 0.0))


@pytest.mark.process
def test_a_process_is_measured_with_the_processes_it_waited_for(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys;"
        "subprocess.run([sys.executable, '-c', 'bytearray(200 << 20)'], check=True)"
    )
    used = measure.run([sys.executable, "-c", program], tmp_path / "log")
    assert used.peak_mib > 200
    assert used.wall > 0
    assert used.cpu > 0


@pytest.mark.process
def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = "import sys; print('no more disk'); sys.exit(3)"
    with pytest.raises(ToolwearError, match=r"log ended with 3; it said last:\nno more disk"):
        measure.run([sys.executable, "-c", program], tmp_path / "log")


@pytest.mark.process
def test_a_step_that_fails_is_told_as_it_said_it(tmp_path: Path) -> None:
    data = tmp_path / "[recordings]"
    line = f"--only graph --data {data} --scratch {tmp_path} --output {tmp_path / 'bench.json'}"
    command = [sys.executable, "-m", "tools.bench", *line.split()]
    done = subprocess.run(
        command, env=measure.environment(), capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == EXIT_USAGE, done.stderr
    assert "it said last:" in done.stdout
    assert str(data) in done.stdout.replace("\n", "")


@pytest.mark.process
def test_a_bench_that_is_told_to_end_leaves_neither_files_nor_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.bench", "--only", "scale", "--scales", "10"]
    process = subprocess.Popen(
        [*command, f"--scratch={tmp_path}", f"--output={tmp_path / 'bench.json'}"],
        env=measure.environment(),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/scale-10/raw/*.csv")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert started
    assert not any(child.is_running() for child in started)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_the_peak_of_a_program_is_its_own() -> None:
    # This process holds more than the one it starts will.
    held = bytearray(300 << 20)
    program = "from tools.bench.measure import own_peak_mib; print(own_peak_mib())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env=measure.environment(),
        text=True,
    )
    assert float(done.stdout) < len(held) / 2**20
    assert measure.own_peak_mib() > len(held) / 2**20
