"""Stands in for `toolwear run` where a test is about the trigger: leaves the same files, quickly.

Waits for as long as there is a file `hold` in the home; the file `code` there holds its exit code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from toolwear.common import jsonfile


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    settings = dict(item.split("=", 1) for item in options.set)
    assert not [name for name in os.environ if name.startswith("TOOLWEAR") and "TOKEN" in name]
    with (options.home / "starts").open("a") as stream:
        stream.write(json.dumps({"name": options.name, **settings}) + "\n")
    folder = options.home / options.name
    (folder / "events").mkdir(parents=True)
    (folder / "arguments.json").write_text(json.dumps(settings))
    event = {"step": "ingest", "state": "running", "started": time.time(), "seconds": 0.0}
    write(folder, event)
    code_file = options.home / "code"
    code = int(code_file.read_text()) if code_file.exists() else 0
    while (options.home / "hold").exists():
        time.sleep(0.02)
    event |= {"state": "failed" if code else "succeeded", "seconds": 0.1}
    write(folder, event | ({"reason": "bad data"} if code else {}))
    return code


def write(folder: Path, event: dict[str, Any]) -> None:
    jsonfile.write(folder / "events" / "ingest.json", event)


if __name__ == "__main__":
    sys.exit(main())
