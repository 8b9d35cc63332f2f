"""Looking at recordings, and making some."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from components.core.config import RunParameters
from components.core.errors import ToolwearError


def inspect(parameters: RunParameters, console: Console) -> None:
    """Read the recordings as a run would and print what they hold.

    Raises:
        ToolwearError: they can't be read.
    """
    import pyarrow.parquet as pq

    from components.ingest.step import ingest
    from components.validate.contradictions import of_table

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "telemetry"
        manifest = ingest(
            data=parameters.data,
            data_digest="",
            allow_simulator=parameters.allow_simulator,
            output=folder,
        )
        runs = pq.read_table(folder / "runs.parquet").to_pylist()
        contradicted = of_table(folder)
    for warning in [*manifest["warnings"], *contradicted]:
        console.print(f"[bold red]{warning}[/]")
    table = Table(title=f"{manifest['rows']:,} rows of {manifest['runs']} runs")
    columns = ["run_id", "feedrate", "clamp_pressure", "tool_condition", "rows"]
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for run in runs:
        table.add_row(*(f"{run[column]}" for column in columns))
    console.print(table)
    console.print(f"digest {manifest['digest']}", highlight=False)
    console.print_json(data=manifest["quirks"])


def simulate_recordings(
    output: Path, settings: list[str], console: Console, *, only_list: bool
) -> None:
    """Fill a folder with simulated recordings, or print the simulator's settings.

    Raises:
        ToolwearError: a setting is wrong, or the folder holds something already.
    """
    from components.ingest.simulator import SimulatorSettings, simulate

    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ToolwearError(f"'--set {setting}' has no value; write --set {setting}=VALUE.")
        values[key.strip()] = value.strip()
    try:
        chosen = SimulatorSettings.model_validate(values)
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
        simulate(chosen, output, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(f"{output} holds simulated recordings; `toolwear run --data {output}` uses them")
