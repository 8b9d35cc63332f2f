"""A model that is served by real processes, a real object store, and a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.api_server import ApiServer, installed
from tests.deploy.controlled import Api, serving
from tests.object_store import credentials, object_store
from tests.ports import free_port
from tests.programs import renders
from tests.serving.conftest import wait_ready
from tests.serving.stack import Server, real_package
from tools.models import templates
from tools.rendered import Object, of_kind, render
from toolwear.model.package import Package
from toolwear.release.blue_green.store import BUCKET

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Answering:
    """A package and the servers that answer by it, whatever the cluster says."""

    package: Package
    transformer: Server
    explainer: Server

    def url(self, colour: str, part: str) -> str:
        return {"transformer": self.transformer, "explainer": self.explainer}[part].url


@pytest.fixture(scope="session")
def packages(features: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Package]:
    """Two packages of unlike models."""
    root = tmp_path_factory.mktemp("packages")
    return [real_package(root, features, seed) for seed in range(2)]


@pytest.fixture(scope="session")
def answering(
    packages: list[Package], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answering]:
    with _answering(packages[0], tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="session")
def other_answering(
    packages: list[Package], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Answering]:
    """Servers of the second package."""
    with _answering(packages[1], tmp_path_factory) as found:
        yield found


@contextmanager
def _answering(package: Package, paths: pytest.TempPathFactory) -> Iterator[Answering]:
    home, logs = paths.mktemp("home"), paths.mktemp("logs")
    model, grpc = str(package.folder), str(free_port())
    servers = [
        Server("serving.predictor", logs / "p", ["--model_dir", model, "--grpc_port", grpc]),
        Server(
            "serving.transformer",
            logs / "t",
            ["--home", str(home), "--predictor_host", f"{HERE}:{grpc}"],
        ),
        Server("serving.explainer", logs / "e", ["--model_dir", model, "--home", str(home)]),
    ]
    try:
        for server in servers:
            server.start(ready=False)
        for server in servers:
            assert server.process is not None
            wait_ready(server.url, server.process, server.log)
        yield Answering(package, servers[1], servers[2])
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("s3"), BUCKET) as url:
        yield url


@pytest.fixture(scope="session")
def config_map() -> Object:
    """The real manifests, as `python -m tools.models kind` prints them."""
    renders()
    return templates("kind")


@pytest.fixture(scope="session")
def installed_api(api_server: ApiServer, config_map: Object) -> Api:
    """What the kind overlay makes, and the account of the pipeline's tasks that deploys."""
    objects = render("overlays/kind")
    installed(api_server, [*objects, config_map])
    token = api_server.token("kubeflow", "pipeline-runner")
    return Api(api_server, token, of_kind(objects, "ServingRuntime"))


@pytest.fixture
def api(
    installed_api: Api, config_map: Object, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    for name, value in credentials(endpoint).items():
        monkeypatch.setenv(name, value)
    fresh = Api(installed_api.server, installed_api.token, installed_api.runtimes)
    fresh.clear()
    fresh.templates(config_map)
    with serving(fresh) as started:
        yield started


@pytest.fixture
def blue(api: Api, config_map: Object) -> str:
    """Let blue serve another package already; return its digest."""
    digest = "b" * 64
    put(api, config_map, "blue", digest)
    route = yaml.safe_load(config_map["data"]["route.yaml"])
    for rule in route["spec"]["rules"]:
        rule["backendRefs"] = rule["backendRefs"][:1]
    api.apply(route)
    api.applied.clear()
    return digest


def put(api: Api, config_map: Object, colour: str, digest: str) -> None:
    """Put up a colour that serves a package of this digest."""
    text = config_map["data"][f"{colour}.yaml"].replace("0" * 64, digest)
    api.apply(yaml.safe_load(text))
