"""Makes the buckets that are not there yet. Runs in the cluster; see buckets.yaml."""

import os

import boto3

client = boto3.client("s3")  # at AWS_ENDPOINT_URL
there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
for name in os.environ["BUCKETS"].split():
    if name not in there:
        client.create_bucket(Bucket=name)
    print(f"{name}: {'was there' if name in there else 'made'}", flush=True)
