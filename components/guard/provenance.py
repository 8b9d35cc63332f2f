"""What the champion has learnt from: each data set that passed the guard leaves its runs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.guard.runs import RunFacts
from toolwear.common import jsonfile
from toolwear.dataset.sources import SIMULATOR
from toolwear.release.registry import CHAMPION, Registry
from toolwear.workspace.home import Home


@dataclass(frozen=True)
class Known:
    """What is known of the champion's data.

    Attributes:
        runs: that it or a champion before it has learnt from; None if nothing is known of them.
        says: why, in one sentence.
        disagreement: share of labels that a forest contradicted then; None if nothing is known.
    """

    runs: list[RunFacts] | None
    says: str
    disagreement: float | None = None


def keep(
    home: Home,
    data_digest: str,
    source: str,
    runs: Sequence[RunFacts],
    disagreement: float,
    known: Known,
) -> None:
    """Keep the runs of a data set that may teach, under the digest of its recordings.

    Runs that the champion knows and the data leaves out are kept with them: a label is not
    forgotten because a recording was missing once.

    Args:
        home: the system's folder.
        data_digest: of the recordings.
        source: kind of the data's source.
        runs: of the data.
        disagreement: share of labels that a forest contradicts.
        known: what is known of the champion's data.
    """
    names = {run.run_id for run in runs}
    inherited = [run for run in known.runs or () if run.run_id not in names]
    value = {
        "source": source,
        "disagreement": disagreement,
        "runs": [run.as_json() for run in (*runs, *inherited)],
    }
    jsonfile.write(home.provenance / f"{data_digest}.json", value)


def of_champion(home: Home, mlflow_uri: str, model_name: str) -> Known:
    """Return the runs that the champion has learnt from.

    Args:
        home: the system's folder.
        mlflow_uri: registry; empty for the local one.
        model_name: of the registered model.
    """
    registry = Registry(home, mlflow_uri, model_name)
    champion = registry.at(CHAMPION)
    if champion is None:
        return Known(None, "There is no champion yet, so no label can be held against its data.")
    digest = registry.package(champion).description["data_digest"]
    path = home.provenance / f"{digest}.json"
    if not path.exists():
        return Known(
            None,
            f"Nothing is kept of the data of champion version {champion.number}, so a run whose "
            "label was changed cannot be seen.",
        )
    value = jsonfile.read(path)
    if value["source"] == SIMULATOR:
        return Known(None, "The champion learnt from simulated runs, which vouch for no label.")
    runs = [RunFacts.from_json(run) for run in value["runs"]]
    return Known(
        runs,
        f"Held against the {len(runs)} runs of champion version {champion.number}.",
        value["disagreement"],
    )
