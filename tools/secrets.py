"""The cluster's secrets: which there are, and how they are made where nobody has made them.

`python -m tools.secrets` prints them with new passwords for `kubectl apply --filename -`; the
object store's key comes from the environment. A site may make them in its own way.
None is in a file.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from toolwear.common.errors import EXIT_USAGE

NAMESPACE = "toolwear"
STEPS = "kubeflow"  # namespace of the pipeline's steps
S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Secret:
    """One secret.

    Attributes:
        name: of the object.
        holds: what each key means, for who makes it by hand.
        make: returns the values, given those of KFP's object store (access key, secret key).
        annotations: of the object.
        namespaces: that have it, with the same values in each.
    """

    name: str
    holds: Mapping[str, str]
    make: Callable[[str, str], dict[str, str]]
    annotations: Mapping[str, str] = field(default_factory=dict)
    namespaces: tuple[str, ...] = (NAMESPACE,)


def _s3(access: str, secret: str) -> dict[str, str]:
    return dict(zip(S3_KEYS, (access, secret), strict=True))


def _postgres(_access: str, _secret: str) -> dict[str, str]:
    # Hexadecimal digits: a URL takes them as they are.
    admin, mlflow, feast = (secrets.token_hex(24) for _ in range(3))
    address = "postgres:5432"
    return {
        "admin-password": admin,
        "mlflow-password": mlflow,
        "feast-password": feast,
        "mlflow-url": f"postgresql+psycopg://mlflow:{mlflow}@{address}/mlflow",
        "feast-url": f"postgresql+psycopg://feast:{feast}@{address}/feast",
    }


def _redis(_access: str, _secret: str) -> dict[str, str]:
    password = secrets.token_hex(24)
    return {"password": password, "connection": f"redis:6379,password={password}"}


def _token(name: str, key: str, holder: str) -> Secret:
    holds = {key: f"who holds it {holder}"}
    return Secret(name, holds, lambda _access, _secret: {key: secrets.token_urlsafe(32)})


SECRETS = (
    Secret(
        "toolwear-s3",
        {
            "AWS_ACCESS_KEY_ID": "key of the object store",
            "AWS_SECRET_ACCESS_KEY": "its secret; may write the toolwear-* buckets",
        },
        _s3,
        # Where KServe's storage initializer looks for the store.
        {
            "serving.kserve.io/s3-endpoint": "seaweedfs.kubeflow:9000",
            "serving.kserve.io/s3-usehttps": "0",
            "serving.kserve.io/s3-region": "us-east-1",
        },
    ),
    Secret(
        "toolwear-postgres",
        {
            "admin-password": "PostgreSQL's administrator",
            "mlflow-password": "the user mlflow",
            "feast-password": "the user feast",
            "mlflow-url": "postgresql+psycopg://mlflow:PASSWORD@postgres:5432/mlflow",
            "feast-url": "postgresql+psycopg://feast:PASSWORD@postgres:5432/feast",
        },
        _postgres,
    ),
    Secret(
        "toolwear-redis",
        {"password": "Redis' password", "connection": "redis:6379,password=PASSWORD"},
        _redis,
    ),
    Secret(
        "toolwear-grafana",
        {"admin-password": "Grafana's user admin"},
        lambda _access, _secret: {"admin-password": secrets.token_urlsafe(24)},
    ),
    _token("toolwear-operator", "operator-token", "may start runs, promote and roll back"),
    _token("toolwear-alert", "alert-token", "may tell the trigger of alerts; Alertmanager's"),
    _token("toolwear-label", "label-token", "may label answers"),
    Secret(
        "toolwear-seal",
        {"seal-key": "seals the audit log and backups of the home; keep a copy elsewhere"},
        lambda _access, _secret: {"seal-key": secrets.token_urlsafe(32)},
        namespaces=(NAMESPACE, STEPS),
    ),
)


def decoded(text: str) -> str:
    """Return a value of a Secret as Kubernetes prints it."""
    return base64.b64decode(text).decode()


def manifests(secret: Secret, values: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the Kubernetes objects of a secret with these values, one for each namespace."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": secret.name,
                "namespace": namespace,
                "annotations": dict(secret.annotations),
            },
            "type": "Opaque",
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in values.items()},
        }
        for namespace in secret.namespaces
    ]


def main() -> int:
    """Print all secrets, each with values of its own; return the exit code."""
    try:
        access, secret = (os.environ[name] for name in S3_KEYS)
    except KeyError as error:
        print(f"secrets: set {error.args[0]} to the object store's key.", file=sys.stderr)
        return EXIT_USAGE
    items = [item for one in SECRETS for item in manifests(one, one.make(access, secret))]
    yaml.safe_dump_all(items, sys.stdout, sort_keys=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
