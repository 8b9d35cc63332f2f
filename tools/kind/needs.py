"""What a cluster on this machine takes, and what of it is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tools.budget import CPUS, DISK_GIB, MEMORY_GIB
from tools.kind.programs import call
from toolwear.common.errors import ToolwearError

_ROUNDING = 0.95  # a machine of 12 GiB tells a little less


def see_what_is_there() -> None:
    """Say what the cluster takes and what Docker has.

    Raises:
        ToolwearError: something is missing.
    """
    print(f"  it takes {CPUS} CPUs, {MEMORY_GIB} GiB of memory and {DISK_GIB} GiB of free disk")
    told = json.loads(call(["docker", "info", "--format", "{{json .}}"], quiet=True))
    cpus, memory = int(told["NCPU"]), told["MemTotal"] / 2**30
    folder = Path(told["DockerRootDir"])
    # Where Docker runs in a machine of its own, its disk cannot be seen from here.
    disk = shutil.disk_usage(folder).free / 2**30 if folder.is_dir() else None
    seen = "unknown" if disk is None else f"{disk:.0f} GiB free"
    print(f"  Docker has {cpus} CPUs, {memory:.1f} GiB of memory, disk: {seen}", flush=True)
    missing = [
        f"{what}: {has:.0f} {unit}, and it takes {takes} {unit}"
        for what, has, takes, unit in (
            ("CPUs", cpus, CPUS, "CPUs"),
            ("memory", memory, MEMORY_GIB, "GiB"),
            ("disk", DISK_GIB if disk is None else disk, DISK_GIB, "GiB"),
        )
        if has < takes * _ROUNDING
    ]
    if missing:
        raise ToolwearError(
            f"This machine is too small for the cluster ({'; '.join(missing)}); give Docker more."
        )
