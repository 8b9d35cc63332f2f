"""Each of the causes starts one run, told twice or not, and nothing else does."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets.cnc_mill.simulator import SimulatorSettings, simulate
from serving.http.gate import FREE
from serving.trigger.alert_memory import AlertMemory
from serving.trigger.store import Store
from tests.serving.conftest import environment
from tests.trigger.service import ALERTMANAGER, HTTP, OPERATOR, TOKEN, Service, wait_for
from toolwear.cli.plain import plain_console
from toolwear.cli.watching import print_watching
from toolwear.common.causes import Cause
from toolwear.common.fingerprint import ROOT
from toolwear.common.request_limits import BODY_BYTES
from toolwear.common.states import State
from toolwear.release import audit_log
from toolwear.release.entries import note
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

DOCUMENT = (ROOT / "docs" / "trigger.md").read_text()
ServiceOf = Callable[..., Service]


def alert(name: str, cause: str | None, start: str = "2026-01-01T00:00:00Z", **more: Any) -> Any:
    labels = {"alertname": name} | ({"cause": cause} if cause else {})
    found = {"status": "firing", "labels": labels, "annotations": {"summary": "it drifts"}}
    return {**found, "fingerprint": f"f-{name}", "startsAt": start, **more}


def notification(*alerts: Any) -> Any:
    return {"version": "4", "status": "firing", "alerts": list(alerts)}


def test_a_run_on_demand_has_its_cause_parameters_and_steps(service_of: ServiceOf) -> None:
    service = service_of(settings=("permutations=7", "data=/"))
    cause = service.ask(detail="a new insert", parameters={"seed": 3})
    told = service.ends(cause)
    (attempt,) = told["attempts"]
    assert told["cause"] == "on_demand"
    assert told["text"] == f"on_demand: a new insert (trigger {cause})"
    assert told["steps"] == [{"step": "ingest", "state": "succeeded", "seconds": 0.1, "reason": ""}]
    (started,) = service.starts()
    assert started == {
        "name": attempt["name"],
        "cause": told["text"],
        "seed": "3",
        "permutations": "7",
        "data": "/",
    }
    assert service.metric('toolwear_triggers_total{cause="on_demand",result="accepted"}') == 1
    assert service.metric('toolwear_runs_total{outcome="succeeded"}') == 1
    assert service.metric("toolwear_run_last_success_timestamp_seconds") == attempt["ended"]
    assert service.metric("toolwear_run_in_progress") == 0


def test_a_run_at_work_tells_how_long_its_step_has_taken(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    cause = service.ask()
    wait_for(lambda: service.run(cause)["steps"])
    (before,) = service.run(cause)["steps"]
    assert before["state"] == "running"
    wait_for(lambda: service.run(cause)["steps"][0]["seconds"] > before["seconds"])
    service.release()
    (after,) = service.ends(cause)["steps"]
    assert (after["state"], after["seconds"]) == ("succeeded", 0.1)


def test_what_to_train_on_is_given_or_as_in_the_last_run_of_a_person(
    service_of: ServiceOf, tmp_path: Path
) -> None:
    service = service_of("--cooldown_seconds=0", settings=())
    refused = service.post("/retrain", {})
    assert refused.status_code == 409
    assert refused.json()["error"].startswith(
        "It is not known what to train on: no `toolwear run` in"
    )
    told = service.post("/alerts", notification(alert("A", "degradation"))).json()
    (attempt,) = service.ends(told["causes"][0]["id"], "failed")["attempts"]
    assert attempt["reason"] == refused.json()["error"]
    assert service.starts() == []
    given = service.ask(parameters={"data": str(tmp_path)})
    service.ends(given)

    by_hand = service.home / "20260101T000000Z-abcdef"
    by_hand.mkdir()
    gone = tmp_path / "gone"
    # What a person has let in were the recordings of that run, and is not handed on.
    arguments = {
        "data": str(gone),
        "seed": 5,
        "cause": "on_demand",
        "commit": "c",
        "accept_runs": "all",
    }
    (by_hand / "arguments.json").write_text(json.dumps(arguments))
    (by_hand / "summary.json").write_text("{}")
    assert f"in {gone}, and there is no such folder" in service.post("/retrain", {}).json()["error"]
    gone.mkdir()
    service.ends(service.ask(parameters={"window": 60}))
    started = service.starts()[-1]
    text = started.pop("cause")
    assert text.startswith("on_demand: trigger ")
    assert {**started, "name": ""} == {"name": "", "data": str(gone), "seed": "5", "window": "60"}


def test_a_service_that_can_start_nothing_ends(service_of: ServiceOf) -> None:
    service = service_of()
    with sqlite3.connect(service.home / "trigger" / "trigger.db") as database:
        database.execute("DROP TABLE runs")
    database.close()
    assert service.process is not None
    assert service.process.wait(20) == 1
    assert "no such table: runs" in service.log.read_text()
    service.log.write_text("")  # its traceback was asked for


def test_the_command_line_asks_and_tells_the_steps(service_of: ServiceOf) -> None:
    service = service_of()

    def retrain(*options: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "toolwear.cli", "retrain", f"--home={service.home}"]
        return subprocess.run(
            [*command, f"--url={service.url}", *options],
            env={**environment(), "TOOLWEAR_OPERATOR_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )

    done = retrain("--why=a new insert", "--as=Ada", "--set=seed=3", "--data=tests", "--wait")
    assert done.returncode == 0, done.stderr
    (started,) = service.starts()
    assert (started["seed"], started["data"]) == ("3", str(Path("tests").resolve()))
    assert started["cause"] == "on_demand: a new insert (Ada) (trigger 1)"
    assert done.stdout.splitlines() == [
        f"retrain request 1 is waiting: {service.url}/runs/1",
        f"attempt 1: {started['name']}",
        f"{started['name']} ingest: succeeded 0.1 s",
        "run succeeded",
    ]
    (service.home / "code").write_text("1")
    failed = retrain("--wait")
    assert failed.returncode == 1
    assert failed.stdout.endswith("run failed ingest: bad data\n")
    refused = retrain("--set=seed=-1")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "'seed' is wrong" in refused.stderr
    stranger = retrain(token="another-token-for-tests")
    assert (stranger.returncode, "a token that may operate" in stranger.stderr) == (2, True)
    assert service.stop() == 0
    nobody = retrain()
    assert (nobody.returncode, "No trigger answers at" in nobody.stderr) == (2, True)


def test_the_examples_of_the_document_work(service_of: ServiceOf, tmp_path: Path) -> None:
    service = service_of()
    (example,) = re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL)
    secret = tmp_path / "runs" / "secrets" / "operator-token"
    secret.parent.mkdir(parents=True)
    secret.write_text(TOKEN)
    done = subprocess.run(
        ["bash", "-euc", example.replace("http://127.0.0.1:8085", service.url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    accepted, told = (json.loads(part) for part in done.stdout.replace("}{", "}\n{").splitlines())
    assert accepted == {"id": "1", "status": "waiting"}
    assert told["text"] == "on_demand: new inserts (trigger 1)"
    service.ends("1")
    assert service.starts()[0]["seed"] == "3"


def test_runs_go_one_at_a_time_in_the_order_of_their_causes(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    first, second = service.ask(detail="first"), service.ask(detail="second")
    wait_for(lambda: len(service.starts()) == 1)
    assert service.metric("toolwear_run_in_progress") == 1
    assert service.metric("toolwear_causes_waiting") == 1
    assert [run["status"] for run in service.runs()] == ["waiting", "running"]
    service.release()
    ended = [service.ends(cause)["attempts"][0] for cause in (first, second)]
    assert ended[0]["ended"] <= ended[1]["started"]


def test_a_key_makes_a_repeated_request_one_cause(service_of: ServiceOf) -> None:
    service = service_of()
    answers = [service.post("/retrain", {}, **{"idempotency-key": "k1"}) for _ in range(3)]
    assert {answer.json()["id"] for answer in answers} == {"1"}
    service.ends("1")
    assert service.post("/retrain", {}, **{"idempotency-key": "k1"}).json() == {
        "id": "1",
        "status": "succeeded",
    }
    assert len(service.starts()) == 1


def test_alerts_start_one_run_for_each_cause(service_of: ServiceOf) -> None:
    service = service_of("--cooldown_seconds=0")
    body = notification(
        alert("Drift", "distribution_change"),
        alert("AttributionDrift", "distribution_change"),
        alert("Worse", "degradation"),
        alert("Slow", None),
        alert("Odd", "on_demand"),
        alert("Gone", "degradation", status="resolved"),
    )
    service.hold()
    told = service.post("/alerts", body).json()
    assert told["ignored"] == 3
    results = [cause["result"] for cause in told["causes"]]
    assert results[0] == "accepted"
    assert results[2] == "accepted"
    assert [one["result"] for one in service.post("/alerts", body).json()["causes"]] == [
        "duplicate"
    ] * 3
    service.release()
    wait_for(lambda: {run["status"] for run in service.runs()} <= {"succeeded", "merged"})
    causes = [start["cause"].split(":")[0] for start in service.starts()]
    # The second drift is merged into the first, unless the first had already begun.
    expected = ["distribution_change", "degradation"]
    assert sorted(causes) == sorted(expected + ["distribution_change"] * (results[1] != "merged"))
    assert "Drift: it drifts (trigger 1)" in service.starts()[0]["cause"]
    # Whoever tells it was started again, and does not know since when it fires: it goes on.
    anew = notification(alert("Worse", "degradation", "2026-01-02T00:00:00Z"))
    assert service.post("/alerts", anew).json()["causes"][0]["result"] == "duplicate"
    over = alert("Worse", "degradation", "2026-01-02T00:00:00Z", status="resolved")
    assert service.post("/alerts", notification(over)).json() == {"causes": [], "ignored": 1}
    # Told late, after its end.
    assert service.post("/alerts", anew).json()["causes"][0]["result"] == "duplicate"
    service.post("/alerts", notification(over))
    anew = notification(alert("Worse", "degradation", "2026-01-03T00:00:00Z"))
    (again,) = service.post("/alerts", anew).json()["causes"]
    assert again["result"] == "accepted"
    service.ends(again["id"])


def test_an_alert_goes_on_while_it_is_told_and_until_it_is_told_to_have_ended(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    memory = AlertMemory(store, gap=900)
    first = memory.key("f", "a", 1000)
    assert first == "alert:f:a"
    assert memory.key("f", "a", 9000) == first, "by its start, however long it was not told"
    assert memory.key("f", "b", 9900) == first, "it was told within the gap"
    assert memory.key("other", "b", 9900) == "alert:other:b"
    # The next process knows what this one knew.
    memory = AlertMemory(store, gap=900)
    assert memory.key("f", "b", 20_000) == first
    assert memory.key("f", "c", 20_901) == "alert:f:c", "nobody has told it for longer"
    memory.end("f")
    memory.end("never told")
    assert memory.key("f", "c", 20_902) == "alert:f:c"
    memory.end("f")
    assert memory.key("f", "d", 20_903) == "alert:f:d"
    for number in range(200):
        assert memory.key("f", str(number), 20_904) == "alert:f:d"
    store.close()


def test_a_cause_waits_until_its_kind_has_cooled_down(service_of: ServiceOf) -> None:
    service = service_of("--cooldown_seconds=4")
    first = service.post("/alerts", notification(alert("A", "degradation"))).json()["causes"][0]
    started = service.ends(first["id"])["attempts"][0]["started"]
    later = [alert(name, "degradation") for name in ("B", "C")]
    told = service.post("/alerts", notification(*later)).json()["causes"]
    assert [one["result"] for one in told] == ["accepted", "merged"]
    assert service.run(told[1]["id"])["merged_into"] == told[0]["id"]
    # Another kind does not wait for it.
    service.ends(service.ask(cause="distribution_change"))
    assert service.ends(told[0]["id"])["attempts"][0]["started"] >= started + 4
    assert len(service.starts()) == 3


def test_new_recordings_start_one_run_once_they_rest(service_of: ServiceOf, tmp_path: Path) -> None:
    recordings, upload = tmp_path / "recordings", tmp_path / "upload"
    simulate(SimulatorSettings(runs=4), upload)
    service = service_of(f"--watch={recordings}", "--settle_seconds=0.5", "--cooldown_seconds=0")
    recordings.mkdir()
    (recordings / "experiment_01.csv").write_text("half")  # no table yet: not whole
    wait_for(lambda: "not whole yet" in service.log.read_text())
    shutil.copytree(upload, recordings, dirs_exist_ok=True)
    wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"])
    (told,) = service.runs()
    assert told["cause"] == Cause.NEW_DATA
    assert service.starts()[0]["data"] == str(recordings)
    for path in recordings.iterdir():
        path.touch()  # the same recordings, copied once more
    (recordings / "notes.txt").write_text("nothing to learn from")
    service.kill()
    service.start()
    (recordings / "experiment_01.csv").open("a").write("1\n")
    wait_for(lambda: len(service.starts()) == 2)
    wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"] * 2)


def test_a_recording_waits_for_its_label_and_says_so(service_of: ServiceOf, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    simulate(SimulatorSettings(runs=4), recordings)
    table = recordings / "train.csv"
    whole = table.read_text().splitlines()
    table.write_text("\n".join(whole[:-1]) + "\n")
    service = service_of(f"--watch={recordings}", "--settle_seconds=0", "--cooldown_seconds=0")

    def notes() -> list[str]:
        found: list[str] = HTTP.get(f"{service.url}/runs").json()["notes"]
        return found

    wait_for(notes)
    assert notes() == ["recordings waits for labels in the table of runs: experiment_04.csv"]
    stream = io.StringIO()
    print_watching(Home.at(service.home), "", "", plain_console(file=stream, width=200))
    assert f"recordings: {notes()[0]}" in stream.getvalue()
    assert service.runs() == []
    table.write_text("\n".join(whole) + "\n")
    wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"])
    assert len(service.starts()) == 1
    assert notes() == []


def test_data_that_are_refused_are_no_failure(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    (service.home / "code").write_text("2")
    cause = service.ask()
    wait_for(lambda: service.starts())
    text = service.starts()[0]["cause"]
    note(Home.at(service.home), audit_log.DECLINE, "toolwear", "refuse_poisoned: x", text, "d")
    service.release()
    told = service.ends(cause, State.REFUSED)
    assert [a["state"] for a in told["attempts"]] == [State.REFUSED]
    assert service.metric("toolwear_run_last_failure_timestamp_seconds") == 0
    assert service.metric('toolwear_runs_total{outcome="refused"}') == 1


def test_recordings_that_a_run_has_had_are_not_new(service_of: ServiceOf, tmp_path: Path) -> None:
    from toolwear.dataset.sources import source_digest

    recordings, home = tmp_path / "recordings", tmp_path / "home"
    simulate(SimulatorSettings(runs=4), recordings)
    by_hand = home / "20260101T000000Z-abcdef"
    by_hand.mkdir(parents=True)
    arguments = {"data_digest": source_digest(recordings)}
    (by_hand / "arguments.json").write_text(json.dumps(arguments))
    (by_hand / "summary.json").write_text("{}")
    service = service_of(f"--watch={recordings}", "--settle_seconds=0")
    (recordings / "experiment_01.csv").open("a").write("1\n")
    wait_for(lambda: service.starts())
    assert len(service.runs()) == 1


def test_the_schedule_starts_a_run_and_makes_up_for_missed_times_once(
    service_of: ServiceOf,
) -> None:
    service = service_of("--schedule=0 3 * * *")
    coming = service.metric("toolwear_schedule_next_timestamp_seconds")
    assert coming % 86400 == 3 * 3600
    service.kill()
    missed = coming - 5 * 86400
    with sqlite3.connect(service.home / "trigger" / "trigger.db") as database:
        database.execute("UPDATE facts SET value = ? WHERE name = 'schedule_next'", (repr(missed),))
    database.close()
    service.start()
    wait_for(lambda: [run["status"] for run in service.runs()] == ["succeeded"])
    assert service.starts()[0]["cause"].startswith("schedule: ")
    assert service.metric("toolwear_schedule_next_timestamp_seconds") == coming
    service.kill()
    service.start()
    assert len(service.runs()) == 1


def test_a_run_that_fails_is_told_with_its_reason_and_not_repeated(service_of: ServiceOf) -> None:
    service = service_of()
    (service.home / "code").write_text("2")
    told = service.ends(service.ask(), "failed")
    assert [(a["state"], a["reason"]) for a in told["attempts"]] == [("failed", "ingest: bad data")]
    assert service.metric('toolwear_runs_total{outcome="failed"}') == 1
    assert service.metric("toolwear_run_last_failure_timestamp_seconds") > 0


def test_a_run_that_nobody_wants_is_cancelled(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    first, second, third = (service.ask(detail=name) for name in ("first", "second", "third"))
    wait_for(lambda: service.starts())
    waiting = service.post(f"/runs/{second}/cancel", {"why": "the wrong folder"})
    assert (waiting.status_code, waiting.json()) == (202, {"id": second, "status": "cancelled"})
    working = service.post(f"/runs/{first}/cancel", {"why": "it takes too long"})
    assert (working.status_code, working.json()) == (202, {"id": first, "status": "running"})
    service.kill()  # the wish outlives it
    service.start()
    told = service.ends(first, "cancelled")
    assert [(a["state"], a["reason"]) for a in told["attempts"]] == [
        ("cancelled", "it takes too long")
    ]
    wait_for(lambda: len(service.starts()) == 2)
    assert "third" in service.starts()[1]["cause"]
    service.release()
    service.ends(third)
    assert service.run(second)["attempts"] == []
    assert service.metric('toolwear_runs_total{outcome="cancelled"}') == 1
    for run, body, status, words in (
        (third, {"why": "late"}, 409, "The run has ended (succeeded)"),
        ("9", {"why": "x"}, 404, "no run of this id"),
        (third, {}, 400, '"why"'),
    ):
        answer = service.post(f"/runs/{run}/cancel", body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True)


def test_who_has_no_token_changes_nothing(service_of: ServiceOf) -> None:
    service = service_of()
    for each in ("/retrain", "/alerts", "/rollback", "/approvals/1", "/runs/1/cancel"):
        for given in (None, "Bearer", "Bearer wrong", "Basic a-token-for-tests-only"):
            headers = {} if given is None else {"authorization": given}
            answer = HTTP.post(service.url + each, json={}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert service.runs() == []


def test_a_token_is_for_one_thing(service_of: ServiceOf) -> None:
    """Alertmanager may neither release nor roll back, and an operator's token is no alert."""
    service = service_of()
    for path in ("/retrain", "/rollback", "/approvals/1", "/runs/1/cancel"):
        answer = HTTP.post(service.url + path, json={}, headers=ALERTMANAGER)
        assert (answer.status_code, "may alert" in answer.json()["error"]) == (403, True)
    told = notification(alert("A", "degradation"))
    assert HTTP.post(service.url + "/alerts", json=told, headers=OPERATOR).status_code == 403
    assert service.runs() == []


def test_what_is_made_and_revoked_counts_at_once(service_of: ServiceOf) -> None:
    service = service_of()
    tokens = Tokens(Home(service.home))
    own = {"authorization": f"Bearer {tokens.make('shift-lead', Scope.OPERATE)}"}

    def tries() -> int:
        return HTTP.post(service.url + "/runs/9/cancel", json={"why": "x"}, headers=own).status_code

    assert [tries(), tries()] == [404, 404]
    tokens.revoke("shift-lead")
    assert tries() == 401


def test_wrong_tokens_slow_down_but_not_those_with_right_ones(service_of: ServiceOf) -> None:
    service = service_of()
    url = service.url + "/rollback"
    assert service.post("/rollback", {}).status_code == 400
    answers = [
        HTTP.post(url, json={}, headers={"authorization": f"Bearer wrong-{number}"})
        for number in range(200)
    ]
    slowed = [answer for answer in answers if answer.status_code == 429]
    # After the free ones each is let through after twice the time of the one before.
    assert len(slowed) >= 200 - FREE - 8
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in slowed)
    assert service.post("/rollback", {}).status_code == 400, "it was right from here before"


BAD: list[tuple[str, Any, int, str]] = [
    ("/retrain", [], 400, "JSON object"),
    ("/retrain", {"cause": "boredom"}, 400, "one of on_demand"),
    ("/retrain", {"detail": "x" * 151}, 400, "at most 150"),
    ("/retrain", {"why": "x"}, 400, 'no key "why"'),
    ("/retrain", {"parameters": {"sed": 1}}, 400, "did you mean 'seed'"),
    ("/retrain", {"parameters": {"seed": -1}}, 400, "'seed' is wrong"),
    ("/retrain", {"parameters": {"cause": "x"}}, 400, "settings"),
    ("/retrain", {"parameters": {"data": "recordings"}}, 400, "a whole path"),
    ("/alerts", {"version": "3"}, 400, '"4"'),
    ("/alerts", {"version": "4"}, 400, '"alerts"'),
    ("/alerts", {"version": "4", "alerts": [1]}, 400, "list of objects"),
    ("/alerts", {"version": "4", "alerts": [{}]}, 400, '"labels"'),
    ("/alerts", {"version": "4", "alerts": [{"labels": {}}]}, 400, '"status"'),
    ("/alerts", notification(alert("A", "degradation", fingerprint=1)), 400, '"fingerprint"'),
    ("/alerts", {"version": "4", "alerts": [{}] * 1001}, 413, "1000"),
    ("/rollback", {}, 400, '"why"'),
    ("/rollback", {"why": " "}, 400, '"why"'),
    ("/approvals/1", {"decision": "allow", "why": "x"}, 404, "no approval of this id"),
]


def test_bad_requests_get_a_sentence_and_start_nothing(service_of: ServiceOf) -> None:
    service = service_of()
    for path, body, status, words in BAD:
        answer = service.post(path, body)
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    big = HTTP.post(
        f"{service.url}/retrain",
        content=b" " * (BODY_BYTES + 1),
        headers={**OPERATOR, "content-type": "application/json"},
    )
    assert big.status_code == 413
    for url, status in (("/runs/1", 404), ("/runs/x", 404), ("/nothing", 404), ("/rollback", 405)):
        answer = HTTP.get(service.url + url)
        assert answer.status_code == status
        assert answer.json()["error"].endswith(("here.", "endpoint.", "them.", "only POST."))
    assert service.runs() == []


def test_a_full_queue_refuses(service_of: ServiceOf) -> None:
    service = service_of()
    service.hold()
    service.ask()
    wait_for(lambda: service.starts())
    answers = [service.post("/retrain", {}) for _ in range(101)]
    assert [answer.status_code for answer in answers] == [202] * 100 + [429]
    assert "100 causes are waiting" in answers[-1].json()["error"]
