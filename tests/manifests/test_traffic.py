"""What our code asks over the network, its pods may ask; and nobody else is let in."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import yaml

from pipelines.settings import EVERY, STEP_LABEL
from tests.manifests.listening import named_ports
from tests.manifests.policies import selects
from tests.manifests.test_agreement import APP, MONITORING, targets
from tests.manifests.traffic import (
    Pods,
    behind,
    environment,
    means,
    reaches_outside,
    refusals,
    selected,
)
from tests.programs import renders
from tools.rendered import Object, Workload, everything, of_kind, render, workloads
from tools.secrets import SECRETS
from toolwear.common import ports
from toolwear.common.fingerprint import ROOT
from toolwear.release.blue_green.colours import COLOURS
from toolwear.release.blue_green.target import Target
from toolwear.workspace.home import Home

NETWORK = {
    *("boto3", "botocore", "distributed", "feast", "grpc", "httpx", "kaggle", "kubernetes"),
    *("kfp", "kfp_server_api", "mlflow", "redis", "requests", "socket", "urllib3"),
}
# Of ours, what hands out a client to whoever imports it whole.
HANDED = {"toolwear.common.s3"}
# What of these packages is no client: the faces of the components, and exceptions.
LOCAL = {"kfp.dsl", "kfp.kubernetes", "kfp.compiler", "kfp.compiler.compiler_utils", "kfp.local"}
SERVING = [
    f"http://toolwear-{c}-{p}.toolwear" for c in COLOURS for p in ("transformer", "explainer")
]
DASK = "tcp://dask-scheduler.toolwear:8786"  # as docs/kubernetes.md gives it to the search
TASKS = tuple(EVERY)
API, HTTPS = "the Kubernetes API", "https"  # no policy can name them; their ports are open
OUTSIDE = {API: (443, 6443), HTTPS: (443,)}


@dataclass(frozen=True)
class Client:
    """Code that asks: which pods run it, and what they ask, a variable or an address."""

    pods: tuple[str, ...]
    asks: tuple[str, ...]


NOBODY = Client((), ())  # on one machine alone, or no client at all
CLIENTS = {
    "toolwear/automl/cluster.py": Client(("automl",), (DASK,)),
    "toolwear/cli/candidate_servers.py": NOBODY,
    "toolwear/cli/local_run.py": NOBODY,
    "toolwear/cli/serve.py": NOBODY,
    "toolwear/cli/server_process.py": NOBODY,
    # The command line is used in the trigger's pod.
    "toolwear/cli/ui.py": NOBODY,
    "toolwear/cli/trigger.py": Client(("trigger",), ("TRIGGER_URL",)),
    "toolwear/cli/watching.py": Client(("trigger",), ("MONITOR_URL", "ALERTMANAGER_URL")),
    "toolwear/run/kubeflow.py": Client(("trigger",), ("KFP_HOST",)),
    "toolwear/common/person.py": NOBODY,
    "toolwear/common/s3.py": NOBODY,  # but those that import it
    "toolwear/release/registry.py": Client(("trigger", "console", *TASKS), ("TOOLWEAR_MLFLOW",)),
    "toolwear/release/tracking.py": Client(TASKS, ("TOOLWEAR_MLFLOW",)),
    "toolwear/release/blue_green/cluster.py": Client(("trigger", "deploy"), (API,)),
    "toolwear/release/blue_green/logic.py": Client(("trigger", "deploy"), tuple(SERVING)),
    "toolwear/release/blue_green/questions.py": Client(("trigger", "deploy"), tuple(SERVING)),
    "toolwear/release/blue_green/store.py": Client(("trigger", "deploy"), ("AWS_ENDPOINT_URL",)),
    "toolwear/features/feast_folder.py": Client(("transformer", "explainer"), ("FEAST_REDIS",)),
    "toolwear/features/foreign.py": NOBODY,
    "toolwear/features/store.py": Client(("transformer", "explainer"), ("FEAST_REDIS",)),
    "toolwear/dataset/sources.py": Client(("ingest",), (HTTPS,)),
    "components/register/figures.py": Client(("register",), ("TOOLWEAR_MLFLOW",)),
    "components/register/mlflow_writer.py": Client(("register",), ("TOOLWEAR_MLFLOW",)),
    "components/score/bucket.py": Client(("score",), ("AWS_ENDPOINT_URL",)),
    "components/serve_check/logic.py": NOBODY,
    "components/serve_check/process.py": NOBODY,
    "components/serve_check/step.py": NOBODY,
    "toolwear/client/client.py": NOBODY,
    "toolwear/client/grpc_calls.py": NOBODY,
    "toolwear/client/questions.py": NOBODY,
    "toolwear/client/sending.py": NOBODY,
    "serving/common/features.py": Client(("transformer", "explainer"), ("FEAST_REDIS",)),
    "serving/common/grpc_edge.py": NOBODY,
    "serving/common/grpc_face.py": NOBODY,
    "serving/console/parts.py": Client(("console",), ("--",)),
    "serving/front/tracks.py": NOBODY,
    # KServe's initializer does it there, in the same pods, and so under the same policy.
    "serving/predictor/storage.py": Client(("predictor", "explainer"), ("s3-endpoint",)),
    "serving/transformer/hop.py": Client(("transformer",), ("--predictor_host",)),
    "serving/trigger/bucket.py": Client(("trigger",), ("AWS_ENDPOINT_URL",)),
}
# Other people's programs, by our manifests.
PROGRAMS = {
    "mlflow": Client(("mlflow",), ("MLFLOW_DATABASE", "AWS_ENDPOINT_URL")),
    "feast": Client(("feast", "feast-materialize"), ("FEAST_REGISTRY", "FEAST_REDIS")),
    "buckets": Client(("object-store-buckets",), ("AWS_ENDPOINT_URL",)),
    "prometheus": Client(("prometheus",), ("scraped",)),
    "alertmanager": Client(("alertmanager",), ("told",)),
    "grafana": Client(("grafana",), ("PROMETHEUS_URL",)),
    "copies": Client(("backup-objects",), ("AWS_ENDPOINT_URL",)),
    "copy of postgres": Client(("backup-postgres",), ("postgres:5432",)),
    "copy of redis": Client(("backup-redis",), ("redis:6379",)),
    "search": Client(("dask-worker",), ("dask-scheduler:8786",)),
}
# Who asks whom by a pod's own address: a store that follows its copy, and Dask's workers.
PEERS = {
    ("redis", "backup-redis"),
    ("dask-scheduler", "dask-worker"),
    ("dask-worker", "dask-worker"),
}


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    renders()
    return [*everything("kind"), *render("dask")]


def running(
    objects: Sequence[Object], name: str
) -> list[tuple[Pods, dict[str, str], Workload | None]]:
    """The pods of a name, their environment, and what makes them; a task's are Kubeflow's."""
    if name in EVERY:
        settings = next(
            item["data"]
            for item in of_kind(objects, "ConfigMap")
            if (item["metadata"]["namespace"], item["metadata"]["name"])
            == ("kubeflow", "toolwear-settings")
        )
        return [(Pods("kubeflow", {STEP_LABEL: name}), settings, None)]
    found = [one for one in workloads(objects) if one.labels.get(APP) == name]
    assert found, name
    return [
        (Pods(one.namespace, one.labels, named_ports(one)), environment(objects, one), one)
        for one in found
    ]


def addresses(
    asks: str, variables: dict[str, str], workload: Workload | None, objects: Sequence[Object]
) -> list[str]:
    """What a pod asks by one of the words of `Client.asks`."""
    if asks.startswith("--"):
        assert workload is not None
        return list(_options(workload, asks, variables))
    if asks == "s3-endpoint":
        (store,) = [one for one in SECRETS if one.annotations]
        return [store.annotations["serving.kserve.io/s3-endpoint"]]
    if asks == "scraped":
        return [f"{host}:{port}" for _, host, port in targets()] + ["localhost:9090"]
    if asks == "told":
        config = yaml.safe_load((MONITORING / "alertmanager.yaml").read_text())
        return [
            hook["url"] for one in config["receivers"] for hook in one.get("webhook_configs", [])
        ]
    return [variables.get(asks, asks).partition(",")[0]]


def _options(workload: Workload, name: str, variables: dict[str, str]) -> Iterator[str]:
    """The addresses among a server's options, as its own parser gives them in that environment."""
    (container,) = workload.containers
    module = container["command"][2]
    words = [*container["command"][3:], *container.get("args", [])]
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        options = vars(
            importlib.import_module(f"{module}.__main__").command_line().parse_args(words)
        )
    for option, value in options.items():
        if name == "--" and option.endswith("_url") and value:
            yield value
        elif option == name.removeprefix("--"):
            yield f"{value}:{ports.PREDICTOR_GRPC}"


def asked(objects: Sequence[Object]) -> Iterator[tuple[str, Pods, str]]:
    """All that is asked: where that is written, the pods, the address."""
    for where, client in {**CLIENTS, **PROGRAMS}.items():
        for name in client.pods:
            for pods, variables, workload in running(objects, name):
                for word in client.asks:
                    for address in addresses(word, variables, workload, objects):
                        yield where, pods, address


def test_all_code_that_uses_the_network_is_known() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("components", "serving", "pipelines", "toolwear")
        for path in (ROOT / folder).rglob("*.py")
        if any(_is_client(name) for name in _imported(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == set(CLIENTS)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _is_client(module: str) -> bool:
    local = any(module == one or module.startswith(f"{one}.") for one in LOCAL)
    return module in HANDED or (module.split(".")[0] in NETWORK and not local)


def test_the_deployment_asks_these_addresses() -> None:
    target = Target(Home.at(""))
    said = [target.url(c, p, "toolwear") for c in COLOURS for p in ("transformer", "explainer")]
    assert said == SERVING


def test_what_a_pod_asks_the_policies_allow(objects: list[Object]) -> None:
    seen = list(asked(objects))
    assert len({where for where, _, _ in seen}) > len(PROGRAMS)
    told = []
    for where, pods, address in seen:
        if address in OUTSIDE:
            told += [
                f"{pods.labels} may not ask {address} ({where})"
                for port in OUTSIDE[address]
                if not reaches_outside(objects, pods, port)
            ]
        else:
            told += [f"{where}: {text}" for text in refusals(objects, pods, address)]
    assert told == []


def test_the_gateway_reaches_what_it_routes_to(objects: list[Object]) -> None:
    gateway = Pods("envoy-gateway-system", {"app.kubernetes.io/name": "envoy"})
    (route,) = of_kind(objects, "HTTPRoute")
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            address = f"{backend['name']}.toolwear:{backend['port']}"
            assert refusals(objects, gateway, address) == []


def test_nobody_is_let_in_who_does_not_ask(objects: list[Object]) -> None:
    gateway = Pods("envoy-gateway-system", {})
    used = [
        (pods, server, port)
        for _, pods, address in asked(objects)
        if address not in OUTSIDE and "127.0.0.1" not in address and "localhost" not in address
        for server, port in behind(objects, address, pods)
    ]
    (route,) = of_kind(objects, "HTTPRoute")
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            for server, port in behind(objects, f"{backend['name']}.toolwear", gateway):
                used.append((gateway, server, port))
    for pair in PEERS:
        (asking, _, _), (answering, _, _) = (running(objects, name)[0] for name in pair)
        used.append((asking, answering, 0))
    idle = []
    for policy in of_kind(objects, "NetworkPolicy"):
        if policy["metadata"]["namespace"] != "toolwear":
            continue
        for rule in policy["spec"].get("ingress", []):
            idle += [
                f"{policy['metadata']['name']} lets in {entry}"
                for entry in rule["from"]
                if not any(
                    selected(policy["spec"]["podSelector"], server.labels)
                    and means(entry, client, "toolwear")
                    for client, server, _ in used
                )
            ]
    assert idle == []


def test_a_way_that_no_policy_has_is_told(objects: list[Object]) -> None:
    (trigger,) = [pods for pods, _, _ in running(objects, "trigger")]
    (monitor,) = [pods for pods, _, _ in running(objects, "monitor")]
    assert len(refusals(objects, trigger, "http://trigger:8085")) == 2, "itself, by its Service"
    assert refusals(objects, trigger, "http://127.0.0.1:8085") == []
    assert refusals(objects, monitor, "http://trigger:8085")
    with pytest.raises(AssertionError, match="nobody's address"):
        refusals(objects, trigger, "http://tigger:8085")
    assert selects({}, trigger.labels)
