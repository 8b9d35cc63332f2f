"""The check of serving: a real predictor process, right and wrong packages, nothing left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.serve_check.step import serve_check
from tests.packages import parts
from tests.ports import free_port
from tests.proxies import PROXIES, recorder
from tests.serving.conftest import MODEL
from toolwear.common import jsonfile
from toolwear.model.package import GOLDEN_FILE, Package, json_bytes, write_package


def check(package: Package, output: Path, **options: Any) -> tuple[bool, dict[str, Any]]:
    before = predictors()  # other tests of this process may keep one
    passed = serve_check(package.folder, package.digest, MODEL, output, **options)
    result = jsonfile.read(output / "check.json")
    assert result["passed"] is passed
    assert result["package_digest"] == package.digest
    assert predictors() == before, "the predictor is still running"
    return passed, result


def predictors() -> list[psutil.Process]:
    """Return the predictors that this process has started and that still run."""
    children = psutil.Process().children()
    return [child for child in children if "serving.predictor" in child.cmdline()]


@pytest.mark.parametrize("answers", [True, False])
def test_a_right_package_passes_whatever_proxy_is_set(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    with recorder() as (proxy, by_proxy):
        for name in PROXIES:
            monkeypatch.setenv(name, proxy if answers else f"http://127.0.0.1:{free_port()}")
        passed, result = check(package, tmp_path / "check")
    assert passed, result
    assert by_proxy == []


def test_a_right_package_passes(package: Package, tmp_path: Path) -> None:
    passed, result = check(package, tmp_path / "check")
    assert passed, result
    assert [answer["name"] for answer in result["answers"]] == [
        "package",
        "golden rows, V2",
        "golden rows, V1",
        "faulty request",
    ]
    assert result["answers"][1]["detail"] == {"rows": 16, "labels": 16, "max_abs_diff": 0.0}
    assert 0 < result["latency"]["p50_ms"] <= result["latency"]["p95_ms"]
    assert result["latency"]["requests"] == 50


def test_answers_other_than_the_evaluations_fail_it(tmp_path: Path) -> None:
    description, files = parts()
    golden = json.loads(files[GOLDEN_FILE])
    golden["probabilities"][3][0] += 1e-6
    wrong = write_package(tmp_path, description, {**files, GOLDEN_FILE: json_bytes(golden)})
    passed, result = check(wrong, tmp_path / "check")
    assert not passed
    assert "answers its golden rows otherwise than evaluated" in result["reason"]
    assert not result.get("latency")


def test_a_predictor_that_is_not_ready_in_time_is_killed(package: Package, tmp_path: Path) -> None:
    started = time.monotonic()
    passed, result = check(package, tmp_path / "check", ready_seconds=0.3)
    assert not passed
    assert result["reason"].startswith("Not ready after 0 s: ")
    assert time.monotonic() - started < 15


def test_the_log_of_a_predictor_that_cannot_start_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, files = parts()
    broken = write_package(tmp_path, description, {**files, "model.onnx": b"nonsense"})
    passed, result = check(broken, tmp_path / "check")
    assert not passed
    assert result["reason"].startswith("It ended with 1: ")
    assert "protobuf parsing failed" in result["reason"]
