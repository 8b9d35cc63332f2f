"""Who may change something: a cookie for those who had an operator's token.

The cookie and the word in a session's forms are random; what they stand for is kept in memory, so
that a session ends when its person leaves, its token is revoked, or the console is started again.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from serving.http.gate import Gate, client_of
from toolwear.workspace.tokens import Scope

COOKIE = "toolwear_operator"
SECONDS = 1800  # of a session; then the token is asked for anew
_MOST = 1000  # sessions; the oldest end first


@dataclass(frozen=True)
class Session:
    """An operator who has signed in.

    Attributes:
        name: that the person gave.
        csrf: what each of the operator's forms has to send.
        token: with which the person signed in, as its digest.
        until: on the clock of `Sessions`.
        said: a sentence for the next page that the operator opens.
    """

    name: str
    csrf: str
    token: str
    until: float
    said: str = ""


class Sessions:
    """Opens and ends sessions and knows them again.

    Args:
        gate: knows the tokens.
        clock: seconds that only grow.
    """

    def __init__(self, gate: Gate, clock: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()  # by the cookie

    def open(self, request: Request, given: str, name: str, answer: Response) -> None:
        """Put a session's cookie on an answer if the token given is right.

        Raises:
            Refusal: it is not, or its client has to wait.
        """
        token = self._gate.check(given.strip(), client_of(request), Scope.OPERATE)
        cookie, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._open[cookie] = Session(name, csrf, token.sha256, self._clock() + SECONDS)
        if len(self._open) > _MOST:
            self._open.popitem(last=False)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def of(self, request: Request) -> Session | None:
        """Return the session of a request, None if there is none or it has ended."""
        cookie = request.cookies.get(COOKIE, "")
        session = self._open.get(cookie)
        if session is None:
            return None
        if session.until < self._clock() or not self._gate.holds(session.token, Scope.OPERATE):
            self._open.pop(cookie, None)
            return None
        return session

    def tell(self, request: Request, sentence: str) -> None:
        """Keep a sentence for the next page; a link from elsewhere could put its own into a URL."""
        session = self.of(request)
        if session is not None:
            self._open[request.cookies[COOKIE]] = replace(session, said=sentence)

    def told(self, request: Request) -> str:
        """Return the sentence that was kept, once."""
        session = self.of(request)
        if session is None or not session.said:
            return ""
        self.tell(request, "")
        return session.said

    def end(self, request: Request) -> None:
        """End the session of a request."""
        self._open.pop(request.cookies.get(COOKIE, ""), None)

    def sent_by(self, session: Session, csrf: str) -> bool:
        """Tell whether a form was made for this session."""
        return hmac.compare_digest(csrf.encode(), session.csrf.encode())
