"""What the trigger tells of runs and decisions: it is on the disk, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from serving.trigger.metrics import decisions
from tests.trigger.service import Service
from toolwear.release import audit_log
from toolwear.release.decisions import Outcome
from toolwear.workspace.home import Home

ServiceOf = Callable[..., Service]
SECONDS = 'toolwear_run_seconds_{}{{cause="on_demand",outcome="succeeded"}}'


def entry(action: str, why: str, to: str | None = None, **more: str) -> dict[str, str | None]:
    return {"action": action, "why": why, "to": to, **more}


def test_a_decision_counts_once_however_often_its_version_is_on_the_log() -> None:
    log = [
        entry("promote", "promote_first: there is no champion", "1"),
        entry("decline", "refuse_poisoned: run 03 is flipped"),
        entry("decline", "refuse_poisoned: run 03 is flipped"),  # another run
        entry("held", "promote_better: 2 points", "2"),
        entry("promote", "promote_better: 2 points", "2"),  # allowed
        entry("held", "promote_newer: 9 more rows", "3"),
        entry("refuse", "not before the audit", "3", outcome="refuse_by_person"),
        entry("decline", "keep_tie: no difference", "4"),
        entry("rollback", "scrap on machine 3", "1"),
    ]
    assert decisions(log) == {
        Outcome.PROMOTE_FIRST: 1,
        Outcome.REFUSE_POISONED: 2,
        Outcome.PROMOTE_BETTER: 1,
        Outcome.PROMOTE_NEWER: 1,
        Outcome.REFUSE_BY_PERSON: 1,
        Outcome.KEEP_TIE: 1,
    }


def test_seconds_of_runs_and_decisions_outlive_a_restart(service_of: ServiceOf) -> None:
    service = service_of()
    (attempt,) = service.ends(service.ask())["attempts"]
    audit_log.append(Home(service.home), **entry("decline", "keep_tie: none", "1"))
    service.kill()
    service.start()
    assert service.metric(SECONDS.format("count")) == 1
    took = attempt["ended"] - attempt["started"]
    assert abs(service.metric(SECONDS.format("sum")) - took) < 1e-6
    assert service.metric('toolwear_decisions_total{outcome="keep_tie"}') == 1
    assert service.metric('toolwear_decisions_total{outcome="promote_first"}') == 0


def test_a_log_that_was_changed_takes_no_other_metric_away(service_of: ServiceOf) -> None:
    service = service_of()
    service.home.joinpath("records.db").write_bytes(b"broken")
    text = httpx.get(f"{service.url}/metrics").raise_for_status().text
    assert "toolwear_runs_total" in text
    assert "toolwear_decisions_total" not in text
    assert "toolwear_audit_log_changed 1.0" in text
    assert "decisions cannot be counted" in service.log.read_text()
