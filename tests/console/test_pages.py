"""What pages say where there is nothing yet, and what is made of what runs have left."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from datasets.cnc_mill.names import NUMERIC_COLUMNS, PHASE, SETTING_COLUMNS
from pipelines.training import training
from serving.common.features import FeatureSpec
from serving.console import evidence, svg
from serving.console.app import application
from serving.console.kept import Kept
from serving.console.look import Look
from serving.console.pages.base import Console
from serving.console.pages.runs import STEPS
from serving.console.parts import Addresses, PartDownError, Parts, ServedModel
from serving.console.reasons import telling
from serving.console.recordings import Recording
from serving.console.session import Sessions
from serving.console.signals import in_words
from serving.front.evidence import Evidence
from serving.front.judge import Finding, Measured
from serving.http.gate import Gate
from tests.mill import FEATURE_COLUMNS, MILL
from toolwear.common.fingerprint import ROOT
from toolwear.common.thresholds import Budget, thresholds
from toolwear.release import audit_log, room
from toolwear.release.rollout import Rollout
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Tokens


async def test_pages_of_an_empty_home_say_what_to_do(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(tmp_path), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console"
    ) as client:
        for path in ("/", "/data", "/model", "/runs"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "toolwear run" in answer.text
        for path in (
            "/why",
            "/monitoring",
            "/parts/strip",
            "/parts/window",
            "/parts/curves",
            "/operate",
        ):
            assert (await client.get(path)).status_code == 200


async def test_monitoring_tells_what_takes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(tmp_path), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    (tmp_path / "payloads").mkdir()
    (tmp_path / "payloads" / "requests-1.parquet").write_bytes(b"0" * 2_500_000)
    small = Budget(gigabytes=0.001, days=None)
    over = thresholds().model_copy(
        update={"disk": thresholds().disk.model_copy(update={"payloads": small})}
    )
    monkeypatch.setattr(room, "thresholds", lambda: over)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console"
    ) as client:
        page = (await client.get("/parts/room")).text
    rows = [re.findall(r"<t[hd][^>]*>(?:<[^>]*>)?([^<]*)", row) for row in page.split("<tr>")[2:]]
    assert rows[0] == ["runs", "0.0 MB", "20.0 GB", "90 days"]
    assert rows[2] == ["payloads", "2.5 MB", "1.0 MB", "any time"]
    assert "<code>toolwear prune</code> removes the oldest" in page


async def test_runs_are_linked_to_where_else_they_are_to_be_seen(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    nowhere = Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    linked = replace(nowhere, mlflow_ui="http://mlflow.example", kfp_ui="http://kfp.example")
    make_run(tmp_path, "20260101T000000Z-a", ("train",))
    for addresses, expected in ((nowhere, set()), (linked, {_VERSIONS, _KFP_RUNS})):
        app = application(Home(tmp_path), addresses)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://console"
        ) as client:
            page = (await client.get("/runs")).text
            assert {link for link in (_VERSIONS, _KFP_RUNS) if f'href="{link}"' in page} == expected
            assert (await client.get("/parts/rollout")).status_code == 404, "there is no front"


_VERSIONS = "http://mlflow.example/#/models/toolwear"
_KFP_RUNS = "http://kfp.example/#/runs"


def make_run(root: Path, name: str, steps: tuple[str, ...], **arguments: object) -> evidence.Run:
    folder = root / name
    for step in steps:
        (folder / "artifacts" / "graph" / step / "output").mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    values = {"data_digest": "d", "cause": "on_demand", "seed": 0, **arguments}
    (folder / "arguments.json").write_text(json.dumps(values))
    return evidence.Run(folder)


def test_an_artifact_out_of_the_cache_is_found_in_the_run_that_made_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    same = make_run(tmp_path, "20260101T000000Z-a", ("train",))
    make_run(tmp_path, "20260102T000000Z-b", ("train",), seed=1)
    cached = make_run(tmp_path, "20260103T000000Z-c", ("decide",), cause="schedule")
    make_run(tmp_path, "20260104T000000Z-d", ("train",))
    found = evidence.artifact(home, cached, "train", "output")
    assert found is not None
    assert found.is_relative_to(same.folder)
    assert evidence.artifact(home, cached, "ingest", "output") is None
    shutil.rmtree(same.folder)
    other = evidence.artifact(home, cached, "train", "output")
    assert other is not None
    assert other.parts[-5] == "20260102T000000Z-b", "failing that, one with the same data"


_LOG = """\
11:53:47.690 - INFO - Executing task \x1b[96m'ingest'\x1b[0m
    first of ingest
11:53:50.805 - INFO - Executing task \x1b[96m'serve-check'\x1b[0m
    <script>alert(1)</script> \x1b]0;title\x07
"""


async def test_a_steps_log_is_text_and_only_its_own_files_are_given(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run = make_run(home, "20260101T000000Z-a", ("ingest", "serve_check"))
    (run.folder / "log.txt").write_text(_LOG)
    (tmp_path / "secret").write_text("secret")
    own = run.folder / "artifacts" / "graph" / "serve_check" / "output"
    (own / "a b&.json").write_text("{}")
    (own / "link").symlink_to(tmp_path / "secret")
    (own / "folder").symlink_to(tmp_path)
    os.mkfifo(own / "pipe")
    with (own / "large").open("wb") as stream:
        stream.truncate((512 << 20) + 1)
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(home), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console"
    ) as client:
        at = f"/runs/{run.name}"
        page = (await client.get(f"{at}/steps/serve_check")).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; ]0;title" in page
        assert "first of ingest" not in page
        links = re.findall(r'href="([^"]*/files/[^"]*)"', page)
        assert links == [f"{at}/files/graph/serve_check/output/a%20b%26.json"]
        given = await client.get(links[0])
        assert (given.status_code, given.content) == (200, b"{}")
        assert given.headers["content-type"] == "application/octet-stream"
        assert given.headers["content-disposition"].startswith("attachment")
        below = f"{at}/files/graph/serve_check/output"
        for path in (
            *(f"{below}/{name}" for name in ("link", "folder/secret", "pipe", "large", "", "%00")),
            f"{below}/{'x' * 300}",
            f"{at}/files/..%2farguments.json",
            f"{at}/files/graph/..%2f..%2farguments.json",
            f"{at}/files/%2fetc%2fpasswd",
            f"{at}/steps/*",
        ):
            assert (await client.get(path)).status_code == 404, path


async def test_a_table_of_runs_bears_those_that_have_not_finished(tmp_path: Path) -> None:
    one = make_run(tmp_path, "20260101T000000Z-a", ("train",), window=50, data="/data")
    other = make_run(tmp_path, "20260102T000000Z-b", ("train",), window=60, data="/data")
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(tmp_path), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console"
    ) as client:
        asked = {"run": [other.name, one.name]}
        page = (await client.get("/compare", params=asked)).text
        assert re.search(r"window <span.*?</th><td>50</td><td>60</td>", page), "oldest first"
        assert page.index("window") < page.index('<th scope="row">data</th>')
        for names in ([], [one.name], [one.name, one.name], [one.name, "gone"], list("abcdefghi")):
            answer = await client.get("/compare", params={"run": names})
            assert answer.status_code == 400, names
        assert "No run has this figure yet" in (await client.get("/parts/over-runs")).text


def test_every_feature_has_words_for_the_shop_floor() -> None:
    names = {*NUMERIC_COLUMNS, *SETTING_COLUMNS, *FEATURE_COLUMNS}
    assert [name for name in names if re.search(r"[_\d]", in_words(MILL, name))] == []
    assert in_words(MILL, "S1_OutputPower_std") == "unsteadiness of the spindle power"


def test_the_row_to_explain_is_the_doubtful_or_the_most_worn_one() -> None:
    for answers, worn, expected, typical in (
        (("worn", "worn", "not sure"), (0.8, 0.99, 0.5), 1, 1),
        (("unworn", "unworn", "unworn"), (0.2, 0.01, 0.3), 2, 1),
        (("not sure", "not sure", "worn"), (0.9, 0.6, 0.99), 1, 1),
        (("not sure", "not sure", "not sure"), (np.nan, np.nan, 0.7), 2, 2),
    ):
        frame = pd.DataFrame({PHASE: ["Layer 1 Up"] * 3})
        seen = Look(
            Recording("a", frame, MILL, "", False),
            ServedModel("1", "d", "new_runs", FeatureSpec("published", 1, MILL, ""), ("a",)),
            np.array(answers),
            np.array(worn),
            ["why"] * 3,
            np.zeros((3, 1)),
        )
        assert telling(seen).row == expected
        assert telling(seen, typical=True).row == typical


def test_the_picture_of_the_graph_has_every_step() -> None:
    shown = {name for column in STEPS for name in column}
    steps = training.pipeline_spec.components
    assert shown == {
        path.parent.name
        for path in ROOT.glob("components/*/component.py")
        if f"comp-{path.parent.name.replace('_', '-')}" in steps
    }
    assert len(shown) > 10


def test_stretches_cover_every_row_once() -> None:
    answers = np.array(["worn", "worn", "not sure", "worn", "unworn", "unworn"])
    assert svg.stretches(answers) == [
        ("worn", 0, 1),
        ("not sure", 2, 2),
        ("worn", 3, 3),
        ("unworn", 4, 5),
    ]


def test_a_long_line_keeps_its_peaks() -> None:
    x = np.arange(50_000.0)
    y = np.zeros(50_000)
    y[31_415] = 5.0
    box = svg.Box("a <title>", "x", "y", y_range=(0.0, 5.0))
    picture = svg.lines(box, [svg.Line("y", x, y)])
    assert " 10.0" in picture, "the peak's height"
    assert len(picture) < 30_000
    assert "a &lt;title&gt;" in picture


def test_what_is_kept_is_made_once_and_bounded_in_bytes() -> None:
    kept, made = Kept(20 << 20), []
    for key in [*range(30), 29, 0]:
        kept.get(key, lambda key=key: made.append(key) or {"values": [np.zeros(1 << 17)]})  # type: ignore[misc,func-returns-value]
        assert kept.bytes <= 20 << 20
    assert made == [*range(30), 0]
    kept.get("frame", lambda: pd.DataFrame({"name": ["x" * 50] * 300_000}))
    assert kept.bytes <= 20 << 20


def test_two_that_ask_at_once_share_one_and_its_fault() -> None:
    kept, asked, go = Kept(), [], threading.Event()

    def make() -> str:
        asked.append(1)
        go.wait(30)
        raise PartDownError("it is down")

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(kept.get, "key", make) for _ in range(4)]
        go.set()
        assert all(isinstance(one.exception(30), PartDownError) for one in found)
    assert kept.get("key", lambda: "up again") == "up again"
    assert len(asked) <= 4


async def test_what_was_never_judged_or_started_is_not_called_well_or_down(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:1"
    app = application(
        Home(tmp_path), Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        strip = (await client.get("/parts/strip")).text
        assert "not monitored; start <code>make watch</code>" in strip
        assert "No alarm" not in strip
        alerts = (await client.get("/parts/alerts")).text
        assert "Not monitored: no Prometheus at 127.0.0.1:1; start `make watch`." in alerts
        operate = (await client.get("/operate")).text
        assert "does not answer at 127.0.0.1:1. Without it" in operate, "one full stop"
        assert not re.search(r"[^.]\.\.[^.]", re.sub(r"<[^>]*>", "", operate))
        assert (await client.get("/metrics")).status_code == 200


def test_rolling_back_is_offered_only_where_there_is_something_behind(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert evidence.rollback_target(home, "toolwear") == ""
    for action, start, end in (
        ("promote", None, "1"),
        ("promote", "1", "3"),
        ("rollback", "3", "1"),
    ):
        fields = {"action": action, "model": "toolwear", "from": start, "to": end}
        audit_log.append(home, **fields)
        found = evidence.rollback_target(home, "toolwear")
        assert found == ("version 1 answers again instead of version 3" if end == "3" else "")
    assert evidence.rollback_target(home, "another") == ""


def test_the_rollout_is_shown_by_what_the_front_tells() -> None:
    now = Rollout(
        id="1",
        model="toolwear",
        mode="canary",
        version="2",
        package_digest="d",
        champion="1",
        why="",
        cause="",
        started="2026-01-01T00:00:00+00:00",
        stage=0,
        since="2026-01-01T00:00:00+00:00",
        weights={"stable": 90, "candidate": 10},
        thresholds={},
    )
    measured = Measured(
        "failed requests", "requests", 200, 0.01, 0.0, 0.03, Finding.UNDECIDED, _bounds
    )
    state = {
        "rollout": asdict(now),
        "running": True,
        "weights": now.weights,
        "seen": {**Evidence().figures(), "recordings_open": 1},
        "undecided": "3 recordings are too few",
        "compared": [measured.plain()],
    }
    nobody = "http://127.0.0.1:1"
    addresses = Addresses("toolwear", nobody, nobody, nobody, nobody, nobody, nobody)
    console = Console(Home(Path()), Parts(addresses, str), Sessions(Gate(Tokens(Home(Path())))))
    text = console.render("rollout.html.j2", state=state)
    assert "Version 2 is rolled out as a canary, stage 1 since 2026-01-01 00:00" in text
    assert "<strong>Undecided:</strong> 3 recordings are too few.</p>" in text
    assert "failed requests, 200 requests: 1.0% (champion 0.0%), interval -1.0% to 2.0%" in text


def _bounds() -> tuple[float, float]:
    return -0.01, 0.02
