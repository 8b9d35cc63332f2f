"""The pointer to the champion: a small file that promotion writes and running servers follow.

The candidate of a rollout has one like it, which the servers beside the champion's follow.

Servers do not ask the registry: it may be far away or down, and every answer would depend on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from components.core import jsonfile
from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.package import Package, load_package
from components.core.registry import CANDIDATE, CHAMPION
from components.promote.held import no_champion

POLL_SECONDS = 0.5
_RETRY_SECONDS = 5.0
_log = logging.getLogger("toolwear.serving")


@dataclass(frozen=True)
class Champion:
    """The champion as servers need to know it.

    Attributes:
        name: of the registered model.
        version: its number in the registry.
        package_digest: SHA-256 that names the package.
        package: the package's folder, relative to the home.
        model_sha256: of the ONNX graph.
        since: when it became champion, ISO 8601.
    """

    name: str
    version: str
    package_digest: str
    package: str
    model_sha256: str
    since: str


TRACKS = (CHAMPION, CANDIDATE)


def path(home: Path, track: str = CHAMPION) -> Path:
    """Return where the pointer of a track is."""
    return home / "candidate.json" if track == CANDIDATE else home / "serving" / "champion.json"


def write(home: Path, champion: Champion, track: str = CHAMPION) -> None:
    """Point to a champion: whoever reads sees the old one or the new one."""
    jsonfile.write(path(home, track), asdict(champion))


def read(home: Path, track: str = CHAMPION) -> Champion | None:
    """Return the champion, None if there has never been one; or the candidate, if there is one.

    Raises:
        ToolwearError: the file is broken.
    """
    try:
        value = jsonfile.read(path(home, track))
        return Champion(**{item.name: str(value[item.name]) for item in fields(Champion)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ToolwearError(
            f"{path(home, track)} is broken; promote or roll back to have it written again."
        ) from None


def load(home: Path, champion: Champion) -> Package:
    """Read the champion's package and check every byte of it.

    Raises:
        ToolwearError: it is gone or was changed.
    """
    return load_package(home / champion.package, champion.package_digest)


def read_package(home: Path, track: str = CHAMPION) -> tuple[Champion, Package]:
    """Return the champion and its package, or the candidate and its.

    Raises:
        ToolwearError: there is none, or it cannot be served.
    """
    champion = read(home, track)
    if champion is None and track == CANDIDATE:
        raise ToolwearError(f"There is no candidate in {home}: no rollout is under way.")
    if champion is None:
        raise ToolwearError(no_champion(Home.at(home)))
    return champion, load(home, champion)


class Follower:
    """Watches the pointer in a thread and hands every new champion on.

    A champion that cannot be loaded is logged and tried again; the old one stays in service.

    Args:
        home: the system's folder.
        served: the champion that is in service already.
        swap: takes a new champion into service, or raises `ToolwearError`.
        track: CHAMPION or CANDIDATE. A candidate that is gone stays in service until the servers
            are ended.
    """

    def __init__(
        self,
        home: Path,
        served: Champion,
        swap: Callable[[Champion], None],
        track: str = CHAMPION,
    ) -> None:
        self._home = home
        self._track = track
        self._served = served
        self._swap = swap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="champion", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; a swap that has begun is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        wait = POLL_SECONDS
        while not self._stop.wait(wait):
            wait = POLL_SECONDS
            try:
                champion = read(self._home, self._track)
                if champion is not None and champion != self._served:
                    self._swap(champion)
                    self._served = champion
            except (ToolwearError, OSError) as error:
                _log.error("the new champion cannot be served, the old one stays: %s", error)
                wait = _RETRY_SECONDS
