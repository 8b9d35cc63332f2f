"""The cluster as the stages ask it: through kubectl, the gateway and our own pods."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from datasets.cnc_mill import names as mill
from pipelines.settings import HOME_PATH
from tools import secrets
from tools.cluster_walk.walk import Journal
from tools.kind.programs import CommandFailedError
from tools.kind.tries import Settings, gateway
from toolwear.dataset import contract
from toolwear.release.blue_green.colours import name_of

RECORDINGS = f"{HOME_PATH}/recordings"
_CLI = ("python", "-m", "toolwear.cli")
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class Site:
    """A cluster, and the recordings that it is walked with.

    Attributes:
        settings: of the steps that install and try it.
        data: folder of recordings and their table.
        journal: where facts are kept from stage to stage.
    """

    settings: Settings
    data: Path
    journal: Journal

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Call kubectl in the namespace of our servers."""
        where = ("--namespace", secrets.NAMESPACE)
        return self.settings.programs.kubectl(*where, *arguments, given=given, quiet=True)

    def in_pod(self, workload: str, *command: str) -> str:
        """Run a command in a pod of a workload and return what it prints."""
        print(f"  $ kubectl exec {workload} -- {' '.join(command)[:150]}", flush=True)
        return self.kubectl("exec", workload, "--", *command)

    def toolwear(self, *words: str) -> str:
        """Run our command line in the trigger's pod."""
        return self.in_pod("deploy/trigger", *_CLI, *words)

    def audit_log(self) -> list[dict[str, Any]]:
        """Return the entries of the audit log, the oldest first."""
        export = self.kubectl("exec", "deploy/trigger", "--", *_CLI, "audit", "export")
        return [json.loads(line) for line in export.splitlines()]

    def weights(self) -> dict[str, int]:
        """Return what part of the traffic each colour gets, percent; empty without a route."""
        names = self.kubectl("get", "httproutes", "--output", "name")
        if not names.split():
            return {}
        route = json.loads(self.kubectl("get", "httproute", "toolwear", "--output", "json"))
        backends = route["spec"]["rules"][0]["backendRefs"]
        return {one["name"].split("-")[1]: one.get("weight", 1) for one in backends}

    def digest(self) -> str:
        """Return the digest of the package with most of the traffic; empty if none has any."""
        weights = self.weights()
        if not weights:
            return ""
        colour = max(weights, key=lambda one: weights[one])
        path = "jsonpath={.spec.predictor.model.env[?(@.name=='MODEL_SHA256')].value}"
        return self.kubectl("get", "inferenceservice", name_of(colour), "--output", path)

    @contextmanager
    def gateway(self) -> Iterator[str]:
        """Give the address of the gateway from here."""
        with gateway(self.settings) as address:
            yield address

    def runs(self) -> list[dict[str, str]]:
        """Return the rows of the table of runs, in its order."""
        path = self.data / mill.RUN_TABLE_FILE
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))

    def bring(self, rows: list[dict[str, str]]) -> None:
        """Make the recordings of these runs, and their table, those of the cluster."""
        with io.BytesIO() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for row in rows:
                    name = mill.RUN_FILE_PATTERN.format(number=int(row[mill.RUN_NUMBER]))
                    archive.add(self.data / name, name, filter=_nobody)
                table = io.StringIO(newline="")
                writer = csv.DictWriter(table, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
                _add(archive, mill.RUN_TABLE_FILE, table.getvalue().encode())
                if (self.data / contract.FILE).exists():
                    archive.add(self.data / contract.FILE, contract.FILE, filter=_nobody)
            unpack = f"mkdir -p {RECORDINGS} && tar -x --no-same-owner -C {RECORDINGS} -f -"
            where = ["--namespace", secrets.NAMESPACE, "exec", "-i", "deploy/trigger", "--"]
            done = subprocess.run(
                ["kubectl", *where, "sh", "-c", unpack],
                input=packed.getvalue(),
                capture_output=True,
                check=False,
            )
        if done.returncode:
            raise CommandFailedError(f"the recordings were not taken: {done.stderr.decode()}")


def wait_for[Found](what: str, look: Callable[[], Found | None], seconds: float) -> Found:
    """Return what `look` finds, as soon as it finds something.

    Raises:
        CommandFailedError: it finds nothing in time.
        httpx.HTTPStatusError: what it asks refuses.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
        except httpx.TransportError as error:  # a forwarded port that was cut is opened again
            print(f"  asking again: {error}", flush=True)
            found = None
        if found is not None:
            return found
        if time.monotonic() >= deadline:
            raise CommandFailedError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.mode = 0o644
    return member


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))
