"""Who brings a version into service, where servers do not follow the champion's pointer."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Protocol

from toolwear.model.package import Package
from toolwear.release.blue_green.cluster import NAMESPACE_VARIABLE
from toolwear.release.registry import Registry, Version
from toolwear.workspace.home import Home


class Served(Protocol):
    """Serves versions to clients, on a cluster."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep every other deployment out, or raise `ToolwearError` where one is at work."""

    def serve(self, version: Version, package: Package, cause: str, weights: str) -> None:
        """Give the traffic to a version; if it raises `ToolwearError`, nothing has changed."""

    def mend(self) -> None:
        """Put back what was cut off, unless it is at work; raise `ToolwearError` if that fails."""


def serve(served: Served, registry: Registry, version: Version, cause: str, weights: str) -> None:
    """Serve a version of a registry.

    Raises:
        ToolwearError: its package is gone or was changed, or it is not served.
    """
    served.serve(version, registry.package(version), cause, weights)


def served_by(home: Home) -> Served | None:
    """Return who serves a home's versions on a cluster; None if its servers follow a pointer."""
    if not os.environ.get(NAMESPACE_VARIABLE):
        return None
    from toolwear.release.blue_green.target import Target  # these load much
    from toolwear.release.blue_green.versions import Versions

    return Versions(Target(home))
