"""A real PostgreSQL with the databases that the cluster's has, made by the cluster's own script."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.programs import program
from toolwear.common.fingerprint import ROOT

DATABASES = ROOT / "manifests" / "base" / "postgres" / "databases.sh"
MLFLOW_PASSWORD = "mlflow-only-in-tests"
_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Postgres:
    """A server; `environment` is that of a client that may do everything."""

    folder: Path
    port: int
    environment: dict[str, str]

    @property
    def mlflow_url(self) -> str:
        return f"postgresql+psycopg://mlflow:{MLFLOW_PASSWORD}@{_HERE}:{self.port}/mlflow"

    def ask(self, database: str, query: str) -> str:
        done = subprocess.run(
            ["psql", "--tuples-only", "--no-align", f"--dbname={database}", f"--command={query}"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@contextmanager
def postgres(port: int | None = None) -> Iterator[Postgres]:
    """Make a server with empty databases; nothing of it is left."""
    bin_folder = Path(program("initdb")).parent
    port = port or free_port()
    # PostgreSQL refuses to run as root, and pytest's folders are root's alone.
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="toolwear-postgres-", dir="/tmp"))
    if user:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    environment = {
        **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PGHOST": _HERE,
        "PGPORT": str(port),
        "PGUSER": "postgres",
    }

    def call(*command: str) -> None:
        subprocess.run(
            command, env=environment, user=user, cwd=folder, check=True, capture_output=True
        )

    data = str(folder / "data")
    call("initdb", "--username=postgres", "--auth=trust", "--no-sync", f"--pgdata={data}")
    # As the container starts it, but without waiting for the disk.
    options = f"-p {port} -c listen_addresses={_HERE} -c unix_socket_directories= -c fsync=off"
    log = f"--log={folder / 'log'}"
    try:
        call("pg_ctl", "start", f"--pgdata={data}", log, f"--options={options}", "--wait")
        subprocess.run(
            ["bash", str(DATABASES)],
            env={
                **environment,
                "POSTGRES_USER": "postgres",
                "MLFLOW_PASSWORD": MLFLOW_PASSWORD,
                "FEAST_PASSWORD": "feast-only-in-tests",
            },
            check=True,
            capture_output=True,
        )
        yield Postgres(folder, port, environment)
    finally:
        subprocess.run(
            ["pg_ctl", "stop", f"--pgdata={data}", "--mode=immediate"],
            env=environment,
            user=user,
            cwd=folder,
            check=False,
            capture_output=True,
        )
        shutil.rmtree(folder)
