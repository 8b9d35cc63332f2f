"""A real S3 server, SeaweedFS as PyPI brings it: the one that Kubeflow Pipelines installs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from tests.ports import free_port

KEY, SECRET = "reader", "not-a-real-secret"
_WEED = Path(sys.executable).with_name("weed")


def credentials(endpoint: str, secret: str = SECRET) -> dict[str, str]:
    """Return the environment of a client."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )


@contextmanager
def object_store(folder: Path, bucket: str) -> Iterator[str]:
    """Start a server with a bucket; give its address."""
    identity = {
        "name": "reader",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "List", "Write"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-{name}.port.grpc={free_port()}" for name in ports]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                str(_WEED),
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-filer",
                "-s3",
                "-s3.port.iceberg=0",  # fixed ports otherwise, and two tests may run at a time
                "-s3.port.lance=0",
                f"-s3.config={folder / 's3.json'}",
                "-volume.max=4",
                "-master.volumeSizeLimitMB=64",
                *options,
            ],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{ports['s3']}"
    try:
        _make_bucket(url, bucket)
        yield url
    finally:
        process.kill()  # told to end, it takes 20 seconds
        process.wait()


def _make_bucket(url: str, bucket: str) -> None:
    deadline = time.monotonic() + 60
    store = client(url)
    while True:
        try:
            if bucket not in [found["Name"] for found in store.list_buckets()["Buckets"]]:
                store.create_bucket(Bucket=bucket)
            # It makes buckets before it has a volume to put anything into.
            store.put_object(Bucket=bucket, Key="probe", Body=b"x")
            store.delete_object(Bucket=bucket, Key="probe")
        except (BotoCoreError, ClientError):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        else:
            return
