"""Our servers on this machine are reached directly, whatever proxy the environment names.

Every client of ours and of the libraries looks at the same variables: httpx, requests, urllib,
MLflow, KServe, boto3 and gRPC. A proxy elsewhere cannot reach this machine's loopback.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_VARIABLES = ("no_proxy", "NO_PROXY")


def reach_directly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add loopback to what is not asked by way of a proxy, for this process and its children."""
    given = {name: environment.get(name, "") for name in _VARIABLES}
    for name, other in (_VARIABLES, _VARIABLES[::-1]):
        # Some clients read one of the two, some the other, and a few both.
        hosts = [host.strip() for host in (given[name] or given[other]).split(",") if host.strip()]
        if "*" not in hosts:
            hosts += [host for host in LOOPBACK if host not in hosts]
        environment[name] = ",".join(hosts)


def by_proxy(url: str) -> bool:
    """Tell whether a client of this address has to look for a proxy in the environment.

    httpx refuses to make a client at all where it cannot speak a proxy's protocol, SOCKS by
    default, even one that would not ask that proxy.
    """
    try:
        return urlsplit(url).hostname not in LOOPBACK
    except ValueError:  # no address; the request says so
        return False
