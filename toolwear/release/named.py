"""What the audit log and the local registry name as champion or candidate; servers serve no other.

A move of ours writes the log, then the registry, then the file that servers follow. Where one says
otherwise, somebody changed it by other means, or a move was cut off: then nothing new is served.
Reads the registry's database itself: servers do without MLflow, whose import takes seconds.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote

from toolwear.common.errors import ToolwearError
from toolwear.common.files import see_regular
from toolwear.release import audit_log
from toolwear.release import registry as tags
from toolwear.release.registry import CANDIDATE, CHAMPION
from toolwear.workspace.home import Home

_SHOWN = 12  # characters of what somebody may have written
_SECONDS = 5.0  # a database may hold a view that never ends
_ALIAS = """
SELECT alias.version, tag.value FROM registered_model_aliases AS alias
LEFT JOIN model_version_tags AS tag
ON tag.name = alias.name AND tag.version = alias.version AND tag.key = ?
WHERE alias.name = ? AND alias.alias = ?
"""
_LOG, _REGISTRY = "the audit log", "the registry"


@dataclass(frozen=True)
class Named:
    """A version and the digest of its package, as somebody names them.

    Attributes:
        version: its number in the registry; empty where none is named.
        package: the digest; empty where none is named.
    """

    version: str = ""
    package: str = ""

    def __str__(self) -> str:
        if not self.version:
            return "none"
        return f"version {self.version[:_SHOWN]} (package {self.package[:_SHOWN] or 'unknown'})"


def fault(home: Home, model: str, track: str, pointed: Named, file: str) -> str:
    """Return in a sentence how file, audit log and registry differ, "" if they agree.

    A registry that is not this home's own database is not asked here: it may be far away or down.
    Nor is any for a candidate, which only the log makes one.

    Args:
        home: the system's folder.
        model: name of the registered model.
        track: CHAMPION or CANDIDATE.
        pointed: what the file names that servers follow.
        file: its name.

    Raises:
        ToolwearError: the log was changed, or the registry can't be read.
    """
    told = {file: pointed, _LOG: logged(home, model, track)}
    if track == CHAMPION and home.tracking_uri() == home.local_registry and home.database.exists():
        told[_REGISTRY] = _registered(home, model)
    if len(set(told.values())) == 1:
        return ""
    listed = ", ".join(f"{who} names {named}" for who, named in told.items())
    return f"{listed}: {_differs(told)}, so it is not served; {_mend(told, file, track)}"


def _differs(told: dict[str, Named]) -> str:
    if len(told) < len((_LOG, _REGISTRY)) + 1:
        return "the two differ"
    for who, named in told.items():
        others = {other for name, other in told.items() if name != who}
        if len(others) == 1 and named not in others:
            return f"{who} differs"
    return "all three differ"


def _mend(told: dict[str, Named], file: str, track: str) -> str:
    if track == CANDIDATE:
        return "`toolwear rollback` ends the rollout."
    if told.get(_REGISTRY) in (told[_LOG], None):
        return (
            "`toolwear reconcile --serve-registered --why ...` has the registry's champion served."
        )
    keep = f"`toolwear reconcile --why ...` keeps what {file} names"
    if told[file] == told[_REGISTRY]:
        return f"{keep}, and puts that on the log."
    return f"{keep}, with --serve-registered it is what the registry names."


def logged(home: Home, model: str, track: str = CHAMPION) -> Named:
    """Return what the audit log names.

    Raises:
        LogChangedError: it was changed, or somebody with a key that is not here has moved the
            champion behind entries of ours; a home that came with all of its entries is served.
    """
    log = audit_log.read(home)
    if log.changed:
        raise audit_log.LogChangedError(audit_log.sentence(home, log))
    last, number = {}, 0
    for place, entry in enumerate(log.entries, start=1):
        starts = entry["action"].endswith(audit_log.START)
        moves = starts if track == CANDIDATE else entry["action"] in audit_log.MOVES
        if moves and entry["model"] == model:
            last, number = entry, place
    unknown = {place for places in log.foreign.values() for place in places}
    if number in unknown and not unknown.issuperset(range(1, number)):
        raise audit_log.LogChangedError(
            f"Entry {number}, the last to name a {track}, is not served: "
            f"{audit_log.sentence(home, log)}"
        )
    return Named(last.get("to") or "", last.get("package") or "")


def _registered(home: Home, model: str) -> Named:
    address = f"file:{quote(str(see_regular(home.database)))}?mode=ro"
    ends = time.monotonic() + _SECONDS
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_SECONDS)) as database:
            database.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
            row = database.execute(_ALIAS, (tags.PACKAGE, model, CHAMPION)).fetchone()
    except sqlite3.Error as error:
        raise ToolwearError(
            f"The registry {home.database} can't be read ({error}), so nothing is served that it "
            "would have to name; bring it back from a backup."
        ) from None
    return Named(str(row[0]), row[1] or "") if row else Named()
