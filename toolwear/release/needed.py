"""What of a home somebody still needs: the champion, a rollout, an approval, a way back."""

from __future__ import annotations

from toolwear.release import audit_log, rollout
from toolwear.release import champion as pointer
from toolwear.release.held import waiting
from toolwear.release.registry import CANDIDATE, CHAMPION, PACKAGE, Registry
from toolwear.workspace.home import Home

ROLLBACK = "a rollback may go back to it"


def packages(home: Home) -> dict[str, str]:
    """Return the packages by digest, each with who needs it; the registry is not asked.

    Raises:
        LogChangedError: the audit log was changed, so that it can't be told.
        ToolwearError: something of that can't be read.
    """
    found: dict[str, str] = {}
    log = audit_log.entries(home)
    for model in {entry["model"] for entry in log}:
        for entry in audit_log.champions(audit_log.moves_of(log, model)):
            found[entry["package"] or ""] = ROLLBACK
    for item in waiting(home):
        found[item.package_digest] = f"version {item.version} waits for approval"
    now = rollout.read(home.root)
    if now is not None and now.running:
        found[now.package_digest] = f"the {now.mode} of version {now.version} is under way"
    for track in (CANDIDATE, CHAMPION):
        served = pointer.read(home.root, track)
        if served is not None:
            found[served.package_digest] = f"version {served.version} is {track}"
    return found


def registered(registry: Registry) -> dict[str, str]:
    """Return the packages of all versions that have an alias, each with that alias."""
    found = {}
    for model in registry.client.search_registered_models():
        for alias, number in model.aliases.items():
            version = registry.client.get_model_version(model.name, number)
            if PACKAGE in version.tags:
                found[version.tags[PACKAGE]] = f"version {number} is {alias}"
    return found


def before(home: Home) -> str:
    """Return the digest of the package that a rollback would go back to, "" without one."""
    champion = pointer.read(home.root)
    if champion is None:
        return ""
    moves = audit_log.moves_of(audit_log.entries(home), champion.name)
    stack = [entry for entry in audit_log.champions(moves) if entry["to"] is not None]
    return str(stack[-2]["package"] or "") if len(stack) > 1 else ""
