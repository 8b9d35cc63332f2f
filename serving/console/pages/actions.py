"""What an operator may change: start a run, allow or refuse what is held, go back.

The trigger does all of it; the console hands on what a form says, and shows what came of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from components.core import states
from serving.common.limits import BODY_SECONDS
from serving.console.pages.base import Console
from serving.console.parts import PartDownError, RefusedError
from serving.console.session import COOKIE, Session, is_own

_FORM_BYTES, _FIELDS = 8192, 10
_SEE_OTHER = 303
_FINISHED = (*states.ENDED, states.State.MERGED)
ENDED = "The operator's session has ended, or there was none. Enter the token, then send it again."
_WRONG = (
    "This is not the operator's token. It stands in the file secrets/operator-token of the home."
)
_FOREIGN = "Send the form of this page itself."
Fields = dict[str, str]


class ActionPages:
    """The routes of Operate."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def operate(self, request: Request) -> Response:
        """Show what can be done, to those who may with forms."""
        return self._page(request, {}, said=request.query_params.get("said", "")[:300])

    def asked(self, request: Request) -> Response:
        """Show what became of a cause; the state follows and is renewed."""
        return self._console.page("asked.html.j2", id=request.path_params["id"])

    def progress(self, request: Request) -> Response:
        """Show the state of a cause and the steps of its run."""
        try:
            cause = self._console.parts.cause(request.path_params["id"])
        except RefusedError as error:
            return self._console.page("fault.html.j2", error.status, sentence=str(error))
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        ended, kfp_ui = cause["status"] in _FINISHED, self._console.parts.addresses.kfp_ui
        return self._console.page("progress.html.j2", cause=cause, ended=ended, kfp_ui=kfp_ui)

    def causes(self, _request: Request) -> Response:
        """Show the newest causes."""
        try:
            causes = self._console.parts.causes()
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page(
            "causes.html.j2", causes=causes, kfp_ui=self._console.parts.addresses.kfp_ui
        )

    def rollout(self, _request: Request) -> Response:
        """Show the rollout that is under way, or how the last one ended."""
        try:
            state = self._console.parts.rollout()
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page("rollout.html.j2", state=state)

    async def sign_in(self, request: Request) -> Response:
        """Open a session for who knows the token."""
        fields = await self._own_form(request)
        if isinstance(fields, Response):
            return fields
        kept = urlencode({name: fields[name] for name in _TYPED if fields.get(name)})
        answer = RedirectResponse("/operate" + (f"?{kept}" if kept else ""), _SEE_OTHER)
        if not self._console.sessions.open(
            fields.get("token", ""), answer, request.url.scheme == "https"
        ):
            return await run_in_threadpool(self._page, request, fields, _WRONG, 403)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""

        def leave(_fields: Fields) -> Response:
            answer = RedirectResponse("/operate", _SEE_OTHER)
            answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
            return answer

        return await self._done(request, leave)

    async def retrain(self, request: Request) -> Response:
        """Ask for a run, and show its progress."""

        def ask(fields: Fields) -> Response:
            key = fields.get("key") or secrets.token_hex(16)
            found = self._console.parts.retrain(fields.get("detail", ""), _parameters(fields), key)
            return RedirectResponse(f"/asked/{found}", _SEE_OTHER)

        return await self._done(request, ask)

    async def decide(self, request: Request) -> Response:
        """Allow or refuse what is held."""

        def tell(fields: Fields) -> Response:
            decision, why = fields.get("decision", ""), fields.get("why", "")
            return _moved(self._console.parts.decide(request.path_params["id"], decision, why))

        return await self._done(request, tell)

    async def rollback(self, request: Request) -> Response:
        """Go back from what was released last."""

        def go_back(fields: Fields) -> Response:
            return _moved(self._console.parts.roll_back(fields.get("why", "")))

        return await self._done(request, go_back)

    async def _done(self, request: Request, action: Callable[[Fields], Response]) -> Response:
        """Do it if an operator's own form asks for it, else say why not and keep what was typed."""
        fields = await self._own_form(request)
        if isinstance(fields, Response):
            return fields
        session = self._console.sessions.of(request)
        if session is None:
            return await run_in_threadpool(self._page, request, fields, ENDED, 401)
        if not self._console.sessions.sent_by(session, fields.get("csrf", "")):
            return await run_in_threadpool(self._page, request, fields, _FOREIGN, 403)
        try:
            return await run_in_threadpool(action, fields)
        except RefusedError as error:
            return await run_in_threadpool(self._page, request, fields, str(error), error.status)
        except PartDownError as error:
            return await run_in_threadpool(self._page, request, fields, str(error), 503)

    async def _own_form(self, request: Request) -> Fields | Response:
        if not is_own(request):
            return await run_in_threadpool(self._page, request, {}, _FOREIGN, 403)
        body = await _read(request)
        if body is None:
            sentence = f"The form has more than {_FORM_BYTES} bytes, or did not arrive; shorten it."
            return await run_in_threadpool(self._page, request, {}, sentence, 413)
        try:
            return dict(parse_qsl(body.decode("utf-8"), max_num_fields=_FIELDS))
        except ValueError:  # more fields than ours, or no text
            return await run_in_threadpool(self._page, request, {}, _FOREIGN, 400)

    def _page(
        self, request: Request, fields: Fields, fault: str = "", status: int = 200, said: str = ""
    ) -> Response:
        session: Session | None = self._console.sessions.of(request)
        typed = {name: fields.get(name, request.query_params.get(name, "")) for name in _TYPED}
        held: list[dict[str, Any]] = []
        down, move = "", None
        try:
            held, move = self._console.parts.approvals()
        except PartDownError as error:
            down = str(error)
        return self._console.page(
            "operate.html.j2",
            status,
            session=session,
            typed=typed,
            fault=fault,
            said=said,
            down=down,
            held=held,
            rollout=bool(self._console.parts.addresses.front),
            move=move,
            key=secrets.token_hex(16),
        )


_TYPED = ("detail", "seed", "why")


def _parameters(fields: Fields) -> dict[str, Any]:
    """Return what the form asks of the run; the trigger says what is wrong with it."""
    asked: dict[str, Any] = {"fast": True} if fields.get("fast") == "yes" else {}
    seed = fields.get("seed", "").strip()
    if seed:
        asked["seed"] = int(seed) if seed.isdecimal() and seed.isascii() else seed
    return asked


def _moved(found: dict[str, Any]) -> Response:
    if "state" in found:
        said = f"It takes a while, as on a cluster: {found['action']} is at work. Look here again."
        return RedirectResponse("/operate?" + urlencode({"said": said}), _SEE_OTHER)
    origin, target = found["from"] or "no version", found["to"] or "no version"
    said = f"Done: {found['action'].replace('_', ' ')}, from {origin} to {target}."
    return RedirectResponse("/operate?" + urlencode({"said": said}), _SEE_OTHER)


async def _read(request: Request) -> bytes | None:
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > _FORM_BYTES:
                    return None
    except TimeoutError:
        return None
    return body
