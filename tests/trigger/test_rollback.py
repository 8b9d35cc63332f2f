"""`POST /rollback` moves the champion back by the code of `toolwear rollback`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.core.home import Home
from components.promote import audit_log
from serving.common import champion as pointer
from tests.component.test_register import enthrone
from tests.run_artifacts import make_run
from tests.trigger.service import Service


def test_an_operator_goes_back_to_the_champion_before(
    service_of: Callable[..., Service], tmp_path: Path
) -> None:
    home = Home.at(tmp_path / "home")
    for number in (1, 2):
        run = make_run(tmp_path / f"run{number}", seed=number, data_seed=4 * number)
        _, registered, done = enthrone(run, home, data=f"d{number}")
        assert (registered.version, done) == (str(number), "promoted")
    service = service_of()
    moved = service.post("/rollback", {"why": "it\nwas noisy"})
    assert (moved.status_code, moved.json()) == (200, {"from": "2", "to": "1"})
    pointed = pointer.read(home.root)
    assert pointed is not None
    assert pointed.version == "1"
    last = audit_log.entries(home.audit_log)[-1]
    assert (last["action"], last["why"]) == ("rollback", "it was noisy")
    again = service.post("/rollback", {"why": "once more"})
    assert again.status_code == 409
    assert "There is no champion of toolwear before this one" in again.json()["error"]
