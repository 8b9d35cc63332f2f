"""The workflows are valid, keep to their policies, and call what is there."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.programs import program
from tests.workflows.policies import POLICIES, Document, Policy, steps
from tools.rendered import OVERLAYS
from toolwear.common.fingerprint import ROOT

GITHUB = ROOT / ".github"
Documents = dict[str, Document]


@pytest.fixture(scope="module")
def documents() -> Documents:
    paths = sorted([*GITHUB.glob("workflows/*.yaml"), *GITHUB.glob("actions/*/action.yaml")])
    assert len(paths) >= 7
    return {str(path.relative_to(GITHUB)): yaml.safe_load(path.read_text()) for path in paths}


def scripts(documents: Documents) -> str:
    return "\n".join(step.get("run", "") for _, step in steps(documents))


def linted(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    shutil.copytree(GITHUB, folder / ".github")
    linted("git", "init", "--quiet", cwd=folder)  # actionlint looks for the repository's root
    return folder


def test_actionlint_finds_nothing_but_what_is_put_in(tmp_path: Path) -> None:
    actionlint = program("actionlint")
    done = linted(actionlint, cwd=copied(tmp_path))
    assert done.returncode == 0, done.stdout
    broken = tmp_path / ".github" / "workflows" / "cd.yaml"
    broken.write_text(broken.read_text().replace("needs: images", "needs: nothing"))
    done = linted(actionlint, cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing" in done.stdout


def test_zizmor_finds_nothing_but_what_is_put_in(tmp_path: Path) -> None:
    zizmor = [str(Path(sys.executable).parent / "zizmor"), "--offline", "--no-progress", ".github"]
    done = linted(*zizmor, cwd=copied(tmp_path))
    assert done.returncode == 0, done.stdout
    broken = tmp_path / ".github" / "workflows" / "ci.yaml"
    broken.write_text(broken.read_text().replace("persist-credentials: false", "clean: true"))
    assert "artipacked" in linted(*zizmor, cwd=tmp_path).stdout


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_every_workflow_keeps_to_every_policy(policy: Policy, documents: Documents) -> None:
    assert policy(documents) == []


def floating(documents: Documents) -> None:
    documents["workflows/ci.yaml"]["jobs"]["check"]["steps"][0]["uses"] = "actions/checkout@v6"


def endless(documents: Documents) -> None:
    del documents["workflows/ci.yaml"]["jobs"]["kind"]["timeout-minutes"]


def all_permissions(documents: Documents) -> None:
    documents["workflows/cd.yaml"]["permissions"] = "write-all"


def cut_off(documents: Documents) -> None:
    documents["workflows/release.yaml"]["concurrency"]["cancel-in-progress"] = True


def unguarded(documents: Documents) -> None:
    del documents["workflows/release.yaml"]["jobs"]["production"]["environment"]


def strangers(documents: Documents) -> None:
    documents["workflows/ci.yaml"][True]["pull_request_target"] = None


def pasted(documents: Documents) -> None:
    documents["actions/setup/action.yaml"]["runs"]["steps"][-1]["run"] = "echo ${{ github.head }}"


@pytest.mark.parametrize(
    ("policy", "spoil"),
    zip(
        POLICIES,
        [floating, endless, all_permissions, cut_off, unguarded, strangers, pasted],
        strict=True,
    ),
    ids=lambda item: item.__name__,
)
def test_every_policy_finds_what_breaks_it(
    policy: Policy, spoil: Callable[[Documents], None], documents: Documents
) -> None:
    spoiled = copy.deepcopy(documents)
    spoil(spoiled)
    assert len(policy(spoiled)) == 1


def test_every_pin_says_its_version_and_one_action_has_one_pin(documents: Documents) -> None:
    lines = [
        line
        for path in documents
        for line in (GITHUB / path).read_text().splitlines()
        if "uses:" in line and "./" not in line
    ]
    assert len(lines) >= 15
    pins: dict[str, set[str]] = {}
    for line in lines:
        found = re.search(r"uses: ([\w./-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)
        assert found, line
        pins.setdefault(found[1], set()).add(line.strip().removeprefix("- "))
    assert {name: len(found) for name, found in pins.items() if len(found) > 1} == {}


def test_every_make_target_and_overlay_named_is_there(documents: Documents) -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)", scripts(documents)))
    assert {"setup", "check", "run", "images", "kind-up", "e2e"} <= named
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
    overlays = [step.get("with", {}).get("overlay") for _, step in steps(documents)]
    assert set(overlays) - {None} == {"staging", "production"}
    assert {"staging", "production"} <= set(OVERLAYS)
