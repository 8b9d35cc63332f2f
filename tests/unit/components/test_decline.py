"""Every way in which the champion stays has a word, and leaves an entry on the audit log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.decline.step import decline
from toolwear.common import jsonfile
from toolwear.common.fingerprint import ROOT
from toolwear.release import audit_log
from toolwear.release.decisions import Outcome
from toolwear.workspace.home import Home

# These two end a run elsewhere: tests/component/test_guard.py, and where promotions are held.
ELSEWHERE = {Outcome.REFUSE_POISONED, Outcome.REFUSE_BY_PERSON}


@pytest.mark.process
@pytest.mark.parametrize("outcome", [o for o in Outcome if not o.promotes and o not in ELSEWHERE])
def test_each_outcome_that_keeps_the_champion_is_on_the_log(
    outcome: Outcome, tmp_path: Path
) -> None:
    passed = outcome is not Outcome.SERVE_CHECK_FAILED
    decided = {"decision": outcome if passed else "promote_better", "reasons": ["It was so."]}
    registered = {"name": "toolwear", "version": "3", "package_digest": "a" * 64}
    for name, value in (
        ("decision", decided),
        ("registration", registered),
        ("check", {"passed": passed, "reason": "It was so."}),
    ):
        jsonfile.write(tmp_path / name / f"{name}.json", value)
    log = Home(tmp_path / "home")
    first = {"from": None, "to": "2", "model": "toolwear"}
    audit_log.append(log, action=audit_log.PROMOTE, **first)
    told = decline(
        tmp_path / "decision",
        tmp_path / "registration",
        tmp_path / "check",
        "new_data: a test",
        Home.at(tmp_path / "home"),
        tmp_path / "out",
    )
    assert told == outcome
    _, entry = audit_log.entries(Home(tmp_path / "home"))
    assert entry["action"] == audit_log.DECLINE
    assert entry["why"] == f"{outcome}: It was so."
    assert (entry["cause"], entry["from"], entry["to"]) == ("new_data: a test", "2", "3")
    assert audit_log.told(entry) == "version 3 not promoted; champion stays version 2"
    assert jsonfile.read(tmp_path / "out" / "declined.json") == entry


def test_each_outcome_is_told_of_with_a_test_that_is_there() -> None:
    told = (ROOT / "docs" / "outcomes.md").read_text()
    shown = dict(re.findall(r"^\| `(\w+)` \|.*\| `(test_\w+)` \|$", told, flags=re.MULTILINE))
    assert set(shown) == {outcome.value for outcome in Outcome}
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in shown.values() if f"def {name}(" not in tests] == []
