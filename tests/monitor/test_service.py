"""The monitor as a process: what it shows, and that a kill neither loses nor repeats a window."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from serving.monitor.kinds import Kind, Result
from serving.monitor.packages import judge as judge_of
from serving.monitor.service import Service
from serving.monitor.state import State
from serving.monitor.watch import Watch
from serving.payload import segments
from serving.payload.log import Limits, PayloadLog, read
from serving.payload.records import Labels
from tests.monitor.conftest import Mill
from tests.monitor.service import PATIENCE, Process, answers, furnished, logged, monitor
from tests.packages import parts
from tests.ports import free_port
from tests.serving.conftest import environment
from tests.serving.stack import wait_for
from toolwear.common import jsonfile
from toolwear.common.fingerprint import ROOT
from toolwear.common.thresholds import thresholds
from toolwear.model.package import write_package

LIMITS = thresholds().monitor


@pytest.fixture
def home(mill: Mill, tmp_path: Path) -> Path:
    return furnished(mill, tmp_path)


def undisturbed(mill: Mill, home: Path) -> State:
    """Return the state that a monitor ends in that nobody kills."""
    state = State()
    judge = judge_of(mill.package, LIMITS)
    list(Watch(state, lambda digest: judge, LIMITS).rows(read(home)))
    return state


def test_it_shows_windows_alarms_reports_and_metrics(mill: Mill, home: Path) -> None:
    scored = answers(mill, "dead_sensor", "12")
    log = logged(home, scored)
    for one in scored:
        truth = Labels(one.receipt_id, (False,) * len(one.values), datetime.now(UTC), "inspector")
        assert log.put_labels(truth)
    with monitor(home) as running:
        wait_for(lambda: running.state()["labelled_rows"] >= 1800, PATIENCE)
        state = running.state()
        assert set(state["alarms"]) == {"quality", "abstention"}
        quality = state["kinds"]["quality"]
        assert (quality["alarm"], quality["result"]) == (True, "alarm")
        assert "S1_OutputCurrent" in quality["why"]
        assert state["kinds"]["data"]["result"] == "ok"
        assert state["champion"]["package"] == mill.package.digest
        assert state["under_way"][mill.package.digest]["regimes"]["3"] == 397
        value = running.value
        assert value('toolwear_drift_alarm{kind="quality"}') == 1
        assert value('toolwear_drift_alarm{kind="data"}') == 0
        assert value('toolwear_drift_score{feature="all",kind="data"}') < LIMITS.mean_psi
        assert value('toolwear_drift_score{feature="X1_OutputVoltage",kind="data"}') > 0
        assert value('toolwear_data_quality_faults{fault="stuck"}') == 1
        assert value('toolwear_monitor_windows_total{kind="quality",result="alarm"}') == 3
        assert value("toolwear_abstention_ratio") == 1
        assert value("toolwear_labelled_accuracy") > 0.9
        assert value("toolwear_labelled_rows") == state["labelled_rows"]
        assert value('toolwear_disk_bytes{kind="packages"}') > 10_000
        assert value('toolwear_disk_budget_bytes{kind="payloads"}') == 1e9
        assert value("toolwear_champion_since_timestamp_seconds") == 1767225600
        newest = max(window["last"] for window in state["windows"])
        assert value("toolwear_monitor_last_window_timestamp_seconds") == pytest.approx(
            datetime.fromisoformat(newest).timestamp()
        )
        looked = value("toolwear_monitor_last_success_timestamp_seconds")
        assert 0 <= time.time() - looked < 30
        check_pages(running, state)
    log.close()


def check_pages(running: Process, state: dict) -> None:
    listing = httpx.get(f"{running.url}/", follow_redirects=True, timeout=10)
    assert "In alarm:" in listing.text
    for window in state["windows"]:
        assert f'href="{window["report"]}"' in listing.text
        page = httpx.get(running.url + window["report"], timeout=10)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "data:image/png;base64," in page.text
        for kind in window["results"]:
            assert f"<td>{kind}</td>" in page.text
    for wrong in ("nothing", "..%2fstate.json", "%3Cb%3E"):
        missing = httpx.get(f"{running.url}/reports/{wrong}", timeout=10)
        assert missing.status_code == 404
    assert httpx.post(f"{running.url}/v1/state").status_code == 405


def test_killed_again_and_again_it_reports_every_window_once(mill: Mill, home: Path) -> None:
    scored = answers(mill, "healthy", "12", "06", "13")
    log = PayloadLog(home, Limits(rows=1500))
    log.start()
    running = Process(home, free_port())

    def reports() -> int:
        return len(list((home / "monitor" / "reports").glob("*.html")))

    # Killed as soon as a report is there, whether or not the state knows of it.
    for part in range(3):
        for one in scored[10 * part : 10 * part + 10]:
            log.put(one)
        log.flush()
        before = reports()
        running.start()
        assert running.process is not None
        try:
            wait_for(lambda known=before: reports() > known, PATIENCE)  # type: ignore[misc]
        finally:
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
    log.close()
    expected = undisturbed(mill, home)
    with monitor(home) as again:
        wait_for(lambda: again.state()["rows"] == len(read(home)), PATIENCE)
        state = State.model_validate(jsonfile.read(home / "monitor" / "state.json"))
        windows = again.value('toolwear_monitor_windows_total{kind="data",result="ok"}')
    assert sorted(w.id for w in state.windows) == sorted(w.id for w in expected.windows)
    assert len(state.windows) >= 12
    assert state.totals == expected.totals
    assert windows == expected.totals[Kind.DATA][Result.OK]
    by_id = {window.id: window for window in expected.windows}
    for window in state.windows:
        other = by_id[window.id]
        assert (window.first, window.last) == (other.first, other.last)
        assert window.verdicts[next(iter(window.verdicts))].score == pytest.approx(
            other.verdicts[next(iter(window.verdicts))].score
        )
    assert {path.stem for path in (home / "monitor" / "reports").iterdir()} == set(by_id)


def test_rows_that_retention_took_away_begin_new_windows(mill: Mill, home: Path) -> None:
    scored = answers(mill, "healthy", "12")
    service = Service(home, LIMITS, thresholds().tool)
    logged(home, scored[:5]).close()
    service.look()
    under_way = service.seen.state.packages[mill.package.digest]
    assert (service.seen.state.rows, under_way.quality.rows > 0) == (1000, True)
    (first,) = segments.folder(home).iterdir()
    first.unlink()
    service.look()
    assert service.seen.state.gaps == 0, "what was read to its end may go"
    log = logged(home, scored[5:6])
    service.look()
    log.close()
    for path in segments.folder(home).iterdir():
        path.unlink()
    logged(home, scored[6:7]).close()
    service.look()
    state = service.seen.state
    assert (state.rows, state.gaps) == (1400, 1)
    rows = state.packages[mill.package.digest].quality.rows
    assert rows <= 200, "the rows before and after the gap are no window"


def test_labels_without_an_answer_are_counted(mill: Mill, home: Path) -> None:
    scored = answers(mill, "healthy", "12")[5]
    log = logged(home, [scored])
    for receipt in (scored.receipt_id, "gone"):
        assert log.put_labels(Labels(receipt, (False,) * 200, datetime.now(UTC), "late"))
    service = Service(home, LIMITS, thresholds().tool)
    service.look()
    log.close()
    service.look()
    state = service.seen.state
    assert (state.labelled_rows, state.unmatched_labels) == (200, 200)
    results = [window.verdicts[Kind.CONCEPT].result for window in state.windows]
    assert results == [Result.OK] * 2


def test_a_package_without_a_reference_is_told(
    mill: Mill, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    description, files = parts()
    other = write_package(home / "packages", description, files)
    scored = answers(mill, "healthy", "12")[5]
    for digest in (other.digest, "f" * 64):
        logged(home, [replace(scored, proof={**scored.proof, "package_digest": digest})]).close()
    service = Service(home, LIMITS, thresholds().tool)
    service.look()
    assert service.seen.state.unreferenced_rows == 400
    assert "has no drift.json; run the pipeline again" in caplog.text
    assert "ffffffffffff: " in caplog.text


def test_a_disk_that_fails_costs_no_window(
    mill: Mill, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(home, answers(mill, "healthy", "12")).close()
    service = Service(home, LIMITS, thresholds().tool)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("serving.monitor.state.write", full)
        with pytest.raises(OSError, match="No space"):
            service.look()
    service.look()
    assert service.seen.state.totals == undisturbed(mill, home).totals


def test_faults_of_the_caller_are_one_sentence(home: Path, tmp_path: Path) -> None:
    def refused(where: Path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "serving.monitor", "--home", str(where)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "is no folder; give the system's home" in refused(tmp_path / "nowhere")
    (home / "monitor").mkdir()
    (home / "monitor" / "state.json").write_text('{"format": 9}')
    assert "move it away to begin anew" in refused(home)
