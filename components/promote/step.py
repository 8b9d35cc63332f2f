"""Input and output of the promotion."""

from __future__ import annotations

from pathlib import Path

from components.core import jsonfile
from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.registry import Registry
from components.core.steps import report
from components.decide.outcomes import Outcome
from components.promote.registry_state import promote_version

PROMOTED, ALREADY = "promoted", "already_champion"


def promote(
    decision: Path,
    registration: Path,
    check: Path,
    cause: str,
    home: Home,
    mlflow_uri: str,
    output: Path,
) -> str:
    """Make the registered version the champion and write `promotion.json`; return what was done.

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

    Raises:
        ToolwearError: the decision is not to promote, or the check is not of this package.
    """
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
    digest = registered["package_digest"]
    if checked["package_digest"] != digest or (
        decided["challenger"]["model_sha256"] != registered["model_sha256"]
    ):
        raise ToolwearError(
            "Decision, registration and check of serving are of different models; "
            "promote from the artifacts of one run."
        )
    registry = Registry(home, mlflow_uri, registered["name"])
    version = registry.version(registered["version"])
    why = f"{decided['decision']}: {decided['reasons'][0]}"
    entry = promote_version(registry, version, why, cause)
    output.mkdir(parents=True)
    jsonfile.write(output / "promotion.json", entry)
    report(f"champion of {registry.name}: version {entry['from']} -> {entry['to']}")
    return ALREADY if entry["action"] == "none" else PROMOTED
