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

from toolwear.common import jsonfile
from toolwear.common.errors import ToolwearError
from toolwear.model.package import Package, is_digest, load_package
from toolwear.release import named
from toolwear.release.held import no_champion
from toolwear.release.named import Named
from toolwear.release.registry import CANDIDATE, CHAMPION
from toolwear.workspace.home import Home

POLL_SECONDS = 0.5
_RETRY_SECONDS = 5.0
_SHOWN = 12  # characters of what somebody may have written
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
        found = Champion(**{item.name: str(value[item.name]) for item in fields(Champion)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        found = None
    if found is None or not is_digest(found.package_digest):
        raise ToolwearError(
            f"{path(home, track)} is broken; promote or roll back to have it written again."
        )
    return found


def load(home: Path, champion: Champion) -> Package:
    """Read the champion's package and check every byte of it.

    Raises:
        ToolwearError: it is gone or was changed, or lies elsewhere than packages do.
    """
    return load_package(_folder(home, champion), champion.package_digest)


def _folder(home: Path, champion: Champion) -> Path:
    """Return the package's folder: in the home, named by its digest, and reached without links."""
    folder = Home(home).packages / champion.package_digest
    inside = home.resolve() / folder.relative_to(home)
    if home / champion.package != folder or folder.resolve() != inside:
        raise ToolwearError(
            f"Version {champion.version[:_SHOWN]} is to be served from {champion.package[:200]}, "
            f"and its package has to be in {folder}, without a link on the way; bring that folder "
            "back from a backup, and `toolwear reconcile --why ...` has servers told anew."
        )
    return folder


def check(home: Home, champion: Champion, track: str = CHAMPION) -> None:
    """See that audit log and registry name the same version and package, and where that is.

    Raises:
        ToolwearError: they do not, or cannot be read; or the package would come from elsewhere.
    """
    pointed = Named(champion.version, champion.package_digest)
    fault = named.fault(home, champion.name, track, pointed, path(home.root, track).name)
    if fault:
        raise ToolwearError(fault)
    _folder(home.root, champion)


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
    check(Home.at(home), champion, track)
    return champion, load(home, champion)


class Follower:
    """Watches the pointer in a thread and hands every new champion on.

    A champion that cannot be loaded, or that audit log and registry do not name, is logged and
    tried again; the old one stays in service.

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
        wait, told = POLL_SECONDS, ""
        while not self._stop.wait(wait):
            wait = POLL_SECONDS
            try:
                champion = read(self._home, self._track)
                if champion is not None and champion != self._served:
                    check(Home.at(self._home), champion, self._track)
                    wait = _RETRY_SECONDS  # loading what fails again and again is dear
                    self._swap(champion)
                    wait, self._served = POLL_SECONDS, champion
            except (ToolwearError, OSError) as error:
                if str(error) != told:  # not again with every look
                    _log.error("the new champion cannot be served, the old one stays: %s", error)
                told = str(error)
