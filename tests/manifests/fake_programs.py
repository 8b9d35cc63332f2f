"""Stands in for kind, docker, kubectl and helm: notes each call, and knows what was made.

A port that is forwarded leads to an address that the test has given.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

HERE = Path(os.environ["FAKE_PROGRAMS"])


def main(words: list[str]) -> int:
    state: dict[str, Any] = json.loads((HERE / "state.json").read_text())
    with (HERE / "calls").open("a") as stream:
        stream.write(json.dumps(words) + "\n")
    text = " ".join(words)
    if any(part in text for part in state["fails"]):
        print(f"fake: {text[:60]} fails as told", file=sys.stderr)
        return 1
    if words[:2] == ["kubectl", "kustomize"]:
        return _kustomize(words[2], state["path"])
    if words[0] == "kind":
        _kind(words[1], state)
    elif words[:2] == ["docker", "info"]:
        print(json.dumps(state["docker"]))
    elif words[0] == "kubectl":
        _kubectl(words, state)
    return 0


def _kustomize(folder: str, path: str) -> int:
    """Let the real one render."""
    found = shutil.which("kustomize", path=path)
    command = ["kubectl", "kustomize"] if found is None else ["kustomize", "build"]
    return subprocess.run([*command, folder], env={**os.environ, "PATH": path}).returncode


def _kind(word: str, state: dict[str, Any]) -> None:
    if word == "get":
        print("\n".join(state["clusters"]))
    elif word in ("create", "delete"):
        _keep(state, clusters=["toolwear"] if word == "create" else [])


def _kubectl(words: list[str], state: dict[str, Any]) -> None:
    if "secrets" in words:
        print("\n".join(f"secret/{name}" for name in state["secrets"]))
    elif "mlpipeline-minio-artifact" in words:
        data = {key: base64.b64encode(key.encode()).decode() for key in ("accesskey", "secretkey")}
        print(json.dumps({"data": data}))
    elif "create" in words:
        made = json.loads(sys.stdin.read())["items"]
        _keep(state, secrets=state["secrets"] + [item["metadata"]["name"] for item in made])
    elif "audit" in words:
        print(json.dumps(state["decided"]))
    elif "httproutes" in words:
        print("\n".join(state["routes"]))
    elif "--selector" in words:
        print(state["gateway"], end="")
    elif "pods" in words:
        waiting = {"name": "main", "ready": False, "state": {"waiting": {"reason": "Pending"}}}
        pod = {"metadata": {"namespace": "toolwear", "name": "stuck"}}
        print(json.dumps({"items": [{**pod, "status": {"containerStatuses": [waiting]}}]}))
    elif "logs" in words:
        print("[pod/stuck] it cannot start")
    elif "port-forward" in words:
        _forward(words[-1].split(":")[0], state["forwards"][words[-2]], state["cut"])


def _keep(state: dict[str, Any], **changes: object) -> None:
    (HERE / "state.json").write_text(json.dumps({**state, **changes}))


def _forward(port: str, address: str, cut: bool) -> None:
    """Lead connections on; end once one says something, if the pod is to be lost."""
    host, _, there = address.removeprefix("http://").partition(":")
    listener = socket.create_server(("127.0.0.1", int(port)))
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((host, int(there)))
        for one, other in ((client, server), (server, client)):
            threading.Thread(target=_copy, args=(one, other, cut), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, cut: bool) -> None:
    try:
        while data := source.recv(65536):
            if cut:
                os._exit(1)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
