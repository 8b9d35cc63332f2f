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


WORKFLOW_BYTES = 1_400_000  # that Argo's controller keeps uncompressed; etcd takes 1.5 MiB
# What these request by KFP's manifests and, on one node of a laptop, by ours, MiB.
KFP_REQUESTS = {"ml-pipeline": 500, "ml-pipeline-persistenceagent": 500, "workflow-controller": 500}
KFP_ON_KIND = {"ml-pipeline": 256, "ml-pipeline-persistenceagent": 128, "workflow-controller": 128}
# The container that it is, where it is not named as its Deployment; the others only wait.
KFP_CONTAINERS = {"ml-pipeline": "ml-pipeline-api-server"}
_KFP_MEBIBYTES = 2662 - sum(KFP_REQUESTS.values()) + sum(KFP_ON_KIND.values())

# Requests as the releases' own manifests and charts have them.
PARTS = (
    Part("Kubernetes on one kind node: API, etcd, DNS, network", KUBERNETES, 950, 290),
    Part("Kubeflow Pipelines, without what only its version 1 needs", KFP, 644, _KFP_MEBIBYTES),
    Part("KServe: controller and its proxy", KSERVE, 200, 600),
    # The chart requests nothing by itself; an allowance.
    Part("cert-manager: three pods", CERT_MANAGER, 30, 192),
    Part("Envoy Gateway: controller and one proxy", ENVOY_GATEWAY, 200, 768),
)
