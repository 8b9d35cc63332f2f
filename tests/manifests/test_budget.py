"""What the containers ask for: enough for what was measured, and no more than a laptop has."""

from __future__ import annotations

import pytest

from pipelines.settings import SETTINGS
from tests.manifests.test_agreement import APP
from tools import budget
from tools.rendered import Object, workloads
from toolwear.common.errors import EXIT_FAILURE
from toolwear.common.fingerprint import ROOT

Rendered = dict[str, list[Object]]


@pytest.mark.usefixtures("rendered")
def test_the_kind_overlay_fits_a_laptop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert budget.main() == 0
    shown = capsys.readouterr().out
    assert "toolwear-green transformer" in shown
    assert "it fits" in shown
    assert "(automl, train)" in shown, "the tasks that may be at work at the same time"
    monkeypatch.setattr(budget, "STANDING_GIB", 4)
    assert budget.main() == EXIT_FAILURE
    assert "NOT fit" in capsys.readouterr().out


# The working set at its peak, MiB, as seen on a cluster (docs/kubernetes.md).
PEAKS = {
    "predictor": 230,
    "transformer": 230,
    "explainer": 388,
    "mlflow": 433,
    "feast": 202,
    "console": 202,
    "monitor": 256,
    "trigger": 482,
    "postgres": 79,
    "redis": 12,
}
TASK_PEAKS = {
    "automl": 749,
    "train": 569,
    "evaluate": 476,
    "explain": 454,
    "validate": 373,
    "guard": 344,
    "split": 329,
    "features": 280,
    "register": 433,
    "decide": 379,
    "deploy": 321,
    "serve_check": 209,
    "promote": 187,
}


def test_requests_and_limits_have_room_above_what_was_measured(rendered: Rendered) -> None:
    asked = {name: SETTINGS[name].memory for name in TASK_PEAKS}
    for workload in workloads(rendered["kind"]):
        name = workload.labels.get(APP, "")
        if name in PEAKS:
            (container,) = workload.containers
            of = container["resources"]
            asked[name] = (of["requests"]["memory"], of["limits"]["memory"])
    assert set(asked) == set(PEAKS) | set(TASK_PEAKS)
    table = (ROOT / "docs" / "kubernetes.md").read_text()
    for name, peak in {**PEAKS, **TASK_PEAKS}.items():
        request, limit = (budget.memory(text) for text in asked[name])
        assert request >= peak * 1.15, name
        assert limit >= peak * 1.8, name
        assert f"| {name} | {peak} | {request:.0f} | {limit:.0f} |" in table, name


def test_the_documents_say_what_a_laptop_needs() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    assert (
        f"{budget.CPUS} CPUs, {budget.MEMORY_GIB} GiB of memory, {budget.DISK_GIB} GiB of free disk"
    ) in text
    assert f"{budget.STANDING_GIB} GiB by what stands" in text
    assert f"{budget.TASKS_GIB} GiB by the tasks" in text


def test_quantities_are_read() -> None:
    assert (budget.cpu("250m"), budget.cpu("1.5")) == (250, 1500)
    assert (budget.memory("1Gi"), budget.memory("512Mi"), budget.memory("1048576")) == (
        1024,
        512,
        1,
    )
