"""Kubeflow Pipelines' API v2beta1 over real sockets, as far as `kfp.Client` is used here.

It refuses what the real one refuses: a second version of a name, parameters that the pipeline
does not have or of another type, a cron expression without seconds, a missing token.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

PREFIX = "/apis/v2beta1"
NUMBERS = {"NUMBER_INTEGER": (int,), "NUMBER_DOUBLE": (int, float)}
TYPES = {"STRING": (str,), "BOOLEAN": (bool,), **NUMBERS}
FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
Item = dict[str, Any]


class FaultError(Exception):
    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Kubeflow:
    """The server's state. Tests read it, and say how runs go on.

    Attributes:
        plan: states that a new run goes through, one further each time it is asked for.
        lose: how many answers to a new run are lost on the way.
        away: whether every request is answered with 503.
        token: that requests have to have; empty for none.
    """

    def __init__(self) -> None:
        self.pipelines: list[Item] = []
        self.versions: list[Item] = []
        self.experiments: list[Item] = []
        self.runs: list[Item] = []
        self.recurring: list[Item] = []
        self.specs: dict[str, Item] = {}
        self.plan: list[str] = ["PENDING", "RUNNING", "SUCCEEDED"]
        self.plans: dict[str, list[str]] = {}
        self.lose = 0
        self.away = False
        self.token = ""
        self.asked: list[str] = []
        self.lock = threading.RLock()
        self.url = ""

    def run(self, name: str) -> Item:
        (found,) = [run for run in self.runs if run["display_name"] == name]
        return found

    def fire(self, recurring: Item) -> Item:
        """Start the run of a schedule whose time has come."""
        body = {
            "display_name": f"{recurring['display_name']} {len(self.runs)}",
            "experiment_id": recurring["experiment_id"],
            "pipeline_version_reference": recurring["pipeline_version_reference"],
            "runtime_config": recurring["runtime_config"],
            "recurring_run_id": recurring["recurring_run_id"],
        }
        return self.create_run(body)

    # --- what is asked -------------------------------------------------------------------------

    def create_pipeline(self, body: Item) -> Item:
        name = body.get("name") or body["display_name"]
        if any(item["name"] == name for item in self.pipelines):
            raise FaultError(409, f"Already exist error: pipeline {name}")
        return _add(self.pipelines, "pipeline_id", {"display_name": name, **body, "name": name})

    def upload_version(self, query: dict[str, str], package: str) -> Item:
        pipeline, name = query["pipelineid"], query["name"]
        self.one(self.pipelines, "pipeline_id", pipeline)
        if any((v["pipeline_id"], v["name"]) == (pipeline, name) for v in self.versions):
            raise FaultError(409, f"Already exist error: version {name}")
        spec = next(yaml.safe_load_all(package))
        item = {"pipeline_id": pipeline, "name": name, "display_name": name}
        item["description"] = query.get("description", "")
        made = _add(self.versions, "pipeline_version_id", item)
        self.specs[made["pipeline_version_id"]] = spec
        return made

    def create_run(self, body: Item) -> Item:
        self.check(body)
        made = _add(self.runs, "run_id", {"state": "PENDING", **body})
        self.plans[made["run_id"]] = list(self.plan)
        return made

    def create_recurring(self, body: Item) -> Item:
        self.check(body)
        cron = body.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        if len(cron.split()) != 6:
            raise FaultError(400, f"Invalid input error: cron string {cron}")
        _add(self.recurring, "recurring_run_id", {"status": "ENABLED", "mode": "ENABLE", **body})
        return self.recurring[-1]

    def check(self, body: Item) -> None:
        """Hold the parameters against those of the version, as the API server does."""
        wanted = body["pipeline_version_reference"]["pipeline_version_id"]
        version = self.one(self.versions, "pipeline_version_id", wanted)
        root = self.specs[version["pipeline_version_id"]]["root"]
        known = root["inputDefinitions"]["parameters"]
        given = body.get("runtime_config", {}).get("parameters", {})
        for name, value in given.items():
            if name not in known:
                raise FaultError(400, f"Invalid input error: no parameter {name} in the pipeline")
            kinds = TYPES[known[name]["parameterType"]]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise FaultError(400, f"Invalid input error: parameter {name} has another type")

    def look(self, run_id: str) -> Item:
        run = self.one(self.runs, "run_id", run_id)
        plan = self.plans[run_id]
        if len(plan) > 1 and run["state"] not in FINAL:
            plan.pop(0)
        if run["state"] != "CANCELING":
            self.become(run, plan[0])
        elif len(plan) <= 1 or run.pop("cancel_asked", False):
            self.become(run, "CANCELED")
        return run

    def become(self, run: Item, state: str) -> None:
        if run["state"] == state:
            return
        run["state"] = state
        if state in FINAL:
            run["finished_at"] = _now()
            self.plans[run["run_id"]] = [state]
        failed = state == "FAILED"
        error = {"error": {"code": 2, "message": "exit code 2"}} if failed else {}
        task = {
            "display_name": "Read the recordings",
            "state": state,
            "start_time": _now(),
            **error,
        }
        beside = {"display_name": "root-driver", "state": "SUCCEEDED", "start_time": _now()}
        ended = {"end_time": _now()} if state in FINAL else {}
        run["run_details"] = {"task_details": [beside, {**task, **ended}]}

    def terminate(self, run_id: str) -> Item:
        run = self.one(self.runs, "run_id", run_id)
        if run["state"] in FINAL:
            raise FaultError(400, "Failed to terminate a run that has ended")
        run.update(state="CANCELING", cancel_asked=True)
        return {}

    def delete_recurring(self, recurring_run_id: str) -> Item:
        self.recurring.remove(self.one(self.recurring, "recurring_run_id", recurring_run_id))
        for run in self.runs:  # their workflows belong to the schedule's object, and go with it
            if run.get("recurring_run_id") == recurring_run_id and run["state"] not in FINAL:
                self.become(run, "FAILED")
        return {}

    def disable_recurring(self, recurring_run_id: str) -> Item:
        found = self.one(self.recurring, "recurring_run_id", recurring_run_id)
        found.update(mode="DISABLE", status="DISABLED")
        return {}

    @staticmethod
    def one(items: list[Item], key: str, value: str) -> Item:
        for item in items:
            if item[key] == value:
                return item
        raise FaultError(404, f"{key} {value} not found")


def _add(items: list[Item], key: str, item: Item) -> Item:
    items.append({**item, key: str(uuid.uuid4()), "created_at": _now()})
    time.sleep(0.002)  # so that two are never made at the same time
    return items[-1]


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _listed(items: list[Item], key: str, query: dict[str, str]) -> Item:
    found = items
    for one in json.loads(query.get("filter") or "{}").get("predicates", []):
        value = one.get("stringValue", one.get("string_value"))
        assert one["operation"] in ("EQUALS", 1), one  # a word or its number
        found = [item for item in found if item.get(one["key"]) == value]
    if query.get("experiment_id"):
        found = [item for item in found if item["experiment_id"] == query["experiment_id"]]
    found = sorted(found, key=lambda item: item["created_at"])
    if query.get("sort_by", "").endswith(" desc"):
        found.reverse()
    return {key: found[: int(query.get("page_size") or 10)], "total_size": len(found)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Kubeflow

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = f"{self.command} {url.path.removeprefix(PREFIX)}"
        with self.state.lock:
            self.state.asked.append(path)
            try:
                status, value = 200, self._value(path, query, body)
            except FaultError as fault:
                status, value = fault.status, {"error": str(fault), "code": fault.status}
            if path == "POST /runs" and self.state.lose:
                self.state.lose -= 1
                self.close_connection = True
                return
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _value(self, path: str, query: dict[str, str], body: bytes) -> Any:
        state = self.state
        if state.away:
            raise FaultError(503, "upstream connect error")
        if state.token and self.headers.get("authorization") != f"Bearer {state.token}":
            raise FaultError(401, "Unauthenticated")
        routes: dict[str, Callable[..., Any]] = {
            r"GET /healthz": lambda: {"multi_user": False},
            r"GET /pipelines": lambda: _listed(state.pipelines, "pipelines", query),
            r"POST /pipelines": lambda: state.create_pipeline(json.loads(body)),
            r"POST /pipelines/upload_version": lambda: state.upload_version(
                query, self._file(body)
            ),
            r"GET /pipelines/([^/]+)/versions": lambda pipeline: _listed(
                [v for v in state.versions if v["pipeline_id"] == pipeline],
                "pipeline_versions",
                query,
            ),
            r"GET /experiments": lambda: _listed(state.experiments, "experiments", query),
            r"POST /experiments": lambda: _add(
                state.experiments, "experiment_id", json.loads(body)
            ),
            r"GET /runs": lambda: _listed(state.runs, "runs", query),
            r"POST /runs": lambda: state.create_run(json.loads(body)),
            r"GET /runs/([^/:]+)": state.look,
            r"POST /runs/([^/:]+):terminate": state.terminate,
            r"GET /recurringruns": lambda: _listed(state.recurring, "recurringRuns", query),
            r"POST /recurringruns": lambda: state.create_recurring(json.loads(body)),
            r"POST /recurringruns/([^/:]+):disable": state.disable_recurring,
            r"DELETE /recurringruns/([^/:]+)": state.delete_recurring,
        }
        for pattern, answer in routes.items():
            found = re.fullmatch(pattern, path)
            if found:
                return answer(*found.groups())
        raise FaultError(404, f"no such method: {path}")

    def _file(self, body: bytes) -> str:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(head + body)
        (part,) = message.iter_parts()
        return bytes(part.get_payload(decode=True)).decode()


@contextmanager
def serving() -> Iterator[Kubeflow]:
    """Serve on a free port."""
    state = Kubeflow()
    handler = type("Bound", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
