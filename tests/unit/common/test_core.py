"""Digests, JSON files, the step wrapper and the fingerprint of code."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from toolwear.common import digest, fingerprint, jsonfile
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.steps import EVENTS_FOLDER, report, run_step


def test_tree_digest_knows_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    before = digest.tree_digest(tmp_path)
    assert before == digest.tree_digest(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    assert digest.tree_digest(tmp_path) != before


def test_json_holds_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.json"
    jsonfile.write(path, {"a": np.array([1.0, math.nan]), "b": np.float64(2), "c": math.inf})
    assert jsonfile.read(path) == {"a": [1.0, None], "b": 2.0, "c": None}
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    jsonfile.write(path, {"a": 1})
    with pytest.raises(TypeError):
        jsonfile.write(path, {"a": object()})
    assert jsonfile.read(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_step_records_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENTS_FOLDER, str(tmp_path))

    def work(x: int) -> int:
        report("half way")
        return x + 1

    assert run_step("add", work, x=1) == 2
    event = jsonfile.read(tmp_path / "add.json")
    assert event["state"] == "succeeded"
    assert event["seconds"] >= 0
    assert (tmp_path / "progress.log").read_text() == "half way\n"


def test_a_users_mistake_is_a_sentence_and_exit_code_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(EVENTS_FOLDER, str(tmp_path))

    def work() -> None:
        raise ToolwearError("The file is empty; record again.")

    with pytest.raises(SystemExit) as caught:
        run_step("read", work)
    assert caught.value.code == EXIT_USAGE
    assert capsys.readouterr().err == "read: The file is empty; record again.\n"
    event = jsonfile.read(tmp_path / "read.json")
    assert (event["state"], event["user_error"]) == ("failed", True)


def test_a_defect_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EVENTS_FOLDER, str(tmp_path))

    def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_step("broken", work)
    event = jsonfile.read(tmp_path / "broken.json")
    assert "KeyError" in event["reason"]
    assert "in work" in event["traceback"]


def test_the_fingerprint_follows_imports() -> None:
    one = fingerprint.step_fingerprint("finish", "main.txt")
    assert one == fingerprint.step_fingerprint("finish", "main.txt")
    assert one != fingerprint.step_fingerprint("ingest", "main.txt")
    assert one != fingerprint.step_fingerprint("finish", "automl.txt")


def test_the_fingerprint_sees_a_change_in_an_imported_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    step, core = tmp_path / "components" / "some", tmp_path / "toolwear" / "common"
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "main.txt").write_text("a==1")
    step.mkdir(parents=True)
    core.mkdir(parents=True)
    (step / "step.py").write_text("def f():\n    from toolwear.common import used\n")
    (core / "used.py").write_text("X = 1\n")
    (core / "other.py").write_text("X = 1\n")
    before = fingerprint.step_fingerprint("some", "main.txt")
    (core / "other.py").write_text("X = 2\n")
    assert fingerprint.step_fingerprint("some", "main.txt") == before
    (core / "used.py").write_text("X = 2\n")
    assert fingerprint.step_fingerprint("some", "main.txt") != before
