"""The servers behind the front: how they are asked, and what it means if they do not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import httpx

from serving.common.caller import MACHINE_ID, RECEIPT_ID, RECORDING_ID, REQUEST_ID
from serving.common.endpoints import IDEMPOTENCY_KEY

TRANSFORMER, EXPLAINER = "transformer", "explainer"
_CONNECT_SECONDS = 2.0
_POOL_SECONDS = 10.0
_PROBE_SECONDS = 2.0
JSON_LENGTH = "inference-header-content-length"
_LIMITS = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=30)
# Nothing else of a client reaches the servers, and nothing else of theirs reaches a client.
_ASKED = (
    "accept",
    "content-type",
    JSON_LENGTH,
    "traceparent",
    "tracestate",
    RECORDING_ID,
    MACHINE_ID,
    IDEMPOTENCY_KEY,
    REQUEST_ID,
)
_ANSWERED = (
    "content-type",
    "content-security-policy",  # of /docs
    "x-content-type-options",
    JSON_LENGTH,
    "retry-after",
    RECEIPT_ID,
    REQUEST_ID,
)
DOWN, SLOW = 503, 504


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        method: of HTTP.
        path: with its query.
        headers: those that are passed on.
        body: all of it.
        role: TRANSFORMER or EXPLAINER: who answers it.
        judged: whether it is a prediction, by which a candidate is judged.
        client: address of who asks.
        passing: the body in its place, as it comes; then it can be asked once.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    role: str
    judged: bool = False
    client: str = ""
    passing: AsyncIterator[bytes] | None = None

    def copy(self) -> Asked:
        """Return a copy without the client's ids, which have their answer already."""
        ids = (IDEMPOTENCY_KEY, REQUEST_ID)
        kept = {key: value for key, value in self.headers.items() if key not in ids}
        return replace(self, headers=kept)


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: of HTTP; DOWN or SLOW with an empty body if there was no answer.
        headers: those that are passed on.
        body: all of it.
        seconds: that it took.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def good(self) -> bool:
        """Whether it answers the question."""
        return self.status < 400

    @property
    def refuses(self) -> bool:
        """Whether it says that the client is at fault."""
        return 400 <= self.status < 500


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a client that the servers get."""
    return {name: headers[name] for name in _ASKED if name in headers}


class Track:
    """One transformer with its explainer.

    Args:
        name: STABLE or CANDIDATE.
        addresses: URL by TRANSFORMER and EXPLAINER; what is not there is never ready.
    """

    def __init__(self, name: str, addresses: Mapping[str, str]) -> None:
        self.name = name
        self._clients = {
            role: httpx.AsyncClient(base_url=url, limits=_LIMITS, trust_env=False)
            for role, url in addresses.items()
        }

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def ask(self, asked: Asked, seconds: float) -> Answer:
        """Ask; a server that is gone or too slow is an answer too.

        Args:
            asked: the request.
            seconds: how long the whole answer may take.
        """
        started = perf_counter()
        timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS), pool=_POOL_SECONDS)
        try:
            response = await self._clients[asked.role].request(
                asked.method,
                asked.path,
                content=asked.passing or asked.body,
                headers=dict(asked.headers),
                timeout=timeout,
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            return Answer(SLOW, {}, b"", perf_counter() - started)
        except httpx.TransportError:  # gone, restarting, or broken off in the middle
            return Answer(DOWN, {}, b"", perf_counter() - started)
        headers = {name: response.headers[name] for name in _ANSWERED if name in response.headers}
        return Answer(response.status_code, headers, response.content, perf_counter() - started)

    async def ready(self, model: str, role: str) -> bool:
        """Tell whether a server says that its model is ready."""
        if role not in self._clients:
            return False
        asked = Asked("GET", f"/v2/models/{model}/ready", {}, b"", role)
        return (await self.ask(asked, _PROBE_SECONDS)).good
