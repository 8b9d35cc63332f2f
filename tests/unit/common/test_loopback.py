"""Loopback is never asked by way of a proxy, in whatever variable and case it is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.ports import free_port
from tests.proxies import PROXIES, recorder
from toolwear.common.fingerprint import ROOT
from toolwear.common.loopback import by_proxy, reach_directly


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("127.0.0.1,localhost,::1",) * 2),
        ({"no_proxy": "a.example"}, ("a.example,127.0.0.1,localhost,::1",) * 2),
        ({"NO_PROXY": "a, ::1"}, ("a,::1,127.0.0.1,localhost",) * 2),
        (
            {"no_proxy": "a", "NO_PROXY": "b"},
            ("a,127.0.0.1,localhost,::1", "b,127.0.0.1,localhost,::1"),
        ),
        ({"no_proxy": "*"}, ("*", "*")),
    ],
)
def test_what_is_reached_directly(given: dict[str, str], wanted: tuple[str, str]) -> None:
    environment = dict(given)
    for _ in range(2):  # a child does it again
        reach_directly(environment)
        assert (environment["no_proxy"], environment["NO_PROXY"]) == wanted


CLIENTS = """
import json, sys, urllib.request
import toolwear
import boto3, grpc, httpx, requests
from botocore.config import Config

ours, elsewhere, call = json.loads(sys.argv[1])
for host in ("127.0.0.1", "localhost"):
    url = ours.replace("127.0.0.1", host)
    assert httpx.get(url).json() == requests.get(url).json() == {"asked": True}
    assert json.load(urllib.request.urlopen(url)) == {"asked": True}
store = boto3.client(
    "s3", endpoint_url=ours, region_name="x", aws_access_key_id="a", aws_secret_access_key="b",
    config=Config(s3={"addressing_style": "path"}),
)
assert store.get_object(Bucket="b", Key="k")["Body"].read() == b'{"asked": true}'
channel = grpc.insecure_channel(call)
grpc.channel_ready_future(channel).result(timeout=20)
if elsewhere:
    assert httpx.get(elsewhere).json() == requests.get(elsewhere).json() == {"asked": True}
    assert json.load(urllib.request.urlopen(elsewhere)) == {"asked": True}
"""


@pytest.mark.process
@pytest.mark.parametrize("name", PROXIES)
def test_every_client_reaches_loopback_directly_and_others_by_the_proxy(name: str) -> None:
    import grpc

    remote = grpc.server(None)
    call = f"127.0.0.1:{remote.add_insecure_port('127.0.0.1:0')}"
    remote.start()
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    plain = name.lower() == "http_proxy" and name.islower()  # the one that all of them read
    try:
        with recorder() as (ours, asked), recorder() as (proxy, by_proxy):
            elsewhere = "http://mill.example/x" if plain else ""
            subprocess.run(
                [sys.executable, "-c", CLIENTS, json.dumps([ours, elsewhere, call])],
                cwd=ROOT,
                env={**environment, "PYTHONPATH": str(ROOT), name: proxy},
                check=True,
            )
            assert len(asked) == 7
            assert by_proxy == (["http://mill.example/x"] * 3 if plain else [])
    finally:
        remote.stop(None)


SOCKS = """
import sys
from toolwear.client import Client, ServiceDownError

with Client(sys.argv[1], sys.argv[1]) as client:
    try:
        client.metadata()
    except ServiceDownError as error:
        assert "does not answer" in str(error)
"""


@pytest.mark.process
@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_that_no_client_can_speak_to_stops_nothing_here(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    subprocess.run(
        [sys.executable, "-c", SOCKS, f"http://127.0.0.1:{free_port()}"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), name: "socks5://127.0.0.1:9"},
        check=True,
    )


def test_only_other_hosts_are_asked_by_a_proxy() -> None:
    for url in ("http://127.0.0.1:80/x", "http://localhost", "http://[::1]:80", "http://["):
        assert not by_proxy(url)
    assert by_proxy("http://mill.example:8080")
