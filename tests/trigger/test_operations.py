"""An operator allows, refuses and goes back over HTTP, as on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.packages import make_package
from tests.trigger.service import HTTP, Service
from toolwear.release import approvals, audit_log, registry
from toolwear.release import champion as pointer
from toolwear.release.registry import Registry
from toolwear.release.registry_state import MODEL_NAME, release
from toolwear.release.rollout import Mode
from toolwear.workspace.home import Home

CAUSE = "degradation: a test"


def stocked(root: Path) -> Registry:
    """Return the registry of a home with three complete versions, the first champion."""
    home = Home.at(root)
    found = Registry(home, "", MODEL_NAME)
    found.client.create_registered_model(MODEL_NAME)
    for seed in range(3):
        package = make_package(home.packages, seed)
        tags = {registry.PACKAGE: package.digest, registry.COMPLETE: "true"}
        found.client.create_model_version(MODEL_NAME, f"file://{package.folder}", tags=tags)
    release(found, found.version("1"), Mode.DIRECT, "it won", CAUSE)
    return found


def champion(root: Path) -> str:
    pointed = pointer.read(root)
    assert pointed is not None
    return pointed.version


def test_an_operator_allows_refuses_and_goes_back(
    service_of: Callable[..., Service], tmp_path: Path
) -> None:
    root = tmp_path / "home"
    versions = stocked(root)
    for number in ("2", "3"):
        approvals.hold(versions, versions.version(number), "1", Mode.DIRECT, "it won", CAUSE)
    service = service_of()

    listed = HTTP.get(f"{service.url}/approvals").json()["approvals"]
    assert [(item["version"], item["status"]) for item in listed] == [
        ("3", "waiting"),
        ("2", "waiting"),
    ]
    third, second = (f"/approvals/{item['id']}" for item in listed)
    assert service.metric("toolwear_approvals_waiting") == 2
    for body, words in (
        ({"why": "x"}, '"decision"'),
        ({"decision": "allow"}, '"why"'),
        ({"decision": "allow", "why": "x", "by": "a\nb"}, '"by" has to be a name'),
    ):
        answer = service.post(second, body)
        assert (answer.status_code, words in answer.json()["error"]) == (400, True)

    allowed = service.post(second, {"decision": "allow", "why": "the errors\nare known"})
    assert (allowed.status_code, allowed.json()) == (
        200,
        {"action": "promote", "from": "1", "to": "2"},
    )
    assert champion(root) == "2"
    again = service.post(second, {"decision": "allow", "why": "twice"})
    assert (again.status_code, "was allowed before" in again.json()["error"]) == (409, True)
    refused = service.post(third, {"decision": "refuse", "why": "it waits no longer"})
    assert (refused.status_code, refused.json()["action"]) == (200, "refuse")
    assert champion(root) == "2"
    assert service.metric("toolwear_approvals_waiting") == 0

    for by in (7, "x" * 65, "two\nlines"):
        answer = service.post("/rollback", {"why": "it was noisy", "by": by})
        assert (answer.status_code, '"by" has to be a name' in answer.json()["error"]) == (
            400,
            True,
        )
    back = service.post("/rollback", {"why": "it was noisy", "by": "Zoë"})
    assert (back.status_code, back.json()) == (200, {"action": "rollback", "from": "2", "to": "1"})
    assert champion(root) == "1"
    nothing = service.post("/rollback", {"why": "once more"})
    assert nothing.status_code == 409
    assert "There is no champion of toolwear before this one" in nothing.json()["error"]

    log = audit_log.entries(Home.at(root))
    by_http = [(e["action"], e["why"], e["who"]) for e in log if "over HTTP" in e["who"]]
    assert by_http == [
        ("allow", "the errors are known", "operator, over HTTP"),
        ("refuse", "it waits no longer", "operator, over HTTP"),
        ("rollback", "it was noisy", "Zoë (operator, over HTTP)"),
    ]
