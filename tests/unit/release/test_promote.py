"""The audit log: appended to, chained, honest about moves that were cut off."""

from __future__ import annotations

import multiprocessing
import stat
import time
from pathlib import Path

import pytest

from toolwear.common.errors import ToolwearError
from toolwear.common.lock import exclusive
from toolwear.release import audit_log
from toolwear.release.moves import locked
from toolwear.workspace.home import Home


def log_of(home: Home, *moves: tuple[str, str | None, str]) -> list[dict[str, object]]:
    for action, start, end in moves:
        audit_log.append(home, action=action, **{"from": start}, to=end, model="m")
    return audit_log.entries(home)


def test_entries_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert audit_log.entries(home) == []
    assert not list(tmp_path.iterdir()), "whoever looks makes nothing"
    found = log_of(home, ("promote", None, "1"), ("promote", "1", "2"))
    assert [(entry["from"], entry["to"]) for entry in found] == [(None, "1"), ("1", "2")]
    assert all(str(entry["when"]).endswith("+00:00") for entry in found)
    assert stat.S_IMODE(home.records.stat().st_mode) == 0o600


def test_a_rollback_goes_back_and_never_forth(tmp_path: Path) -> None:
    home = Home(tmp_path)
    moves = [("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")]
    found = log_of(home, *moves, ("rollback", "3", "2"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1", "2"]
    found = log_of(home, ("rollback", "2", "1"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1"]
    found = log_of(home, ("promote", "1", "4"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1", "4"]


def _append_many(root: Path) -> None:
    for _ in range(20):
        with locked(Home(root)):
            audit_log.append(Home(root), action="promote", to="1")


@pytest.mark.process
def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_append_many, args=(tmp_path,))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(audit_log.entries(Home(tmp_path))) == 60


def _hold(lock: Path, held: Path) -> None:
    with exclusive(lock, "testing"):
        held.touch()
        time.sleep(60)


@pytest.mark.process
def test_a_lock_is_waited_for_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock, held = tmp_path / "lock", tmp_path / "held"
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(lock, held))
    process.start()
    deadline = time.monotonic() + 60
    while not held.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    busy = pytest.raises(
        ToolwearError, match=r"Another process is testing and did not finish within 0 s"
    )
    with busy, exclusive(lock, "testing", seconds=0.1):
        raise AssertionError("two hold the lock")
    process.kill()
    process.join()
    with exclusive(lock, "testing", seconds=5):
        pass
