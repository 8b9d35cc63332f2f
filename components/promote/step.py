"""Input and output of the promotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.common.steps import report
from toolwear.release import approvals, audit_log
from toolwear.release.decisions import Outcome
from toolwear.release.held import AT_ONCE
from toolwear.release.moves import moving, write_entry
from toolwear.release.outcomes import Promotion
from toolwear.release.registry import CHAMPION, Registry, Version
from toolwear.release.registry_state import (
    NOTHING,
    ChampionMovedError,
    WithdrawnError,
    release,
)
from toolwear.release.rollout import Mode
from toolwear.release.rollouts import RolloutBusyError
from toolwear.workspace.home import Home

_DONE = {
    audit_log.PROMOTE: Promotion.PROMOTED,
    NOTHING: Promotion.ALREADY,
    Mode.CANARY + audit_log.START: Promotion.CANARY,
    Mode.SHADOW + audit_log.START: Promotion.SHADOW,
}


def promote(
    decision: Path,
    registration: Path,
    check: Path,
    cause: str,
    home: Home,
    mlflow_uri: str,
    output: Path,
    rollout: str = Mode.DIRECT.value,
    approval: bool = False,
    telemetry: Path | None = None,
    weights: str = AT_ONCE,
) -> Promotion:
    """Release the registered version or hold it; write `promotion.json`, return what was done.

    The graph gets here only after a decision to promote and a passed check of serving; both are
    looked at once more, for this is where a mistake would be served.

    Args:
        decision: folder with decision.json.
        registration: folder with registration.json.
        check: folder with check.json.
        cause: why the run was started.
        home: the system's folder.
        mlflow_uri: registry; empty for the local one.
        output: folder to make.
        rollout: a `Mode`.
        approval: hold it until a person allows or refuses.
        telemetry: folder of the recordings; a few are kept to ask a held model about later.
        weights: percent of a cluster's traffic that a held model gets later.

    Raises:
        ToolwearError: the decision is not to promote, or the check is not of this package.
    """
    decided, registered = _agreed(decision, registration, check)
    registry = Registry(home, mlflow_uri, registered["name"])
    version = registry.version(registered["version"])
    why = f"{decided['decision']}: {decided['reasons'][0]}"
    judged_against = (decided["champion"] or {}).get("version", "")
    champion = registry.at(CHAMPION)
    if approval and (champion is None or champion.number != version.number):
        if telemetry is not None:
            from toolwear.release.blue_green.questions import keep_rows  # which loads much

            keep_rows(telemetry, home.asked)
        entry = approvals.hold(
            registry, version, judged_against, Mode(rollout), why, cause, weights
        )
        outcome = Promotion.HELD
    else:
        outcome, entry = _released(registry, version, Mode(rollout), why, cause, judged_against)
    output.mkdir(parents=True)
    jsonfile.write(output / "promotion.json", {**entry, "outcome": outcome})
    report(f"{registry.name}: {audit_log.told(entry)}")
    return outcome


def _agreed(
    decision: Path, registration: Path, check: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return decision and registration if they and the check allow this model's promotion."""
    decided = jsonfile.read(decision / "decision.json")
    registered = jsonfile.read(registration / "registration.json")
    checked = jsonfile.read(check / "check.json")
    if not Outcome(decided["decision"]).promotes:
        raise ToolwearError(
            f"The decision is {decided['decision']}, so nothing may be promoted; "
            "read its reasons in the report."
        )
    if not checked["passed"]:
        raise ToolwearError(
            f"The check of serving failed, so nothing may be promoted: {checked['reason']}"
        )
    if checked["package_digest"] != registered["package_digest"] or (
        decided["challenger"]["model_sha256"] != registered["model_sha256"]
    ):
        raise ToolwearError(
            "Decision, registration and check of serving are of different models; "
            "promote from the artifacts of one run."
        )
    return decided, registered


def _released(
    registry: Registry, version: Version, mode: Mode, why: str, cause: str, judged_against: str
) -> tuple[Promotion, dict[str, Any]]:
    try:
        entry = release(registry, version, mode, why, cause, judged_against)
    except RolloutBusyError as error:
        return Promotion.BUSY, _stays(registry, version, audit_log.BUSY, str(error), cause)
    except ChampionMovedError as error:
        return Promotion.MOVED, _stays(registry, version, audit_log.OUTDATED, str(error), cause)
    except WithdrawnError as error:
        return Promotion.WITHDRAWN, _stays(
            registry, version, audit_log.WITHDRAWN, str(error), cause
        )
    return _DONE[entry["action"]], entry


def _stays(
    registry: Registry, version: Version, action: str, why: str, cause: str
) -> dict[str, Any]:
    with moving(registry) as champion:
        start = champion.number if champion else None
        return write_entry(registry, action, start, version, why, cause)
