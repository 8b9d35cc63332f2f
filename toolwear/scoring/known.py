"""How the recordings are read that the latest training learnt from."""

from __future__ import annotations

from pathlib import Path

from toolwear.common import jsonfile
from toolwear.dataset import contract
from toolwear.dataset.contract import DataSet
from toolwear.run import run_folder
from toolwear.run.run_folder import ARGUMENTS_FILE, LATEST, SUMMARY_FILE
from toolwear.workspace.home import Home


def known_contract(home: Home) -> DataSet:
    """Return the contract of the latest run's recordings; the mill's if there was none."""
    return latest_contract(home) or contract.default()


def latest_contract(home: Home) -> DataSet | None:
    """Return the contract of the latest run's recordings; None if there was none."""
    telemetry = _telemetry(home.root)
    return contract.of(telemetry) if telemetry is not None else None


def _telemetry(home: Path) -> Path | None:
    """Return the recordings of the latest run; what it took from the cache, an earlier one has."""
    link = home / LATEST
    latest = link.resolve()
    # What leads elsewhere is no run of this home.
    if latest.parent != home.resolve() or not (link / SUMMARY_FILE).exists():
        return None
    digest = jsonfile.read(latest / ARGUMENTS_FILE)["data_digest"]
    earlier = [folder for folder in run_folder.folders(home) if folder.name < latest.name]
    same = [o for o in earlier if jsonfile.read(o / ARGUMENTS_FILE)["data_digest"] == digest]
    for folder in (latest, *same):
        for found in (folder / "artifacts").glob("*/ingest/telemetry"):
            if found.resolve().is_relative_to(home.resolve()):
                return found
    return None
