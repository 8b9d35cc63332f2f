"""Name the images of a release by digest, everywhere: `python -m tools.release --help`.

A release is a file with a line for each image: its name here, and the reference that was pushed,
`toolwear/pipeline REGISTRY/pipeline@sha256:...`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.rendered import OVERLAYS, ROOT, everything, workloads
from toolwear.common import images
from toolwear.common.errors import EXIT_USAGE, ToolwearError

PINS = ROOT / "images" / "kustomization.yaml"
OURS = "toolwear/"  # begins the names of what is built from this repository
DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_LINE = re.compile(r"(?P<name>toolwear/[a-z]+) (?P<image>\S+@sha256:[0-9a-f]{64})")


def names(pins: Path = PINS) -> list[str]:
    """Return the names of the images that are built from this repository."""
    pinned = {entry["name"] for entry in yaml.safe_load(pins.read_text())["images"]}
    used = pinned | {image.rpartition(":")[0] for image in (images.PIPELINE, images.AUTOML)}
    return sorted(name for name in used if name.startswith(OURS))


def read(path: Path) -> dict[str, str]:
    """Return the reference of each image of a release.

    Raises:
        ToolwearError: a line is not as described, or an image is missing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ToolwearError(f"{path} cannot be read: {error.strerror}.") from None
    released = {}
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ToolwearError(
                f"{path}, line {number}: write NAME REGISTRY/NAME@sha256:DIGEST, not '{line}'."
            )
        released[found["name"]] = found["image"]
    missing = sorted(set(names()) - released.keys())
    if missing:
        raise ToolwearError(f"{path} lacks {', '.join(missing)}; push all images of a release.")
    return released


def pin(released: Mapping[str, str], pins: Path = PINS) -> None:
    """Write the digests into the file that pins the images of the manifests."""
    text = pins.read_text(encoding="utf-8")
    comments = [line for line in text.splitlines() if line.startswith("#")]
    content = yaml.safe_load(text)
    for entry in content["images"]:
        if entry["name"] in released:
            entry.pop("newTag", None)
            entry["newName"], _, entry["digest"] = released[entry["name"]].partition("@")
    pins.write_text("\n".join([*comments, yaml.safe_dump(content, sort_keys=False)]))


def environment(released: Mapping[str, str]) -> list[str]:
    """Return the variables with which the graph is compiled to the release's images."""
    return [
        f"TOOLWEAR_{name.removeprefix(OURS).upper()}_IMAGE={image}"
        for name, image in sorted(released.items())
    ]


def strays(
    released: Mapping[str, str], spec: Mapping[str, Any], overlays: Sequence[str]
) -> list[str]:
    """Return which images the graph and the overlays name that the release did not push.

    Those of others have to be named by digest: a tag may be moved after it was tried.
    """
    pushed = set(released.values())
    registries = {image.rpartition("/")[0] for image in pushed}
    found = [
        f"the graph's {name} names {image}"
        for name, image in _of_graph(spec)
        if image not in pushed
    ]
    for overlay in overlays:
        for workload in workloads(everything(overlay)):
            for image in (container["image"] for container in workload.containers):
                if image in pushed:
                    continue
                if image.rpartition("/")[0] in registries | {OURS.rstrip("/")}:
                    found.append(f"{overlay}: {workload.name} names {image}")
                elif not DIGEST.fullmatch(image):
                    found.append(f"{overlay}: {workload.name} names {image} without a digest")
    return found


def _of_graph(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, executor in spec["deploymentSpec"]["executors"].items():
        yield name, executor["container"]["image"]


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("names", help="print the names of our images")
    for name, what in (
        ("pin", "write the digests into manifests/images"),
        ("environment", "print the variables for `toolwear compile`"),
        ("check", "fail if the graph or an overlay names another image, or one without a digest"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("release", type=Path)
        if name == "check":
            command.add_argument("graph", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "names":
        print("\n".join(names()))
        return
    released = read(given.release)
    if given.command == "pin":
        pin(released)
    elif given.command == "environment":
        print("\n".join(environment(released)))
    else:
        spec = next(yaml.safe_load_all(given.graph.read_text(encoding="utf-8")))
        found = strays(released, spec, OVERLAYS)
        if found:
            raise ToolwearError(
                "; ".join(found) + ": pin and compile with this release's images, and name those "
                f"of others by digest in {PINS.relative_to(ROOT.parent)}."
            )
        print(
            f"the graph and {', '.join(OVERLAYS)} name images of this release, "
            "and those of others by digest"
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ToolwearError as error:
        print(f"tools.release: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
