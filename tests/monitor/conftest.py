"""A package with a reference from the real recordings, and the recordings as traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.bench_drift.offline import Offline, trained
from tools.replay.recordings import Recording, read
from toolwear.model.package import Package


@dataclass(frozen=True)
class Mill:
    """What the tests of the monitor share; copy the package into a home of one's own."""

    package: Package
    recordings: dict[str, Recording]

    @property
    def offline(self) -> Offline:
        return Offline(self.package)


@pytest.fixture(scope="session")
def mill(real_data: Path, features: Path, tmp_path_factory: pytest.TempPathFactory) -> Mill:
    """Return a forest trained on all real runs, and five of them."""
    package = trained(tmp_path_factory.mktemp("drift-packages"), features)
    wanted = {"06", "10", "12", "13", "18"}
    return Mill(package, {item.run_id: item for item in read(real_data, wanted)})
