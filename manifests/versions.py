"""What the cluster is made of beside our own manifests: versions, and what each part asks for."""

from __future__ import annotations

from dataclasses import dataclass

KUBERNETES = "v1.33.1"  # kind's node image; KFP's own tests run on 1.33
KFP = "2.17.0"
CERT_MANAGER = "v1.17.0"
KSERVE = "v0.20.0"
ENVOY_GATEWAY = "v1.8.1"


@dataclass(frozen=True)
class Part:
    """A part that others have written.

    Attributes:
        name: what it is.
        version: the release that is installed.
        millicores: CPU that its pods request together.
        mebibytes: memory that they request together.
    """

    name: str
    version: str
    millicores: int
    mebibytes: int


# Requests as the releases' own manifests and charts have them.
PARTS = (
    Part("Kubernetes on one kind node: API, etcd, DNS, network", KUBERNETES, 950, 290),
    Part("Kubeflow Pipelines, without what only its version 1 needs", KFP, 644, 2662),
    Part("KServe: controller and its proxy", KSERVE, 200, 600),
    # The chart requests nothing by itself; an allowance.
    Part("cert-manager: three pods", CERT_MANAGER, 30, 192),
    Part("Envoy Gateway: controller and one proxy", ENVOY_GATEWAY, 200, 768),
)
