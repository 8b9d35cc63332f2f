"""Imports what the trigger's threads use before the first of them starts.

Two threads that import libraries with a package in common at the same time may find it half made:
`module 'requests' has no attribute 'exceptions'`. One that is alone may import when it likes.
"""

from __future__ import annotations

from importlib import import_module

from toolwear.release.registry import mlflow_module


def import_for_threads(*, kubeflow: bool, cluster: bool, bucket: bool) -> None:
    """Import the clients of what more than one thread will ask.

    Args:
        kubeflow: whether runs are done on Kubeflow Pipelines.
        cluster: whether versions are served on Kubernetes.
        bucket: whether a bucket is watched.
    """
    wanted = {
        "kfp": kubeflow,
        "kfp_server_api": kubeflow,
        "kubernetes": cluster,
        "boto3": bucket or cluster,
    }
    if any(wanted.values()):
        mlflow_module()
    for name, used in wanted.items():
        if used:
            import_module(name)
