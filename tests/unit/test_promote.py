"""The audit log: appended to, chained, honest about moves that were cut off."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from components.core.errors import ToolwearError
from components.core.lock import exclusive
from components.promote import audit_log


def log_of(path: Path, *moves: tuple[str, str | None, str]) -> list[dict[str, object]]:
    for action, start, end in moves:
        audit_log.append(path, action=action, **{"from": start}, to=end, model="m")
    return audit_log.entries(path)


def test_entries_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    found = log_of(path, ("promote", None, "1"), ("promote", "1", "2"))
    assert [(entry["from"], entry["to"]) for entry in found] == [(None, "1"), ("1", "2")]
    assert all(str(entry["when"]).endswith("+00:00") for entry in found)
    assert audit_log.entries(tmp_path / "none") == []


@pytest.mark.parametrize("line", [0, 1])
def test_a_changed_line_is_noticed(tmp_path: Path, line: int) -> None:
    path = tmp_path / "audit.jsonl"
    log_of(path, ("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3"))
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace('"action": "promote"', '"action": "nothing"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ToolwearError, match=f"Line {line + 2} of .* was changed"):
        audit_log.entries(path)
    with pytest.raises(ToolwearError, match="was changed"):
        audit_log.append(path, action="promote")


@pytest.mark.parametrize("gone", [0, 1])
def test_a_line_that_was_taken_out_is_noticed(tmp_path: Path, gone: int) -> None:
    path = tmp_path / "audit.jsonl"
    log_of(path, ("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3"))
    lines = path.read_text().splitlines()
    del lines[gone]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ToolwearError, match=f"Line {gone + 1} of"):
        audit_log.entries(path)


def test_nonsense_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("[]\n")
    with pytest.raises(ToolwearError, match="Line 1 of"):
        audit_log.entries(path)


def test_a_line_whose_writer_was_killed_never_counted(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log_of(path, ("promote", None, "1"))
    with path.open("a") as stream:
        stream.write('{"action": "promote", "to": "2", "cha')
    assert [entry["to"] for entry in audit_log.entries(path)] == ["1"]
    assert [entry["to"] for entry in log_of(path, ("promote", "1", "3"))] == ["1", "3"]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_a_rollback_goes_back_and_never_forth(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    moves = [("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")]
    found = log_of(path, *moves, ("rollback", "3", "2"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1", "2"]
    found = log_of(path, ("rollback", "2", "1"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1"]
    found = log_of(path, ("promote", "1", "4"))
    assert [entry["to"] for entry in audit_log.champions(found)] == ["1", "4"]


def _append_many(path: Path, lock: Path) -> None:
    for _ in range(20):
        with exclusive(lock, "testing"):
            audit_log.append(path, action="promote", to="1")


def test_processes_that_append_at_once_do_not_break_the_chain(tmp_path: Path) -> None:
    path, lock = tmp_path / "audit.jsonl", tmp_path / "lock"
    processes = [
        multiprocessing.get_context("spawn").Process(target=_append_many, args=(path, lock))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(audit_log.entries(path)) == 60


def _hold(lock: Path, held: Path) -> None:
    with exclusive(lock, "testing"):
        held.touch()
        time.sleep(60)


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
