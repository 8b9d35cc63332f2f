"""Who counts as one client, and what each has under way."""

from __future__ import annotations

import functools
import ipaddress
from collections import Counter

from serving.common.refusal import Refusal
from toolwear.common.request_limits import CLIENT_REQUESTS, REQUESTS


@functools.lru_cache(maxsize=4096)
def client_name(host: str) -> str:
    """Return who asks from an address: for IPv6 its /64 network, as anybody has 2^64 addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class OpenRequests:
    """Requests or calls under way, in all and by client."""

    def __init__(self) -> None:
        self._by_client: Counter[str] = Counter()
        self._all = 0

    def add(self, client: str) -> None:
        """Count one until `remove`.

        Raises:
            Refusal: the client, or the server, has as many as it may; nothing was counted.
        """
        if self._all >= REQUESTS:
            raise Refusal(
                "busy", "The server has too many requests at the moment; try again.", 503, 1
            )
        if self._by_client[client] >= CLIENT_REQUESTS:
            raise Refusal(
                "busy",
                f"No client may have more than {CLIENT_REQUESTS} requests open at once.",
                429,
                1,
            )
        self._by_client[client] += 1
        self._all += 1

    def remove(self, client: str) -> None:
        """Count one less."""
        self._all -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
