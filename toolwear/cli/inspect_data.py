"""Looking at recordings, and making some."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from toolwear.common.errors import ToolwearError
from toolwear.common.jsonfile import write_text
from toolwear.dataset import schema
from toolwear.run.config import RunParameters


def inspect(parameters: RunParameters, console: Console, write_dataset: Path | None = None) -> None:
    """Read the recordings as a run would and print what they hold.

    Args:
        parameters: of the run.
        console: to print on.
        write_dataset: file to write with the names of the columns, if they differ from ours.

    Raises:
        ToolwearError: they can't be read, or that file is there already.
    """
    from toolwear.dataset.names import OtherNamesError, rename_table

    if write_dataset is not None and write_dataset.exists():
        raise ToolwearError(f"{write_dataset} is there already; give the name of a new file.")
    try:
        manifest, runs = _read(parameters)
    except OtherNamesError as error:
        table = rename_table(error.rename)
        console.print(table, soft_wrap=True)
        if write_dataset is None:
            raise
        write_text(write_dataset, table)
        told = f"{write_dataset} holds this map of names; check it, then read with --dataset"
        console.print(f"{told} {write_dataset}", soft_wrap=True)
        return
    _print(manifest, runs, console)
    if write_dataset is not None:
        console.print(f"{write_dataset} was not written: the columns have the names that are read")


def _read(parameters: RunParameters) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    from components.ingest.step import ingest
    from toolwear.features import contradictions

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "telemetry"
        manifest = ingest(
            data=parameters.data,
            data_digest="",
            allow_simulator=parameters.allow_simulator,
            output=folder,
            dataset=parameters.dataset,
        )
        manifest["warnings"] += [
            f"The telemetry contradicts the table. {said}"
            for said in contradictions.of_table(folder)
        ]
        return manifest, pq.read_table(folder / "runs.parquet").to_pylist()


def _print(manifest: dict[str, Any], runs: list[dict[str, Any]], console: Console) -> None:
    for warning in manifest["warnings"]:
        console.print(warning, style="bold red", soft_wrap=True)
    table = Table(title=f"{manifest['rows']:,} rows of {manifest['runs']} runs")
    settings = [one["name"] for one in manifest["dataset"]["settings"]]
    columns = (schema.RUN_ID, *settings, schema.CONDITION, "rows", "cutting_rows")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for run in runs:
        table.add_row(*(f"{run[column]}" for column in columns))
    console.print(table)
    about = manifest["dataset"]["dataset"]
    lines = [
        f"data set {about['name']}: {about['title']}, licence {about['licence'] or 'not said'}"
    ]
    lines += [f"cited as: {about['citation']}"] if about["citation"] else []
    lines += [f"digest {manifest['digest']}"]
    lines += [f"{_files(e['files'])} read as: {e['format']}" for e in manifest["formats"]]
    lines += [
        f"unlabelled, nothing learns from it: {entry['file']}, {entry['rows']:,} rows"
        for entry in manifest["unlabelled"]
    ]
    for line in lines:
        console.print(line, soft_wrap=True)
    nulls = manifest["quirks"]["nulls"]
    console.print("missing numbers:" if nulls else "missing numbers: none")
    for name, count in nulls.items():
        console.print(f"  {name}  {count:,}")
    console.print_json(data={k: v for k, v in manifest["quirks"].items() if k != "nulls"})


def _files(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def simulate_recordings(
    output: Path, settings: list[str], console: Console, *, only_list: bool
) -> None:
    """Fill a folder with simulated recordings, or print the simulator's settings.

    Raises:
        ToolwearError: a setting is wrong, or the folder holds something already.
    """
    from toolwear.dataset.hooks import simulator

    made_by = simulator()
    os.umask(0o022)  # made-up numbers, which the user of a container may read, too
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ToolwearError(f"'--set {setting}' has no value; write --set {setting}=VALUE.")
        values[key.strip()] = value.strip()
    try:
        chosen = made_by.SimulatorSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ToolwearError(
            f"The simulator's setting '{name}' is wrong: {first['msg'].lower()}; "
            "`toolwear simulate --list` shows the settings."
        ) from None
    if only_list:
        console.print_json(data=chosen.model_dump())
        return
    if output.exists() and any(output.iterdir()):
        raise ToolwearError(f"{output} is not empty; give a new folder, nothing is overwritten.")
    with Progress(console=console) as bar:
        task = bar.add_task("simulating", total=None)
        made_by.simulate(
            chosen, output, lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.print(f"{output} holds simulated recordings; `toolwear run --data {output}` uses them")
