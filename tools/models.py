"""`python -m tools.models OVERLAY`: what the step that deploys needs, as one ConfigMap.

It holds the manifests of both colours, which wait for the digest of a model's package, and the
route. They are not applied themselves: an InferenceService without a package cannot start.
"""

from __future__ import annotations

import sys

import yaml

from tools.rendered import MODELS, OVERLAYS, Object, of_kind, render
from toolwear.common.errors import EXIT_USAGE, ToolwearError
from toolwear.release.blue_green.cluster import TEMPLATES
from toolwear.release.blue_green.colours import COLOURS, name_of


def templates(overlay: str) -> Object:
    """Return the ConfigMap of an overlay.

    Raises:
        ToolwearError: it cannot be rendered.
    """
    objects = render(f"overlays/{overlay}/{MODELS}")
    services = {item["metadata"]["name"]: item for item in of_kind(objects, "InferenceService")}
    texts = {f"{colour}.yaml": services[name_of(colour)] for colour in COLOURS}
    (texts["route.yaml"],) = of_kind(objects, "HTTPRoute")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": TEMPLATES, "namespace": texts["route.yaml"]["metadata"]["namespace"]},
        "data": {name: yaml.safe_dump(item) for name, item in texts.items()},
    }


def main() -> int:
    """Print the ConfigMap of the overlay that is named; return the exit code."""
    if len(sys.argv) != 2 or sys.argv[1] not in OVERLAYS:
        print(f"models: name one overlay: {', '.join(OVERLAYS)}.", file=sys.stderr)
        return EXIT_USAGE
    try:
        yaml.safe_dump(templates(sys.argv[1]), sys.stdout)
    except ToolwearError as error:
        print(f"models: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
