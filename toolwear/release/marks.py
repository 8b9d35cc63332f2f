"""How far each home's audit log is known to go, kept beside the key, outside of every home.

Whoever can write to a home can put an older copy of its log there, or none: both look whole. That
more was known is written down here, by the home's place. A mark is written after its entry: it may
be behind the log, never ahead of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.workspace import seal
from toolwear.workspace.home import Home

_log = logging.getLogger("toolwear.audit")


@dataclass(frozen=True)
class Mark:
    """What is known of a log.

    Attributes:
        place: folder of the home.
        log: id of the log, which goes with the home when that is moved.
        count: of its entries.
        head: digest of all of them.
    """

    place: str
    log: str
    count: int
    head: str

    @property
    def left(self) -> bool:
        """Whether there is no log at its place any more."""
        return not Home(Path(self.place)).records.exists()


def at(home: Home) -> Mark | None:
    """Return the mark of the log at this place."""
    return _read(_path(home))


def moved_from(log: str) -> Mark | None:
    """Return the furthest mark of a log at a place that it has left; None if it is still there.

    A log that is still at another place was copied, and the two may go on apart.
    """
    found = [mark for path in _folder().glob("*.json") if (mark := _read(path)) is not None]
    left = [mark for mark in found if mark.log == log and mark.left]
    return max(left, key=lambda mark: mark.count, default=None)


def write(home: Home, log: str, count: int, head: str) -> None:
    """Write down how far the log at this place goes; where nothing can be written that is logged.

    Pods have no folder that stays, and reading a log must not need one.
    """
    try:
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        jsonfile.write(_path(home), asdict(Mark(str(home.root.resolve()), log, count, head)))
    except (OSError, ToolwearError) as error:
        _log.warning("how far the audit log goes is not kept outside of the home: %s", error)


def _folder() -> Path:
    return seal.state_folder() / "audit-logs"


def _path(home: Home) -> Path:
    place = hashlib.sha256(str(home.root.resolve()).encode()).hexdigest()[:24]
    return _folder() / f"{place}.json"


def _read(path: Path) -> Mark | None:
    try:
        return Mark(**jsonfile.read(path))
    except FileNotFoundError:
        return None
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise ToolwearError(
            f"{path}, which says how far an audit log is known to go, cannot be read ({error}); "
            "remove it, and the log is taken as it is found."
        ) from None
