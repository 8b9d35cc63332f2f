"""The candidate's servers: they come with a rollout and go with it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from rich.console import Console

from toolwear.cli.server_process import HOST, STOP_SECONDS, Server, watch
from toolwear.common.errors import ToolwearError
from toolwear.release import rollout as state
from toolwear.release.registry import CANDIDATE
from toolwear.release.rollout import Mode, Rollout

_LOOK_SECONDS = 0.5


class CandidateServers:
    """Starts predictor, transformer and explainer of a candidate, and ends them with its rollout.

    Args:
        home: the system's folder.
        model: name in the URL.
        console: for what the user is told.
        ports: of predictor, its gRPC, transformer and explainer.
    """

    def __init__(
        self, home: Path, model: str, console: Console, ports: tuple[int, int, int, int]
    ) -> None:
        self._home = home
        self._model = model
        self._console = console
        self._predictor, self._grpc, self._transformer, self._explainer = ports
        self._rollout = ""
        self._running: list[Server] = []
        self._ending: list[tuple[float, Server]] = []
        self._next_look = 0.0
        self._complaint = ""

    @classmethod
    def at_free_ports(cls, home: Path, model: str, console: Console) -> CandidateServers:
        """Return them with ports that the system gives out: nobody but the front asks them."""
        probes = [socket.create_server((HOST, 0)) for _ in range(4)]
        ports = [int(probe.getsockname()[1]) for probe in probes]
        for probe in probes:
            probe.close()
        return cls(home, model, console, (ports[0], ports[1], ports[2], ports[3]))

    @property
    def addresses(self) -> list[str]:
        """The front's options for where they answer."""
        return [
            f"--candidate_transformer_url=http://{HOST}:{self._transformer}",
            f"--candidate_explainer_url=http://{HOST}:{self._explainer}",
        ]

    @property
    def servers(self) -> list[Server]:
        """Those that have been started and may not have ended."""
        return [*self._running, *(server for _, server in self._ending)]

    def follow(self) -> None:
        """Start, watch or end them, as the rollout wants it."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._look(now)
        for server in self._running:
            watch(server, self._console)
        for deadline, server in list(self._ending):
            if server.ended() is not None or server.process is None:
                self._ending.remove((deadline, server))
            elif now > deadline:
                server.process.kill()

    def _look(self, now: float) -> None:
        try:
            found = state.read(self._home)
            self._complaint = ""
        except ToolwearError as error:
            if str(error) != self._complaint:
                self._console.print(str(error))
            self._complaint = str(error)
            return
        wanted = found.id if found is not None and found.running else ""
        if wanted != self._rollout:
            self._end(now)
            if found is not None:
                self._told(found)
        self._rollout = wanted
        # The ports of the last rollout's servers are free only once these have ended.
        if found is not None and wanted and not self._running and not self._ending:
            self._running = self._made(found)

    def _told(self, found: Rollout) -> None:
        told = f"{found.result.replace('_', ' ')}: {found.reason}" if found.result else "begins"
        self._console.print(
            f"{found.mode} of version {found.version} {told}",
            soft_wrap=True,
        )

    def _end(self, now: float) -> None:
        for server in self._running:
            if server.process is not None:
                server.process.terminate()
                self._ending.append((now + STOP_SECONDS, server))
        self._running = []

    def _made(self, found: Rollout) -> list[Server]:
        ours = ["--home", str(self._home), "--follow", CANDIDATE]
        shadow = found.mode == Mode.SHADOW
        options = {
            "predictor": (self._predictor, [*ours, "--grpc_port", str(self._grpc)]),
            "transformer": (
                self._transformer,
                [
                    *("--home", str(self._home), "--predictor_host", f"{HOST}:{self._grpc}"),
                    *(["--shadow"] if shadow else []),
                ],
            ),
        }
        if not shadow:  # copies of explanations would show nothing that those of answers do not
            options["explainer"] = (self._explainer, ours)
        return [
            Server(
                name,
                port,
                self._model,
                self._home / "serving" / f"candidate-{name}-{port}.log",
                more,
                f"/v2/models/{self._model}/ready",
                title=f"candidate's {name}",
            )
            for name, (port, more) in options.items()
        ]
