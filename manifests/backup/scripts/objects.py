"""The object store's buckets: `objects.py backup | list | restore [STAMP]`.

Objects lie in $BACKUPS/objects/blobs, each once, named by its SHA-256. $BACKUPS/objects/STAMP.json
says which object of which bucket had which bytes; the newest $KEEP of these stay, and the bytes
that one of them names. An object that has not changed since the last copy is not read again. What
was put into a bucket since stays there when a copy is restored. boto3's variables say where the
store is.
"""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import boto3

CHUNK = 1 << 20
STAMP = re.compile(r"\d{8}T\d{6}Z")
Listed = dict[str, dict[str, dict[str, str]]]


def main(words: list[str]) -> int:
    """Do what the words say; return the exit code."""
    folder = Path(os.environ["BACKUPS"], "objects")
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    match words:
        case ["backup"]:
            backup(folder, os.environ["BUCKETS"].split(), int(os.environ["KEEP"]))
        case ["list"]:
            print("\n".join(stamps(folder)))
        case ["restore", *rest] if len(rest) <= 1:
            return restore(folder, rest[0] if rest else "")
        case _:
            print(f"usage: {sys.argv[0]} backup | list | restore [STAMP]", file=sys.stderr)
            return 2
    return 0


def backup(folder: Path, buckets: list[str], keep: int) -> None:
    """Copy what is new, and drop what is too old."""
    store = boto3.client("s3")
    there = stamps(folder)
    before = read(folder, there[-1]) if there else {}
    index: Listed = {}
    copied = 0
    for bucket in buckets:
        index[bucket] = {}
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", []):
                key = item["Key"]
                seen = {
                    "etag": item["ETag"],
                    "size": str(item["Size"]),
                    "modified": item["LastModified"].isoformat(),
                }
                known = before.get(bucket, {}).get(key, {})
                if seen.items() <= known.items() and blob(folder, known["sha256"]).exists():
                    index[bucket][key] = known
                    continue
                index[bucket][key] = {**seen, **fetch(store, bucket, key, folder)}
                copied += 1
        print(f"objects: {bucket}: {len(index[bucket])} objects", flush=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    text = json.dumps({"buckets": index}, indent=1, sort_keys=True)
    head = hashlib.sha256(text.encode()).hexdigest()
    write(folder / f"{stamp}.json", f"{head}\n{text}".encode())
    print(f"objects: kept {stamp}, of which {copied} were new", flush=True)
    prune(folder, keep)


def fetch(store: Any, bucket: str, key: str, folder: Path) -> dict[str, str]:
    """Bring an object's bytes; return their digest, and the object's own notes."""
    answer = store.get_object(Bucket=bucket, Key=key)
    digest = hashlib.sha256()
    partial = folder / ".unfinished"
    with partial.open("wb") as stream:
        for chunk in answer["Body"].iter_chunks(CHUNK):
            digest.update(chunk)
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    found = digest.hexdigest()
    blob(folder, found).parent.mkdir(exist_ok=True)
    partial.replace(blob(folder, found))
    return {"sha256": found, "notes": json.dumps(answer["Metadata"], sort_keys=True)}


def prune(folder: Path, keep: int) -> None:
    """Drop the oldest copies, and bytes that none of the others names."""
    there = stamps(folder)
    for old in there[:-keep]:
        (folder / f"{old}.json").unlink()
        print(f"objects: dropped {old}", flush=True)
    named = {
        item["sha256"]
        for stamp in there[-keep:]
        for bucket in read(folder, stamp).values()
        for item in bucket.values()
    }
    for path in (folder / "blobs").glob("??/*"):
        if path.name not in named:
            path.unlink()


def restore(folder: Path, stamp: str) -> int:
    """Put back what is missing or has other bytes; return the exit code."""
    there = stamps(folder)
    stamp = stamp or (there[-1] if there else "")
    if stamp not in there:
        print(f"objects: there is no copy {stamp or 'yet'}; there are: {there}", file=sys.stderr)
        return 2
    index = read(folder, stamp)
    for items in index.values():  # all of it, before the first is put back
        for item in items.values():
            check(blob(folder, item["sha256"]), item["sha256"])
    print(f"objects: restoring {stamp}", flush=True)
    store = boto3.client("s3")
    buckets = {item["Name"] for item in store.list_buckets()["Buckets"]}
    for bucket, items in index.items():
        if bucket not in buckets:
            store.create_bucket(Bucket=bucket)
        present = {
            item["Key"]: (item["ETag"], str(item["Size"]))
            for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for item in page.get("Contents", [])
        }
        put = 0
        for key, item in items.items():
            if present.get(key) != (item["etag"], item["size"]):
                notes = {"Metadata": json.loads(item["notes"])}
                path = str(blob(folder, item["sha256"]))
                store.upload_file(path, bucket, key, ExtraArgs=notes)
                put += 1
        print(f"objects: {bucket}: {put} of {len(items)} objects put back", flush=True)
    return 0


def check(path: Path, digest: str) -> None:
    """End with a sentence unless the file has these bytes."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                found.update(chunk)
    except FileNotFoundError:
        sys.exit(f"objects: {path} is gone; restore another copy")
    if found.hexdigest() != digest:
        sys.exit(f"objects: {path} was changed since it was made; restore another copy")


def stamps(folder: Path) -> list[str]:
    """Return the copies that there are, the oldest first."""
    return sorted(path.stem for path in folder.glob("*.json") if STAMP.fullmatch(path.stem))


def read(folder: Path, stamp: str) -> Listed:
    """Return what a copy names; end with a sentence if it was changed."""
    head, _, text = (folder / f"{stamp}.json").read_text().partition("\n")
    if hashlib.sha256(text.encode()).hexdigest() != head:
        sys.exit(f"objects: the copy {stamp} was changed since it was made; remove {stamp}.json")
    buckets: Listed = json.loads(text)["buckets"]
    return buckets


def blob(folder: Path, digest: str) -> Path:
    """Return where bytes of this digest are."""
    return folder / "blobs" / digest[:2] / digest


def write(path: Path, data: bytes) -> None:
    """Write a file that is whole and on the disk once it is there."""
    partial = path.with_name(".unfinished")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
