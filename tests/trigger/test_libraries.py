"""On a cluster several threads ask: what they import is there before the first one starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from toolwear.common.fingerprint import ROOT
from toolwear.release.blue_green.cluster import NAMESPACE_VARIABLE

# Ends where the first thread would start, and prints what is imported by then.
PROGRAM = """
import sys, threading
def start(self):
    names = ("kfp", "kfp_server_api", "kubernetes", "boto3", "mlflow")
    print(" ".join(name for name in names if hasattr(sys.modules.get(name), "__version__")))
    raise SystemExit
from toolwear.workspace.home import Home
from serving.trigger import service
threading.Thread.start = start
service.serve(service.Options(Home.at(sys.argv[1]), kfp_host=sys.argv[2], http_port=0))
"""


def imported(home: Path, kfp_host: str, namespace: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home), kfp_host],
        cwd=ROOT,
        env=os.environ | {NAMESPACE_VARIABLE: namespace, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_on_a_cluster_everything_is_there_before_the_first_thread(tmp_path: Path) -> None:
    found = imported(tmp_path, "http://127.0.0.1:9", "toolwear")
    assert found == ["kfp", "kfp_server_api", "kubernetes", "boto3", "mlflow"]


def test_here_nothing_is_waited_for(tmp_path: Path) -> None:
    assert imported(tmp_path, "", "") == []
