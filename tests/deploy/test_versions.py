"""A person's word moves a cluster's traffic first, and the registry's alias after it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml
from kubernetes import client as kubernetes

from components.deploy.__main__ import main as serve_champion
from serving.common.refusal import Refusal
from serving.http.gate import Gate
from serving.trigger.app import application
from serving.trigger.operations import Operations
from tests.deploy.conftest import Answering, put
from tests.deploy.controlled import NEVER, UP, Api
from tools.rendered import Object
from toolwear.cli.main import main
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.common.lock import exclusive
from toolwear.model.package import Package, load_package
from toolwear.release import approvals, audit_log, registry
from toolwear.release.blue_green import versions as deployed
from toolwear.release.blue_green.cluster import NAMESPACE_VARIABLE, Cluster, retries
from toolwear.release.blue_green.colours import digest_of
from toolwear.release.blue_green.logic import Pace
from toolwear.release.blue_green.notes import Notes
from toolwear.release.blue_green.questions import keep_rows
from toolwear.release.blue_green.target import Target
from toolwear.release.blue_green.versions import Versions
from toolwear.release.held import Held, read_all, waiting
from toolwear.release.moves import move, moving
from toolwear.release.registry import CHAMPION, Registry
from toolwear.release.registry_state import release, roll_back
from toolwear.release.rollout import Mode
from toolwear.release.served import serve
from toolwear.workspace.home import Home
from toolwear.workspace.tokens import Scope, Tokens

NAME, CAUSE, WHY = "toolwear", "on_demand: a test", "looked at every error"
QUICK = Pace(ready=20, hold=0.05, poll=0.05)


@dataclass
class Site:
    """A home and a cluster that serve the same champion, of which version 1 is the first."""

    home: Home
    api: Api
    served: Versions
    config_map: Object

    @property
    def registry(self) -> Registry:
        return Registry(self.home, "", NAME)

    @property
    def champion(self) -> str:
        found = self.registry.at(CHAMPION)
        assert found is not None
        return found.number

    def colours(self) -> dict[str, int]:
        """Digest and weight of each colour that has traffic."""
        weights = self.api.weights()
        services = {colour: self.api.service(colour) for colour in weights}
        return {digest_of(cast(Object, services[colour])): weights[colour] for colour in weights}

    def log(self) -> list[tuple[str, str | None, str | None]]:
        entries = audit_log.entries(self.home)
        return [(entry["action"], entry["from"], entry["to"]) for entry in entries]

    def hold(self, number: str, weights: str = "100") -> Held:
        found = self.registry
        version = found.version(number)
        approvals.hold(found, version, self.champion, Mode.CANARY, "it won", CAUSE, weights)
        return waiting(self.home)[-1]

    def status(self) -> tuple[str, str]:
        item = read_all(self.home)[-1]
        return item.status, item.said

    def allow(self) -> dict[str, Any]:
        return approvals.allow(self.home, "2", WHY, served=self.served)

    def refuse(self) -> dict[str, Any]:
        return approvals.refuse(self.home, "2", "not now", served=self.served)

    def roll_back(self) -> dict[str, Any]:
        return roll_back(self.home.root, "scrap on machine 3", served=self.served)


@pytest.fixture
def site(
    api: Api,
    config_map: Object,
    packages: list[Package],
    answering: Answering,
    other_answering: Answering,
    telemetry: Path,
    empty_registry: Path,
    tmp_path: Path,
) -> Iterator[Site]:
    """Version 1 serves as blue and is champion; version 2 is another model."""
    home = Home.at(tmp_path / "home")
    home.packages.mkdir(parents=True)
    (home.root / "mlflow.db").write_bytes(empty_registry.read_bytes())
    found = Registry(home, "", NAME)
    found.client.create_registered_model(NAME)
    for package in packages:
        shutil.copytree(package.folder, home.packages / package.digest)
        tags = {registry.PACKAGE: package.digest, registry.COMPLETE: "true"}
        found.client.create_model_version(NAME, f"file://{package.folder}", tags=tags)
    release(found, found.version("1"), Mode.DIRECT, "it won", CAUSE)
    keep_rows(telemetry, home.asked)
    put(api, config_map, "blue", packages[0].digest)
    route = yaml.safe_load(config_map["data"]["route.yaml"])
    for rule in route["spec"]["rules"]:
        rule["backendRefs"] = rule["backendRefs"][:1]
    api.apply(route)
    answers = {one.package.digest: one for one in (answering, other_answering)}

    def url(colour: str, part: str) -> str:
        """Each colour answers by the package that its manifest names."""
        return answers[digest_of(cast(Object, api.service(colour)))].url(colour, part)

    configuration = kubernetes.Configuration(host=api.url)
    configuration.retries = retries()
    with kubernetes.ApiClient(configuration) as client:
        target = Target(home, Cluster(client), url, QUICK)
        yield Site(home, api, Versions(target), config_map)


def digests(packages: list[Package]) -> tuple[str, str]:
    return packages[0].digest, packages[1].digest


# --- allowed ------------------------------------------------------------------------------------


def test_a_held_version_is_served_then_becomes_champion_and_is_gone_back_from(
    site: Site, packages: list[Package]
) -> None:
    first, second = digests(packages)
    site.hold("2", "10,100")
    assert site.allow()["action"] == "promote"
    assert site.colours() == {second: 100}
    assert (site.champion, site.status()) == ("2", ("allowed", WHY))
    moves = [
        {x["name"].split("-")[1]: x["weight"] for x in item["spec"]["rules"][0]["backendRefs"]}
        for plural, _, item in site.api.applied
        if plural == "httproutes"
    ]
    assert moves[1:] == [{"blue": 90, "green": 10}, {"green": 100}]
    # Served first, and no canary of one machine, which nobody would judge here.
    assert site.log()[2:] == [("deploy", first, "2"), ("allow", "1", "2"), ("promote", "1", "2")]

    applied, rolled = len(site.api.applied), list(site.api.rolled)
    assert site.roll_back() | {"when": "", "chain": ""} == {
        **audit_log.entries(site.home)[-1],
        "when": "",
        "chain": "",
    }
    assert site.colours() == {first: 100}
    assert site.champion == "1"
    assert site.log()[5:] == [("deploy", second, "1"), ("rollback", "2", "1")]
    assert {name for _, name, _ in site.api.applied[applied:]} == {"toolwear-blue", "toolwear"}, (
        "what is gone back from stays up"
    )
    assert site.api.rolled == rolled, "what was up was not started anew"


def test_what_the_cluster_does_not_serve_waits_again_and_may_be_refused(
    site: Site, packages: list[Package]
) -> None:
    first, _ = digests(packages)
    site.hold("2")
    site.api.fate = lambda name, digest: NEVER if name == "toolwear-green" else UP
    impatient = Versions(
        Target(site.home, site.served.target.cluster, site.served.target.address, Pace(0.3, 0, 0.1))
    )
    with pytest.raises(ToolwearError, match=r"Version 2 is not served, and what .* Not up after"):
        approvals.allow(site.home, "2", WHY, served=impatient)
    assert site.colours() == {first: 100}
    assert site.api.service("green") is None
    assert site.champion == "1"
    status, said = site.status()
    assert status == "waiting"
    assert "Not up after" in said
    assert site.refuse()["action"] == "refuse"
    assert site.status() == ("refused", "not now")
    assert [entry[0] for entry in site.log()[2:]] == ["not_deployed", "refuse"]


def test_a_version_that_answers_wrongly_does_not_come_back(
    site: Site, packages: list[Package]
) -> None:
    site.hold("2")
    site.allow()
    _, second = digests(packages)
    served = site.served.target.address
    assert served is not None
    # Whatever was put up, the second package answers.
    wrong = Versions(
        Target(site.home, site.served.target.cluster, lambda _, part: served("green", part), QUICK)
    )
    with pytest.raises(ToolwearError, match="blue answered wrongly"):
        roll_back(site.home.root, "scrap", served=wrong)
    assert site.colours() == {second: 100}
    assert site.champion == "2"


def test_nothing_to_go_back_to_and_nothing_that_waits_touch_no_cluster(site: Site) -> None:
    applied = len(site.api.applied)
    with pytest.raises(ToolwearError, match="There is no champion of toolwear before"):
        site.roll_back()
    with pytest.raises(ToolwearError, match="does not wait"):
        site.allow()
    assert len(site.api.applied) == applied


def test_without_rows_to_ask_about_nothing_is_served(site: Site) -> None:
    site.hold("2")
    site.home.asked.unlink()
    applied = len(site.api.applied)
    with pytest.raises(ToolwearError, match=r"no recorded rows .* leaves them there"):
        site.allow()
    assert site.status()[0] == "waiting"
    assert len(site.api.applied) == applied


def test_while_a_run_deploys_nobody_else_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployed, "_LOCK_SECONDS", 0.2)
    site.hold("2")
    with exclusive(site.home.lock("deploy"), "deploying a model"):
        for decide in (site.allow, site.refuse, site.roll_back):
            with pytest.raises(ToolwearError, match="Another process is deploying"):
                decide()
    assert site.status()[0] == "waiting"


# --- cut off and overtaken ----------------------------------------------------------------------


def cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """End where the version has all traffic and is not champion yet."""
    site.hold("2")
    with monkeypatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(approvals, "_release", killed)
        with pytest.raises(KeyboardInterrupt):
            site.allow()
    assert (site.champion, site.status()[0]) == ("1", "releasing")


def test_a_release_that_was_cut_off_is_finished_when_it_is_allowed_again(
    site: Site, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(site, monkeypatch)
    assert site.colours() == {packages[1].digest: 100}
    assert [item.version for item in waiting(site.home)] == ["2"]
    assert site.allow()["action"] == "promote"
    assert site.champion == "2"


def test_a_release_that_was_cut_off_is_taken_back_when_it_is_refused(
    site: Site, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(site, monkeypatch)
    site.refuse()
    assert site.colours() == {packages[0].digest: 100}
    assert (site.champion, site.status()[0]) == ("1", "refused")


def test_a_champion_that_was_moved_meanwhile_is_served(
    site: Site, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version was judged against another champion: the present one gets its traffic back."""
    first, second = digests(packages)
    site.hold("2")
    found = site.registry
    found.client.create_model_version(
        NAME,
        "file:///the/same",
        tags={registry.PACKAGE: first, registry.COMPLETE: "true"},
    )

    def overtaken(*arguments: Any) -> None:
        serve(*arguments)
        if site.champion == "1":
            assert site.colours() == {second: 100}
            with moving(found) as champion:
                third = found.version("3")
                move(found, audit_log.PROMOTE, champion, third, "another run's", "")

    monkeypatch.setattr(approvals, "serve", overtaken)
    with pytest.raises(ToolwearError, match="The champion is version 3 by now"):
        site.allow()
    assert site.colours() == {first: 100}
    assert (site.champion, site.status()[0]) == ("3", "outdated")


def test_what_a_killed_deployment_has_left_is_mended(site: Site, packages: list[Package]) -> None:
    first, _ = digests(packages)
    put(site.api, site.config_map, "green", "d" * 64)
    Notes(site.home).write("green", None)
    route = yaml.safe_load(site.config_map["data"]["route.yaml"])
    for rule in route["spec"]["rules"]:
        for backend, weight in zip(rule["backendRefs"], (90, 10), strict=True):
            backend["weight"] = weight
    site.api.apply(route)
    site.served.mend()
    assert site.colours() == {first: 100}
    assert site.api.service("green") is None


# --- how it is said -----------------------------------------------------------------------------


async def test_over_http_a_move_that_takes_long_is_told_of_later(
    site: Site, packages: list[Package]
) -> None:
    item = site.hold("2")
    site.api.fate = lambda name, digest: NEVER
    operations = Operations(site.home, "", NAME, site.served, answer_seconds=0.2)
    tokens = Tokens(site.home)
    app = application(cast(Any, None), operations, Gate(tokens), cast(Any, None))
    headers = {"authorization": f"Bearer {tokens.own(Scope.OPERATE)}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://trigger", headers=headers
    ) as client:
        path, body = f"/approvals/{item.id}", {"decision": "allow", "why": WHY}
        answer = await client.post(path, json=body)
        assert (answer.status_code, answer.json()["state"]) == (202, "at work")
        busy = await client.post("/rollback", json={"why": "now"})
        assert (busy.status_code, "Another move is at work" in busy.json()["error"]) == (409, True)
        told = (await client.get("/approvals")).json()
        assert told["move"] == {"what": "allow", "state": "at work", "said": ""}
        site.api.fate = lambda name, digest: UP
        while (told := (await client.get("/approvals")).json())["move"]["state"] == "at work":
            pass
        assert told["move"] == {
            "what": "allow",
            "state": "done",
            "said": "champion: version 1 -> version 2",
        }
        assert told["approvals"][0]["status"] == "allowed"
        assert site.colours() == {packages[1].digest: 100}
        operations.answer_seconds = 60
        back = await client.post("/rollback", json={"why": "scrap"})
        assert (back.status_code, back.json()) == (
            200,
            {"action": "rollback", "from": "2", "to": "1"},
        )
        refused = await client.post("/rollback", json={"why": "once more"})
        assert refused.status_code == 409
        told = (await client.get("/approvals")).json()
        assert told["move"]["state"] == "failed"
        assert "There is no champion of toolwear before" in told["move"]["said"]
    # Who was answered at once needs no entry.
    assert site.log()[-1][0] == "rollback"


@pytest.mark.parametrize("fault", [ToolwearError("The cluster is full."), RuntimeError("secret")])
async def test_a_move_that_fails_after_its_answer_is_on_both_logs(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
) -> None:
    item = site.hold("2")
    answered = threading.Event()

    def failing(*_arguments: Any) -> None:
        assert answered.wait(60)
        raise fault

    monkeypatch.setattr(approvals, "serve", failing)
    operations = Operations(site.home, "", NAME, site.served, answer_seconds=0.2)
    told = operations.decide(item.id, {"decision": "allow", "why": WHY})
    assert told["state"] == "at work"
    answered.set()
    while (last := operations.last()) is not None and last["state"] == "at work":
        pass
    said = str(fault) if isinstance(fault, ToolwearError) else "The trigger failed at it"
    assert last is not None
    assert (last["state"], said in last["said"]) == ("failed", True)
    assert f"allow failed: {fault}" in caplog.text
    entry = audit_log.entries(site.home)[-1]
    assert (entry["action"], entry["who"]) == ("move_failed", "operator, over HTTP")
    assert entry["why"].startswith(f"allow ({WHY}): {said}")
    assert "secret" not in entry["why"]
    # The champion serves on, and another move may begin.
    assert site.champion == "1"
    with pytest.raises(Refusal, match="There is no champion of toolwear before"):
        operations.roll_back({"why": "now"})


def test_the_command_line_moves_the_traffic_where_a_namespace_is_named(
    site: Site,
    packages: list[Package],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.hold("2")
    address = site.served.target.address
    assert address is not None
    monkeypatch.setattr(Target, "url", lambda self, colour, part, namespace: address(colour, part))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": site.api.url}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig")
    )
    monkeypatch.setenv(NAMESPACE_VARIABLE, "toolwear")
    for words, digest in (
        (["allow", "2", "--why", WHY], packages[1].digest),
        (["rollback", "--why", "scrap"], packages[0].digest),
    ):
        monkeypatch.setattr("sys.argv", ["toolwear", *words, f"--home={site.home.root}"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        assert "answered 4 questions rightly" in capsys.readouterr().out
        assert site.colours() == {digest: 100}

    # A champion that has lost its traffic gets it back.
    registry_now = site.registry
    registry_now.move(CHAMPION, registry_now.version("2"))
    monkeypatch.setattr("sys.argv", ["deploy", f"--home={site.home.root}"])
    assert serve_champion() == 0
    assert "version 2 is served" in capsys.readouterr().out
    assert site.colours() == {packages[1].digest: 100}
    registry_now.move(CHAMPION, None)
    assert serve_champion() == EXIT_USAGE
    assert "There is no champion in" in capsys.readouterr().err
    monkeypatch.delenv(NAMESPACE_VARIABLE)
    assert serve_champion() == EXIT_USAGE
    assert "Set TOOLWEAR_NAMESPACE" in capsys.readouterr().err


def test_the_kept_rows_are_those_of_the_recordings(
    telemetry: Path, packages: list[Package], tmp_path: Path
) -> None:
    from toolwear.release.blue_green.questions import kept_rows, known_among, known_rows

    keep_rows(telemetry, tmp_path / "asked.parquet")
    for package in packages:
        whole = load_package(package.folder)
        kept = known_among(kept_rows(tmp_path / "asked.parquet"), whole)
        direct = known_rows(telemetry, whole)
        assert kept.rows == direct.rows
        assert (kept.worn == direct.worn).all()
