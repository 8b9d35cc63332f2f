"""Calls of `kind`, `docker`, `kubectl` and `helm`, shown before they run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from toolwear.common.errors import ToolwearError

_STOP_SECONDS = 5.0
_FORWARD_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # between two looks at a forwarded port's process
_WHERE = {
    "docker": "https://docs.docker.com/engine/install/",
    "helm": "https://helm.sh/docs/intro/install/",
    "kind": "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}


class CommandFailedError(Exception):
    """A program ended with an error; the text names it and ends with what it said."""


@dataclass(frozen=True)
class Programs:
    """The programs, all talking to one cluster.

    Attributes:
        context: of the kubeconfig; empty for the current one.
    """

    context: str = ""

    def kubectl(self, *arguments: str, given: str | None = None, quiet: bool = False) -> str:
        """Call kubectl and return what it prints; `given` is its standard input."""
        where = ["--context", self.context] if self.context else []
        return call(["kubectl", *where, *arguments], given=given, quiet=quiet)

    def helm(self, *arguments: str) -> str:
        """Call helm and return what it prints."""
        where = ["--kube-context", self.context] if self.context else []
        return call(["helm", *where, *arguments])

    @contextmanager
    def forwarded(self, namespace: str, target: str, port: int) -> Iterator[str]:
        """Make a port of a Service reachable from here; give its address.

        When kubectl loses the pod it ends, and is started again on the same port.
        """
        local = _free_port()
        where = ["--context", self.context] if self.context else []
        forward = ["port-forward", target, f"{local}:{port}"]
        command = ["kubectl", *where, "--namespace", namespace, *forward]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL)]
        closed = threading.Event()

        def renew() -> None:
            while not closed.wait(_LOOK_SECONDS):
                if running[0].poll() is not None:
                    print(f"  the way to {target} was cut; opening it again", flush=True)
                    running[0] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

        keeper = threading.Thread(target=renew, daemon=True)
        try:
            _wait_for(local, running[0], target)
            keeper.start()
            yield f"http://127.0.0.1:{local}"
        finally:
            closed.set()
            if keeper.ident is not None:
                keeper.join()
            _end(running[0])


def call(command: Sequence[str], *, given: str | None = None, quiet: bool = False) -> str:
    """Run a program and return its standard output.

    Raises:
        CommandFailedError: it ended with an error.
    """
    if not quiet:
        print(f"  $ {' '.join(command)}", flush=True)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CommandFailedError(f"{' '.join(command[:6])} ... failed: {said}")
    return done.stdout


def require(*names: str) -> None:
    """See that programs are installed.

    Raises:
        ToolwearError: one is not.
    """
    for name in names:
        if shutil.which(name) is None:
            raise ToolwearError(f"{name} is not installed; see {_WHERE[name]}")


def is_set(variable: str) -> bool:
    """Tell whether an environment variable says something."""
    return bool(os.environ.get(variable))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes], target: str) -> None:
    deadline = time.monotonic() + _FORWARD_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise CommandFailedError(f"kubectl port-forward {target} does not open its port")
