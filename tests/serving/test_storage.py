"""A package from a folder, `file://` and a real S3 server, and what is said if there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.object_store import client, credentials, object_store
from tests.ports import free_port
from tests.serving.conftest import MODEL, environment, wait_ready
from toolwear.common.errors import EXIT_USAGE
from toolwear.common.fingerprint import ROOT
from toolwear.model.package import Package

BUCKET = "models"


@pytest.fixture(scope="module")
def endpoint(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SeaweedFS server whose bucket holds the package under its digest."""
    with object_store(tmp_path_factory.mktemp("s3"), BUCKET) as url:
        upload(url, package)
        yield url


def upload(url: str, package: Package) -> None:
    for path in package.folder.iterdir():
        client(url).upload_file(str(path), BUCKET, f"toolwear/{package.digest}/{path.name}")


def start(environ: dict[str, str], *options: str, port: int = 0) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "serving.predictor", "--model_name", MODEL]
    return subprocess.Popen(
        [*command, "--http_port", str(port or free_port()), *options],
        cwd=ROOT,
        env={**clean, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def served_digest(environ: dict[str, str], log: Path, *options: str) -> str:
    """Start a predictor, ask which model it serves, and end it."""
    port = free_port()
    process = start(environ, *options, port=port)
    log.touch()
    try:
        wait_ready(f"http://127.0.0.1:{port}", process, log)
        metadata = httpx.get(f"http://127.0.0.1:{port}/v2/models/{MODEL}").json()
        digest: str = metadata["parameters"]["sha256"]
    finally:
        process.terminate()
        process.communicate(timeout=30)
    return digest


def test_from_s3_by_the_environment(endpoint: str, package: Package, tmp_path: Path) -> None:
    uri = f"s3://{BUCKET}/toolwear/{package.digest}/"
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environ = {**credentials(endpoint), "STORAGE_URI": uri, "TMPDIR": str(temporary)}
    assert served_digest(environ, tmp_path / "log") == package.digest
    assert list(temporary.glob("toolwear-package-*")) == []


def test_from_a_file_address(package: Package, tmp_path: Path) -> None:
    found = served_digest({}, tmp_path / "log", "--storage_uri", package.folder.as_uri())
    assert found == package.digest


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://somewhere/else", "names no package"),
        ("s3://models", "names no package"),
        (f"file:///no/such/{'0' * 64}", "is not a model package"),
        (None, "No model is named"),
    ],
)
def test_a_wrong_address_is_one_sentence(uri: str | None, says: str) -> None:
    assert says in refusal({"STORAGE_URI": uri} if uri else {})


def test_a_wrong_secret_a_missing_package_and_another_digest_are_refused(
    endpoint: str, package: Package
) -> None:
    here = f"s3://{BUCKET}/toolwear/{package.digest}"
    wrong = {**credentials(endpoint, "another-secret"), "STORAGE_URI": here}
    assert "can't be read" in refusal(wrong)
    missing = {**credentials(endpoint), "STORAGE_URI": f"s3://{BUCKET}/toolwear/{'0' * 64}"}
    assert "can't be read" in refusal(missing)
    other = {**credentials(endpoint), "STORAGE_URI": here, "MODEL_SHA256": "1" * 64}
    assert "not the registered 111111111111" in refusal(other)
    away = {**credentials(f"http://127.0.0.1:{free_port()}"), "STORAGE_URI": here}
    assert "can't be reached" in refusal(away)


def refusal(environ: dict[str, str]) -> str:
    process = start({name: value for name, value in environ.items() if name not in os.environ})
    _, said = process.communicate(timeout=120)
    assert process.returncode == EXIT_USAGE
    lines = said.decode().strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]
