"""Champions and candidates as servers find them: named by the audit log and by their file."""

from __future__ import annotations

from pathlib import Path

from toolwear.release import audit_log
from toolwear.release import champion as pointer
from toolwear.release.champion import Champion
from toolwear.release.registry import CANDIDATE, CHAMPION
from toolwear.workspace.home import Home


def point(home: Path, champion: Champion, track: str = CHAMPION) -> Champion:
    """Tell servers to serve a version, as a move does."""
    audit_log.append(
        Home(home),
        action="canary_start" if track == CANDIDATE else audit_log.PROMOTE,
        model=champion.name,
        **{"from": None},
        to=champion.version,
        package=champion.package_digest,
        who="a test",
        why="it won",
        cause="on_demand",
    )
    pointer.write(home, champion, track)
    return champion
