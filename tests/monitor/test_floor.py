"""When a tool is held to be worn: what turns the verdict, what ends it, and what does neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from serving.monitor import state as states
from serving.monitor.floor import DEFAULT, Floor, Machine, Machines
from serving.monitor.state import State
from serving.payload.records import PROBABILITY, VERDICT
from tests.monitor.conftest import Mill
from tools.bench_drift.offline import NOON
from toolwear.cli.main import app
from toolwear.common.thresholds import thresholds
from toolwear.dataset import schema
from toolwear.release.decisions import KNOWN_RUNS_ONLY, NEW_RUNS
from toolwear.workspace.home import Home

LIMITS = thresholds().tool
ROWS = LIMITS.window_rows
APPROVED, KNOWN = "a" * 64, "b" * 64
WORN, UNWORN, UNSURE = "worn", "unworn", "not_sure"


class Log:
    """Rows as the payload log has them, a window a request, ten seconds apart."""

    def __init__(self) -> None:
        self.machines = Machines()
        self._numbers = count()

    def rows(
        self, said: str, recording: str | None = "a", share: float = 1.0, **columns: object
    ) -> pd.DataFrame:
        """Return a window's rows, of which a share says one thing and the others are not sure."""
        number = next(self._numbers)
        sure = round(ROWS * share)
        return pd.DataFrame(
            {
                "receipt_id": f"{number:06d}",
                "row_number": range(ROWS),
                "recording": recording,
                "machine": None,
                "answered_at": pd.Timestamp(NOON + timedelta(seconds=10 * number)),
                "package_digest": KNOWN,
                "run_id": None,
                schema.IS_CUTTING: True,
                PROBABILITY: 0.9,
                VERDICT: [said] * sure + [UNSURE] * (ROWS - sure),
                **columns,
            }
        )

    def look(self, *frames: pd.DataFrame) -> Machine:
        """Count the rows of one look; return the machine whose they are, as the state keeps it."""
        floor = Floor(
            self.machines, lambda one: NEW_RUNS if one == APPROVED else KNOWN_RUNS_ONLY, LIMITS
        )
        for frame in frames:
            floor.rows(frame)
        self.machines = Machines.model_validate_json(self.machines.model_dump_json())
        return self.machines.known[frames[-1]["machine"].iloc[0] or DEFAULT]

    def says(self, *windows: str, recording: str | None = "a") -> Machine:
        """Count windows, a look each; return the machine."""
        for said in windows:
            found = self.look(self.rows(said, recording))
        return found


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.parametrize(
    ("windows", "worn"),
    [
        ((WORN,), False),
        ((WORN, WORN), True),
        ((WORN, UNWORN, WORN), True),
        ((WORN, UNSURE, WORN), True),
        ((WORN, UNWORN, UNWORN, WORN), False),
        ((WORN, UNSURE, UNSURE, WORN), False),
        ((UNSURE,) * 5, False),
        ((WORN, UNSURE), False),
        ((WORN, WORN, UNSURE, UNSURE, UNSURE), True),  # doubt does not end it
        ((WORN, WORN, UNWORN, UNWORN, UNWORN), True),  # in one recording no tool recovers
    ],
)
def test_two_of_the_last_three_windows_turn_it(
    log: Log, windows: tuple[str, ...], worn: bool
) -> None:
    assert log.says(*windows).is_worn is worn


def test_a_window_says_what_enough_of_its_answers_say(log: Log) -> None:
    said = [log.look(log.rows(WORN, share=share)).windows[-1] for share in (0.58, 0.6, 1.0)]
    assert [(one.verdict, one.worn) for one in said] == [(UNSURE, 0.58), (WORN, 0.6), (WORN, 1.0)]
    machine = log.machines.known[DEFAULT]
    assert machine.share == pytest.approx((0.58 + 0.6 + 1.0) / 3)


def test_it_tells_in_what_recording_since_when_and_by_what_model(log: Log) -> None:
    log.says(UNWORN, recording="a")
    worn = log.says(WORN, WORN, recording="b").worn
    assert worn is not None
    assert (worn.recording, worn.use) == ("b", KNOWN_RUNS_ONLY)
    assert worn.since == NOON + timedelta(seconds=10)
    other = Log()
    other.look(other.rows(WORN, package_digest=APPROVED))
    worn = other.look(other.rows(WORN, package_digest=APPROVED)).worn
    assert worn is not None
    assert worn.use == NEW_RUNS
    mixed = Log()
    worn = mixed.look(mixed.rows(WORN, package_digest=APPROVED), mixed.rows(WORN)).worn
    assert worn is not None
    assert worn.use == KNOWN_RUNS_ONLY


def test_another_tool_ends_it_once_another_recording_says_so(log: Log) -> None:
    first = log.says(WORN, WORN, recording="a").worn
    assert log.says(WORN, UNWORN, UNSURE, recording="b").is_worn
    assert log.machines.known[DEFAULT].worn == first, "it is the same alert"
    ended = log.says(UNWORN, recording="b")
    assert not ended.is_worn
    assert ended.worn is not None
    assert ended.worn.recording == "a"
    again = log.says(WORN, WORN, recording="c")
    assert again.is_worn
    assert again.worn is not None
    assert again.worn.recording == "c"


def test_without_names_of_recordings_unworn_windows_end_it(log: Log) -> None:
    assert log.says(WORN, WORN, UNWORN, recording=None).is_worn
    assert not log.says(UNWORN, recording=None).is_worn


def test_windows_hold_one_recording_each(log: Log) -> None:
    half = log.rows(WORN, "a").iloc[: ROWS // 2]
    rest = log.rows(WORN, "b").iloc[: ROWS // 2]
    machine = log.look(half, rest)
    assert (machine.windows, machine.counts) == ([], {WORN: ROWS // 2})
    assert len(log.look(log.rows(WORN, "b")).windows) == 1
    assert log.machines.known[DEFAULT].counts == {WORN: ROWS // 2}


def test_rows_that_say_nothing_of_the_tool_do_not_count(log: Log) -> None:
    idle = log.rows(WORN).assign(**{schema.IS_CUTTING: False})
    no_window = log.rows(UNSURE).assign(**{PROBABILITY: None})
    by_id = log.rows(WORN, run_id="07")  # somebody looks at a run in the feature store
    log.look(idle, no_window, by_id, log.rows(UNWORN))
    machine = log.machines.known[DEFAULT]
    assert [window.verdict for window in machine.windows] == [UNWORN]
    assert machine.counts == {}


def test_what_comes_late_or_again_turns_nothing(log: Log) -> None:
    old = [log.rows(WORN, "a") for _ in range(2)]
    assert log.look(*old).is_worn
    assert not log.says(UNWORN, UNWORN, recording="b").is_worn
    assert not log.look(*old, *old).is_worn
    late = [log.rows(WORN, "a") for _ in range(3)]
    log.says(UNWORN, recording="c")
    assert not log.look(*late).is_worn
    assert log.machines.known[DEFAULT].recording == "c"
    once = log.rows(WORN, "c")
    assert not log.look(once).is_worn
    assert not log.look(once).is_worn, "one window is no two"


def test_files_of_several_servers_count_in_one_look(log: Log) -> None:
    first, second, third, fourth = (log.rows(WORN, "a") for _ in range(4))
    machine = log.look(pd.concat([first, third]), pd.concat([second, fourth]))
    assert len(machine.windows) == 3
    assert machine.is_worn


def test_a_window_that_was_begun_longer_is_closed(log: Log) -> None:
    log.look(log.rows(WORN).iloc[:10])
    log.machines.known[DEFAULT].counts = {WORN: 2 * ROWS}
    assert [one.worn for one in log.look(log.rows(UNWORN)).windows] == [1.0, 0.0]


def test_a_person_says_that_the_tool_was_changed(tmp_path: Path, log: Log) -> None:
    log.says(WORN, WORN)
    states.write(Home(tmp_path).monitor, State(machines=log.machines))

    def said(machine: str) -> Result:
        return CliRunner().invoke(app, ["tool-changed", machine, f"--home={tmp_path}"])

    done = said(DEFAULT)
    assert done.exit_code == 0
    assert done.stdout == "machine default has another tool; its alert ends\n"
    log.machines = states.read(Home(tmp_path).monitor).machines
    log.look(log.rows(WORN))  # answered before that was said
    machine = log.machines.known[DEFAULT]
    assert (machine.is_worn, machine.windows) == (False, [])
    later = datetime.now(UTC) + timedelta(seconds=10)
    for seconds in range(2):
        when = pd.Timestamp(later + timedelta(seconds=seconds))
        machine = log.look(log.rows(WORN, answered_at=when))
    assert machine.is_worn, "the new tool is worn as well"
    unknown = said("mill-9")
    assert unknown.exit_code != 0
    assert "No telemetry names a machine mill-9; those watched: default." in str(unknown.exception)


def test_each_machine_has_a_tool_of_its_own(log: Log) -> None:
    for _ in range(2):
        log.look(log.rows(WORN, machine="mill-3"), log.rows(UNWORN, machine="mill-4"))
    known = log.machines.known
    assert {name: one.is_worn for name, one in known.items()} == {"mill-3": True, "mill-4": False}


def test_made_up_machines_take_the_place_of_none_that_works_or_is_worn(log: Log) -> None:
    at_work = [f"mill-{number}" for number in range(LIMITS.machines - 1)]
    log.look(*(log.rows(WORN, machine="worn") for _ in range(2)))
    log.look(*(log.rows(UNWORN, machine=name) for name in at_work))
    crowd = log.rows(WORN).assign(machine=[f"m{number}" for number in range(ROWS)])
    with pytest.raises(KeyError):
        log.look(crowd)
    assert (len(log.machines.known), log.machines.left_out_rows) == (LIMITS.machines, ROWS)
    tomorrow = pd.Timestamp(NOON + timedelta(seconds=LIMITS.silent_seconds + 3600))
    log.look(log.rows(UNWORN, machine="new", answered_at=tomorrow))
    assert len(log.machines.known) == LIMITS.machines
    assert {"worn", "new"} < set(log.machines.known)
    assert "mill-0" not in log.machines.known


def test_recorded_runs_turn_it_and_end_it(mill: Mill) -> None:
    log = Log()
    first = 0
    found = []
    for run in ("12", "06", "12", "18"):
        frame = mill.offline.frame(mill.recordings[run], first).assign(recording=f"part-{first}")
        first += 100
        machine = log.look(frame)
        found.append((run, machine.is_worn))
    assert found == [("12", False), ("06", True), ("12", False), ("18", True)]
    assert machine.worn is not None
    assert machine.worn.recording == "part-300"
    assert machine.share == pytest.approx(1.0, abs=0.05)
