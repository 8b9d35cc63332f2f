"""Input and output of the branch on which the champion stays."""

from __future__ import annotations

from pathlib import Path

from components.decline.logic import why_not
from toolwear.common import jsonfile
from toolwear.common.lock import exclusive
from toolwear.common.person import who
from toolwear.common.steps import report
from toolwear.release import audit_log
from toolwear.workspace.home import Home


def decline(
    decision: Path, registration: Path, check: Path, cause: str, home: Home, output: Path
) -> str:
    """Put the refusal on the audit log, write `declined.json`, and return why in one word.

    Args:
        decision: folder with decision.json.
        registration: folder with registration.json.
        check: folder with check.json.
        cause: why the run was started.
        home: the system's folder.
        output: folder to make.
    """
    decided = jsonfile.read(decision / "decision.json")
    registered = jsonfile.read(registration / "registration.json")
    checked = jsonfile.read(check / "check.json")
    outcome = why_not(decided["decision"], serve_check_passed=checked["passed"])
    reasons = [checked["reason"]] if not checked["passed"] else decided["reasons"]
    with exclusive(home.lock("promote"), "writing the audit log"):
        entry = audit_log.append(
            home,
            who=who(),
            why=f"{outcome}: {reasons[0]}",
            cause=cause,
            action=audit_log.DECLINE,
            model=registered["name"],
            **{"from": _champion(home, registered["name"])},
            to=registered["version"],
            package=registered["package_digest"],
        )
    output.mkdir(parents=True)
    jsonfile.write(output / "declined.json", entry)
    report(f"the champion of {registered['name']} stays: {outcome}")
    return outcome


def _champion(home: Home, model: str) -> str | None:
    moves = audit_log.moves_of(audit_log.entries(home), model)
    return moves[-1]["to"] if moves else None
