"""`make parity`: the graph as processes, as containers and on Kubeflow, held side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tools.parity import budget, cluster, rules
from tools.parity.compare import compare
from tools.parity.local import left_by, run_here
from tools.parity.table import figures_table, print_rows
from toolwear.cli.containers import Runner
from toolwear.cli.options import console, overrides_of
from toolwear.common.errors import EXIT_FAILURE, EXIT_USAGE, ToolwearError
from toolwear.dataset.sources import source_digest
from toolwear.run.config import RunParameters, load
from toolwear.run.kubeflow import KubeflowDownError
from toolwear.run.run_name import new_run_name


def main() -> int:
    """Run, compare, print; return 1 if anything differs beyond the tolerance."""
    given = _arguments()
    try:
        return EXIT_FAILURE if _compared(given) else 0
    except KubeflowDownError as error:
        print(f"parity: {error}; try again.", file=sys.stderr)
        return EXIT_FAILURE
    except ToolwearError as error:
        print(f"parity: {error}", file=sys.stderr)
        return EXIT_USAGE


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.parity", description=__doc__)
    parser.add_argument("--data", help="folder of recordings; by default $TOOLWEAR_DATA")
    parser.add_argument("--folder", type=Path, default=Path("build/parity"), help="for the runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--tolerance", type=float, default=rules.TOLERANCE)
    parser.add_argument("--only", choices=[*Runner], help="run the graph this way, compare nothing")
    parser.add_argument(
        "--compare", action="store_true", help="only compare the runs that are in the folder"
    )
    parser.add_argument("--kfp", default="", metavar="HOST", help="address of Kubeflow's API")
    parser.add_argument("--kfp-data", default="", help="folder of the recordings on the cluster")
    parser.add_argument("--kfp-namespace", default=cluster.Cluster.namespace)
    parser.add_argument("--kfp-root", default=cluster.Cluster.root, help="BUCKET/PREFIX")
    parser.add_argument("--kfp-wait", type=float, default=cluster.Cluster.seconds)
    return parser.parse_args()


def _compared(given: argparse.Namespace) -> int:
    """Return how many artifacts differ."""
    parameters = load(None, **overrides_of(given.data, [*budget.settings(), *given.set], fast=True))
    folder = given.folder.resolve()
    if given.kfp:
        cluster.require_store()
    if given.only:
        run_here(Runner(given.only), _settings(parameters), folder)
        return 0
    if given.compare:
        runs = [left_by(runner, folder) for runner in Runner]
    else:
        runs = [run_here(runner, _settings(parameters), folder) for runner in Runner]
    skipped = {}
    if given.kfp:
        runs.append(_on_cluster(given, parameters, folder))
        skipped = {cluster.NAME: rules.NOT_IN_STORE}
    first, *others = runs
    bad = 0
    for other in others:
        rows = compare(first, other, given.tolerance, rules.EXEMPT, skipped.get(other.name))
        print_rows(rows, (first.name, other.name), given.tolerance, console)
        bad += sum(not row.passed for row in rows)
    console.print(figures_table(runs))
    if bad:
        console.print(f"{bad} artifacts differ or are missing", style="red")
    else:
        console.print(f"no artifact differs by more than {given.tolerance:g}")
    return bad


def _settings(parameters: RunParameters) -> dict[str, Any]:
    return {name: value for name, value in parameters.model_dump().items() if value != ""}


def _on_cluster(given: argparse.Namespace, parameters: RunParameters, folder: Path) -> Any:
    where = cluster.Cluster(given.kfp, given.kfp_namespace, given.kfp_root, given.kfp_wait)
    asked = parameters.model_dump() | {"data": given.kfp_data}
    if parameters.data:
        # Whatever is on the cluster has to be the recordings of here.
        asked["data_digest"] = source_digest(Path(parameters.data).resolve())
    return cluster.run_there(where, new_run_name(), asked, folder, cluster.tell)


if __name__ == "__main__":
    sys.exit(main())
