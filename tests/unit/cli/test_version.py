"""`toolwear --version` names the release and the commit."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest
from typer.testing import CliRunner

from toolwear.cli.main import app
from toolwear.common.fingerprint import ROOT


def test_version_and_commit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLWEAR_COMMIT", "0123abcd")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"toolwear {project['version']} (commit 0123abcd)\n",
    )


@pytest.mark.process
def test_code_that_was_only_copied_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout.startswith("toolwear unknown (commit ")
