"""What the component says of the real recordings, and what a refusal does to a run."""

# Without `annotations` from __future__: kfp reads the types of the graph below as objects.

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kfp import dsl, local
from kfp.dsl import Dataset

from components.validate.component import validate
from datasets.cnc_mill import names as mill
from toolwear.common import jsonfile

X = "X1_ActualPosition"
REMOTE = re.compile(r"(?:src|href|action|url)\s*[=(]\s*[\"']?(?:https?:)?//", re.IGNORECASE)


# A component that reads artifacts runs inside a graph only.
@dsl.pipeline(name="validate-alone")
def graph(telemetry: str) -> int:
    recordings = dsl.importer(artifact_uri=telemetry, artifact_class=Dataset)
    return validate(telemetry=recordings.output).outputs["Output"]


def run(telemetry: Path, outputs: Path) -> int:
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(outputs))
    return int(graph(telemetry=str(telemetry)).output)


@pytest.fixture(scope="module")
def folder(telemetry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the component made of the real recordings."""
    outputs = tmp_path_factory.mktemp("validate") / "outputs"
    assert run(telemetry, outputs) == 3
    (found,) = outputs.glob("**/result.json")
    return found.parent


@pytest.fixture(scope="module")
def result(folder: Path) -> dict[str, Any]:
    return dict(jsonfile.read(folder / "result.json"))


def test_the_recordings_pass_with_their_known_faults(folder: Path, result: dict[str, Any]) -> None:
    assert result["success"]
    assert (result["warnings"], result["critical_failures"]) == (3, 0)
    assert (result["rows"], result["runs"]) == (25_286, 18)
    counts = {
        (e["name"], e["severity"], e["column"]): (e["unexpected"], e["total"])
        for e in result["expectations"]
        if not e["success"]
    }
    assert counts == {
        ("sensor_fault", "warning", mill.CURRENT_FEEDRATE): (6_253, 25_286),
        ("sensor_fault", "warning", X): (4_360, 25_286),
        ("layer_depth", "warning", "layer_agreement"): (14, 18),
        ("sensor_fault", "info", mill.PROGRAM_NUMBER): (24_581, 25_286),
        ("constant", "info", "constant"): (5, 47),
        ("resolution", "info", "fine_values"): (47, 47),
    }
    assert not (folder / "failing_rows.csv").exists()


def test_every_column_is_checked_for_type_value_and_range(result: dict[str, Any]) -> None:
    made = {(e["name"], e["column"]) for e in result["expectations"]}
    assert {("type", c) for c in mill.RAW_COLUMNS} <= made
    assert {("not_null", c) for c in mill.RAW_COLUMNS} <= made
    assert {("range", c) for c in mill.NUMERIC_COLUMNS} <= made
    assert ("phase", mill.PHASE) in made


def test_pages_say_the_verdict_and_fetch_nothing(folder: Path, result: dict[str, Any]) -> None:
    html = (folder / "report.html").read_text()
    assert "Accepted, with 3 warnings" in html
    assert html.count("<svg") == 2
    for entry in result["expectations"]:
        assert entry["name"] in html
    pages = sorted(folder.rglob("*.html"))
    assert {"telemetry.html", "runs.html", "index.html"} <= {page.name for page in pages}
    assert len(pages) == 8  # the report, the index, and two for each of three suites
    for page in pages:
        text = page.read_text()
        assert not REMOTE.search(text), page
        assert "<script" not in text


def test_links_of_the_data_docs_lead_somewhere(folder: Path) -> None:
    docs = folder / "data_docs"
    links = re.findall(r'href="([^"#]+)"', (docs / "index.html").read_text())
    assert len(links) == 7
    assert all((docs / link).is_file() for link in links)


def test_a_refusal_fails_the_run_and_leaves_its_evidence(telemetry: Path, tmp_path: Path) -> None:
    damaged, outputs = tmp_path / "telemetry", tmp_path / "outputs"
    damaged.mkdir()
    rows = pd.concat(map(pd.read_parquet, sorted(telemetry.glob("part-*.parquet"))))
    rows.loc[[5, 6], mill.PHASE] = None
    rows.to_parquet(damaged / "part-00000.parquet", index=False)
    for name in ("runs.parquet", "manifest.json"):
        (damaged / name).write_bytes((telemetry / name).read_bytes())
    with pytest.raises(RuntimeError, match="validate"):
        run(damaged, outputs)
    (failing,) = outputs.glob("**/failing_rows.csv")
    assert failing.read_text().splitlines() == [
        "run_id,row,column,value,reason",
        f"01,5,{mill.PHASE},None,{mill.PHASE} has no value",
        f"01,6,{mill.PHASE},None,{mill.PHASE} has no value",
    ]
    verdict = jsonfile.read(failing.with_name("result.json"))
    assert (verdict["success"], verdict["critical_failures"]) == (False, 1)
    assert "has no value in 2 of 25,286 rows" in failing.with_name("report.html").read_text()
