"""Who may write: holders of a token for it. Whoever tries wrong ones has to wait."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import HTTPConnection

from serving.common.refusal import Refusal
from serving.http.clients import client_name
from toolwear.workspace.tokens import Scope, Token, Tokens

FREE = 5  # wrong tokens of a client until it has to wait
FORGET_SECONDS = 60.0  # without a wrong one, after which they are forgotten
LONGEST_SECONDS = 60.0  # to wait; it begins with one and doubles
REMEMBERED = 4096  # clients with wrong tokens, and those with right ones


class Gate:
    """Lets in who sends a right token.

    A client that has to wait is still let in with a token that was right from there before:
    several programs may share an address, and one of them shall not shut out the others.

    Args:
        tokens: that are right.
        clock: seconds that only grow.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._clock = clock
        # Client: wrong tokens, and until when it has to wait.
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._right: OrderedDict[tuple[str, str], None] = OrderedDict()

    def enter(self, request: HTTPConnection, may: Scope) -> Token:
        """Return the token of a request's header `Authorization`.

        Raises:
            Refusal: it has none, a wrong one or one for something else, or has to wait.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise _unknown(may)
        return self.check(given.strip(), client_of(request), may)

    def check(self, given: str, client: str, may: Scope) -> Token:
        """Return what is known of a token that a client has sent.

        Raises:
            Refusal: it is wrong or for something else, or the client has to wait.
        """
        token = self._tokens.find(given)
        known = token is not None and (client, token.sha256) in self._right
        seconds = self._seconds_to_wait(client)
        if seconds > 0 and not known:
            # Not even a right one is let in: it might have been found by trying.
            raise Refusal(
                "token",
                f"Too many wrong tokens came from this address; try again in {seconds} s.",
                429,
                seconds,
            )
        if token is None:
            self._add_wrong(client)
            raise _unknown(may)
        _put(self._right, (client, token.sha256), None)
        if token.may is not may:
            raise Refusal("token", f"This token may {token.may}, and this is to {may}.", 403)
        return token

    def holds(self, digest: str, may: Scope) -> bool:
        """Tell whether the token of this digest is still right."""
        token = self._tokens.of_digest(digest)
        return token is not None and token.may is may

    def _seconds_to_wait(self, client: str) -> int:
        _, until = self._wrong.get(client, (0, 0.0))
        return math.ceil(max(0.0, until - self._clock()))

    def _add_wrong(self, client: str) -> None:
        now = self._clock()
        count, until = self._wrong.get(client, (0, now))
        count = 1 if now - until > FORGET_SECONDS else count + 1
        more = count - FREE
        wait = 0.0 if more < 0 else min(LONGEST_SECONDS, 2.0 ** min(more, 10))
        _put(self._wrong, client, (count, now + wait))


def client_of(request: HTTPConnection) -> str:
    """Return who asks."""
    return client_name(request.client.host if request.client else "")


def _unknown(may: Scope) -> Refusal:
    return Refusal("token", f"Send a token that may {may}: 'Authorization: Bearer <token>'.", 401)


def _put[K, V](known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
