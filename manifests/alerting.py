"""Write Alertmanager's configuration for one machine: `python -m manifests.alerting [HOME]`.

It is the cluster's, with the trigger's address on loopback and the home's token.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from components.core.errors import EXIT_USAGE, ToolwearError
from components.core.home import Home
from components.core.jsonfile import write_text
from components.core.operator_token import operator_token
from manifests.rendered import ROOT
from serving.common import ports

CLUSTER = ROOT / "monitoring" / "alertmanager.yaml"
LOCAL = "alertmanager.yaml"


def local(token_file: Path, trigger: str) -> dict[str, Any]:
    """Return the configuration that tells the trigger at this address, with the token of a file."""
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    hooks = [
        hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])
    ]
    for hook in hooks:
        hook["url"] = f"{trigger}/alerts"
        hook["http_config"]["authorization"]["credentials_file"] = str(token_file)
    return config


def main(arguments: list[str]) -> None:
    """Write the file into the home and print how to start Alertmanager."""
    home = Home.at(arguments[0] if arguments else "")
    if not home.root.is_dir():
        raise ToolwearError(f"There is no home {home.root}; give the folder of the runs.")
    operator_token(home)  # makes the file if there is none yet
    path = home.root / LOCAL
    config = local(home.operator_token, f"http://127.0.0.1:{ports.TRIGGER}")
    write_text(path, yaml.safe_dump(config, sort_keys=False))
    print(
        f"prometheus-alertmanager --config.file={path} --storage.path={home.root / 'alertmanager'} "
        f"--web.listen-address=127.0.0.1:{ports.ALERTMANAGER} --cluster.listen-address="
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ToolwearError as error:
        print(f"alerting: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
