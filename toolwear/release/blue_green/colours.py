"""Blue and green: which of the two models is in service, and what their manifests have to say.

The two are InferenceServices of which one gets the traffic. A new model goes to the other one, so
that what is in service is not touched, and stays there to go back to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolwear.common.errors import ToolwearError

COLOURS = ("blue", "green")
COMPONENTS = ("predictor", "transformer", "explainer")
DIGEST_VARIABLE = "MODEL_SHA256"  # the servers read it and refuse to start on another package
NO_DIGEST = "0" * 64  # stands in the templates where the package's digest has to be
_KUBECTL_S = "kubectl.kubernetes.io/last-applied-configuration"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Templates:
    """Manifests without a digest: an InferenceService for each colour, and the route."""

    services: Mapping[str, Manifest]
    route: Manifest


def name_of(colour: str) -> str:
    """Return the name of a colour's InferenceService."""
    return f"toolwear-{colour}"


def other(colour: str | None) -> str:
    """Return the colour that `colour` is not; the first if there is none."""
    return next(one for one in COLOURS if one != colour)


def filled(template: Manifest, digest: str) -> Manifest:
    """Return a template with the package's digest wherever it has to be.

    Raises:
        ToolwearError: the template has no place for it.
    """
    text = json.dumps(template)
    if NO_DIGEST not in text:
        raise ToolwearError(
            f"The template of {template['metadata']['name']} has no place for a digest (64 zeros); "
            "render the templates again."
        )
    found: Manifest = json.loads(text.replace(NO_DIGEST, digest))
    return found


def digest_of(service: Manifest) -> str:
    """Return the digest of the package that an InferenceService serves; empty if it has none."""
    return variable(service["spec"]["predictor"].get("model", {}).get("env", []))


def variable(environment: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest that a container's environment names; empty if it names none."""
    return next((str(x.get("value", "")) for x in environment if x["name"] == DIGEST_VARIABLE), "")


def applicable(service: Manifest) -> Manifest:
    """Return what was applied of an object: without what the cluster keeps of it."""
    metadata = service["metadata"]
    annotations = {
        key: value for key, value in metadata.get("annotations", {}).items() if key != _KUBECTL_S
    }
    kept = {key: metadata[key] for key in ("name", "namespace", "labels") if key in metadata}
    return {
        "apiVersion": service["apiVersion"],
        "kind": service["kind"],
        "metadata": kept | ({"annotations": annotations} if annotations else {}),
        "spec": service["spec"],
    }


def weights_of(route: Manifest | None) -> dict[str, int]:
    """Return what part of the traffic each colour gets, percent."""
    weights = dict.fromkeys(COLOURS, 0)
    if route is not None:
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            weights[_colour(backend["name"])] = backend.get("weight", 1)
    return weights


def weighted(route: Manifest, weights: Mapping[str, int]) -> Manifest:
    """Return the route with these weights, in every rule; a colour with none is left out.

    A backend that is not there would make the gateway doubt the whole route.
    """
    changed: Manifest = json.loads(json.dumps(route))
    for rule in changed["spec"]["rules"]:
        rule["backendRefs"] = [
            backend | {"weight": weights[_colour(backend["name"])]}
            for backend in rule["backendRefs"]
            if weights[_colour(backend["name"])] > 0
        ]
    return changed


def in_service(weights: Mapping[str, int], there: Sequence[str]) -> str | None:
    """Return the colour with most of the traffic, None if no model gets any."""
    served = [colour for colour in there if weights[colour] > 0]
    return max(served, key=lambda colour: weights[colour]) if served else None


def _colour(backend: str) -> str:
    return next(colour for colour in COLOURS if backend.startswith(f"{name_of(colour)}-"))
