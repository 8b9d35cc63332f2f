"""Input and output of the check of serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from components.serve_check import logic
from components.serve_check.process import READY_SECONDS, NotServingError, predictor
from toolwear.common import jsonfile
from toolwear.common.steps import report
from toolwear.model.package import load_package

CHECK_FILE = "check.json"


def serve_check(
    package: Path,
    digest: str,
    model_name: str,
    output: Path,
    ready_seconds: float = READY_SECONDS,
) -> bool:
    """Serve the package in a process of its own, ask it, write `check.json`; return if it passed.

    Args:
        package: folder of the package, under any name.
        digest: SHA-256 that names it.
        model_name: name in the URL.
        output: folder to make.
        ready_seconds: how long the predictor may take to become ready.
    """
    result: dict[str, Any]
    try:
        result = _ask(package, digest, model_name, ready_seconds)
    except (NotServingError, httpx.HTTPError) as error:
        result = {"passed": False, "answers": [], "reason": str(error)}
    output.mkdir(parents=True)
    jsonfile.write(output / CHECK_FILE, {"package_digest": digest, **result})
    report(result["reason"])
    return bool(result["passed"])


def _ask(package: Path, digest: str, model_name: str, ready_seconds: float) -> dict[str, Any]:
    golden = load_package(package, digest).golden()
    with predictor(package, digest, model_name, ready_seconds) as running:
        client = running.client
        answers = [
            logic.right_package(client, model_name, digest),
            logic.golden_v2(client, model_name, golden),
            logic.golden_v1(client, model_name, golden),
            logic.faulty_request(client, model_name, golden),
        ]
        wrong = [answer.sentence for answer in answers if not answer.passed]
        return {
            "passed": not wrong,
            "reason": " ".join(wrong) or f"{len(answers)} questions answered rightly.",
            "answers": [vars(answer) for answer in answers],
            "latency": {} if wrong else logic.latency(client, model_name, golden),
            "ready_seconds": running.started_after,
        }
