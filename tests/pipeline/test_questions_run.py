"""A run on recordings that cannot carry every question, from the command line to the console."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pandas as pd
import pytest

from datasets.cnc_mill import names as mill
from serving.console.app import application
from serving.console.parts import Addresses
from tests.conftest import run_command
from toolwear.common import jsonfile
from toolwear.dataset import schema
from toolwear.release import registry as tags
from toolwear.release.registry import CHALLENGER, Registry
from toolwear.workspace.home import Home

pytestmark = pytest.mark.timeout(900)

RUNS = (1, 3, 6, 8, 9)
LEFT_OUT = "All runs have the same setting (6/4), so none can be left out"


@pytest.fixture(scope="module")
def home(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a run on recordings of one setting; `output.txt` is what it printed."""
    data = tmp_path_factory.mktemp("data") / "one"
    data.mkdir()
    table = pd.read_csv(real_data / mill.RUN_TABLE_FILE)
    table = table[table[mill.RUN_NUMBER].isin(RUNS)]
    table[list(mill.SETTING_COLUMNS)] = (6, 4)
    table.to_csv(data / mill.RUN_TABLE_FILE, index=False)
    for number in RUNS:
        name = mill.RUN_FILE_PATTERN.format(number=number)
        shutil.copyfile(real_data / name, data / name)
    home = tmp_path_factory.mktemp("questions") / "home"
    done = subprocess.run(
        run_command(data, home, explain_rows=1, permutations=2),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "400"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (home / "output.txt").write_text(done.stdout)
    return home


def test_the_run_goes_on_and_every_output_says_why(home: Path) -> None:
    summary = jsonfile.read(home / "latest" / "summary.json")
    assert set(summary["left_out"]) == {schema.NEW_SETTING}
    assert summary["left_out"][schema.NEW_SETTING].startswith(LEFT_OUT)
    assert summary["protocols"][schema.NEW_SETTING] == {}
    assert schema.AUTO_SKLEARN in summary["protocols"][schema.KNOWN_RUNS]
    assert schema.NESTED in summary["protocols"][schema.NEW_RUN]
    assert any(LEFT_OUT in text for text in summary["statements"])
    assert any(LEFT_OUT in text for text in summary["gate"]["reasons"])
    printed = (home / "output.txt").read_text()
    assert f"not answered: {LEFT_OUT}" in printed
    page = (home / "latest" / "report.html").read_text()
    assert f"<p>Not asked. {LEFT_OUT}" in page
    registry = Registry(Home.at(home), "", "toolwear")
    version = registry.at(CHALLENGER)
    assert version is not None
    found = registry.client.get_model_version("toolwear", version.number).tags
    assert found[f"{tags.LEFT_OUT}.{schema.NEW_SETTING}"].startswith(LEFT_OUT)
    assert f"{tags.LEFT_OUT}.{schema.NEW_RUN}" not in found


async def test_the_console_says_so_too(home: Path) -> None:
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(home), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console"
    ) as client:
        for path in ("/", "/data", "/model", "/runs", "/parts/curves"):
            assert (await client.get(path)).status_code == 200, path
        page = (await client.get("/model")).text
    assert f"New setting: not asked. {LEFT_OUT}" in page
