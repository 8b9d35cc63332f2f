"""The steps of the training graph as plain calls in one process, in the graph's order.

`python -m tools.bench.plain ARGUMENTS.json FOLDER RESULT.json`; the arguments are those that
`toolwear run` left in its folder, so that both do the same.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.automl.launch import automl
from components.decide.evidence import Folders as DecideFolders
from components.decide.step import decide
from components.decline.step import decline
from components.evaluate.step import evaluate
from components.explain.step import explain
from components.features.step import features
from components.finish.logic import SUCCEEDED
from components.finish.step import Run, finish
from components.ingest.step import ingest
from components.promote.step import promote
from components.register.contents import Folders as RegisterFolders
from components.register.contents import Lineage
from components.register.step import register
from components.report.step import Folders as ReportFolders
from components.report.step import report
from components.serve_check.step import serve_check
from components.split.step import split
from components.train.step import train
from components.validate.step import validate
from tools.bench.measure import own_peak_mib
from toolwear.common import jsonfile
from toolwear.dataset.sources import source_digest
from toolwear.workspace.home import Home


class Timed:
    """Calls functions and keeps what each took: {name: {"wall": s, "cpu": s}}."""

    def __init__(self) -> None:
        self.used: dict[str, dict[str, float]] = {}

    def __call__(self, name: str, work: Callable[..., Any], **arguments: Any) -> Any:
        """Call `work(**arguments)` as `name`; CPU includes processes that it waited for."""
        wall, cpu = time.perf_counter(), sum(os.times()[:4])
        result = work(**arguments)
        self.used[name] = {
            "wall": time.perf_counter() - wall,
            "cpu": sum(os.times()[:4]) - cpu,
        }
        return result


def run_steps(given: dict[str, Any], folder: Path) -> dict[str, dict[str, float]]:
    """Run all steps below `folder` and return what each took.

    Args:
        given: arguments of the graph.
        folder: to write to.
    """
    home, seed = Home.at(folder / "home"), given["seed"]
    timed = Timed()
    _learn(timed, given, folder)
    made = {
        name: folder / name
        for name in ("evaluation", "explanation", "split", "features", "automl", "decision")
    }
    learned = {name: path for name, path in made.items() if name != "decision"}
    common = {"home": home, "mlflow_uri": ""}
    decided = timed(
        "decide",
        decide,
        folders=DecideFolders(**learned, validation=folder / "validation"),
        model_name=given["model_name"],
        data_digest=given["data_digest"],
        seed=seed,
        output=made["decision"],
        **common,
    )
    registered = timed(
        "register",
        register,
        folders=RegisterFolders(**made),
        lineage=Lineage(
            given["commit"], given["data_digest"], given["graph_digest"], seed, given["cause"]
        ),
        model_name=given["model_name"],
        output=folder / "registration",
        package_output=folder / "package",
        **common,
    )
    passed = timed(
        "serve_check",
        serve_check,
        package=folder / "package",
        digest=registered.digest,
        model_name=given["model_name"],
        output=folder / "check",
    )
    ending = {
        "decision": made["decision"],
        "registration": folder / "registration",
        "check": folder / "check",
        "cause": given["cause"],
        "output": folder / "outcome",
    }
    if passed and decided.promotes:
        outcome = timed("promote", promote, **ending, **common)
    else:
        outcome = timed("decline", decline, **ending, home=home)
    names = ("telemetry", "validation", "registration", "check")
    timed(
        "report",
        report,
        folders=ReportFolders(
            **{name: folder / name for name in names},
            **{name: path for name, path in made.items() if name != "features"},
        ),
        outcome=outcome,
        lineage={name: given[name] for name in ("commit", "graph_digest", "seed")},
        page=folder / "report.html",
        summary=folder / "summary.json",
    )
    timed(
        "finish",
        finish,
        state=SUCCEEDED,
        failed_task="",
        message="",
        run=Run(home, given["model_name"], given["cause"], given["data_digest"]),
        output=folder / "finish.html",
    )
    return timed.used


def _learn(timed: Timed, given: dict[str, Any], folder: Path) -> None:
    """Run the steps from the recordings to the explanations."""
    seed = given["seed"]
    telemetry, table, folds = folder / "telemetry", folder / "features", folder / "split"
    models, challenger = folder / "models", folder / "automl"
    # `toolwear run` does it before the graph starts.
    if source_digest(Path(given["data"])) != given["data_digest"]:
        raise RuntimeError("The recordings changed between the two measurements.")
    timed(
        "ingest",
        ingest,
        **{name: given[name] for name in ("data", "data_digest", "allow_simulator")},
        output=telemetry,
    )
    timed("validate", validate, telemetry=telemetry, output=folder / "validation")
    timed(
        "features",
        features,
        telemetry=telemetry,
        **{name: given[name] for name in ("restore_order", "window", "stride")},
        output=table,
    )
    timed("split", split, telemetry=telemetry, features=table, seed=seed, output=folds)
    inputs = {"features": table, "split": folds, "seed": seed}
    timed("train", train, **inputs, permutations=given["permutations"], output=models)
    searching = ("seconds", "evaluations", "memory_mb", "cores", "dask")
    timed(
        "automl",
        automl,
        **inputs,
        output=challenger,
        **{name: given[f"search_{name}"] for name in searching},
        **{name: given[name] for name in ("outer_folds", "outer_seconds")},
    )
    timed(
        "evaluate",
        evaluate,
        **inputs,
        models=models,
        automl=challenger,
        data_digest=given["data_digest"],
        output=folder / "evaluation",
    )
    timed(
        "explain",
        explain,
        **inputs,
        automl=challenger,
        rows=given["explain_rows"],
        output=folder / "explanation",
        page=folder / "explanation.html",
    )


def main() -> None:
    """Run all steps and write what they took, the peak of this process, and the model's digest."""
    arguments, folder, result = map(Path, sys.argv[1:4])
    steps = run_steps(jsonfile.read(arguments), folder)
    export = jsonfile.read(folder / "automl" / "export.json")
    jsonfile.write(
        result, {"steps": steps, "peak_mib": own_peak_mib(), "model_sha256": export["sha256"]}
    )


if __name__ == "__main__":
    main()
