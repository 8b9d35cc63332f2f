"""Who may change something: a signed cookie for those who knew the operator's token.

The console keeps no sessions. The cookie holds a random word and the person's name, signed with the
token and the time; a form holds the same, signed for forms: a CSRF token.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer, TimestampSigner
from starlette.requests import Request
from starlette.responses import Response

COOKIE = "toolwear_operator"
SECONDS = 1800  # of a session; then the token is asked for anew
_SITES = ("same-origin", "none")


@dataclass(frozen=True)
class Session:
    """An operator who has signed in.

    Attributes:
        name: that the person gave.
        csrf: what each of the operator's forms has to send.
    """

    name: str
    csrf: str


class Sessions:
    """Opens sessions and knows them again.

    Args:
        token: the operator's. A new one ends all sessions.
        seconds: that a session lasts.
    """

    def __init__(self, token: str, seconds: int = SECONDS) -> None:
        self._token = token
        self._seconds = seconds
        self._cookies = TimestampSigner(token, salt="toolwear.console.session")
        self._forms = Signer(token, salt="toolwear.console.form")

    def open(self, given: str, name: str, answer: Response, secure: bool) -> bool:
        """Put a session's cookie on an answer if the token given is right; tell whether it is."""
        if not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return False
        who = base64.urlsafe_b64encode(name.encode()).decode()
        word = f"{secrets.token_urlsafe(16)}:{who}"
        answer.set_cookie(
            COOKIE,
            self._cookies.sign(word).decode(),
            max_age=self._seconds,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return True

    def of(self, request: Request) -> Session | None:
        """Return the session of a request, None if there is none or it has ended."""
        try:
            word = self._cookies.unsign(request.cookies.get(COOKIE, ""), max_age=self._seconds)
        except BadSignature:
            return None
        name = base64.urlsafe_b64decode(word.decode().rpartition(":")[2]).decode()
        return Session(name, self._forms.sign(word).decode())

    def sent_by(self, session: Session, csrf: str) -> bool:
        """Tell whether a form was made for this session."""
        return hmac.compare_digest(csrf.encode(), session.csrf.encode())


def is_own(request: Request) -> bool:
    """Tell whether the browser says that a page of ours has sent the request."""
    return request.headers.get("sec-fetch-site", "same-origin") in _SITES
