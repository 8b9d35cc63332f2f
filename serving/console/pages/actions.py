"""What an operator may change: start or cancel a run, approve or refuse a promotion, roll back.

The trigger does all of it; the console forwards what a form says and shows the result.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from serving.common.refusal import Refusal
from serving.console import evidence
from serving.console.pages.base import Console
from serving.console.parts import PartDownError, RefusedError
from serving.console.session import COOKIE, Session
from toolwear.common.errors import ToolwearError
from toolwear.common.person import LENGTH, checked
from toolwear.common.request_limits import BODY_SECONDS
from toolwear.run.config import FAST

_FORM_BYTES, _FIELDS = 8192, 20
SEE_OTHER = 303
_OPEN = ("waiting", "starting", "running")  # states of a request that can be cancelled
ENDED_SESSION = "You are not signed in, or the session has ended. Sign in, then send it again."
_WRONG = "This is not the operator's token. It is in the file secrets/operator-token of the home."
_BY = "by"  # the field with the name of the person who signed in
_NAMELESS = f"Give your name, in 1 to {LENGTH} characters; it goes on the audit log."
_FOREIGN = "Send the form of this page itself."
_NO_BUDGETS = (
    "The budgets of the run were not shown, because the trigger did not answer; load this page "
    "again, look at them, then start the run."
)
# What a run's form shows and sends, by the name of the setting: label, and whether it is text.
BUDGETS = {
    "data": ("Folder of recordings", True),
    "search_seconds": ("Search, seconds", False),
    "search_evaluations": ("Search, evaluations (0: by time)", False),
    "outer_folds": ("Parts of the recordings, each left out of a search", False),
    "outer_seconds": ("Outer search, seconds", False),
    "permutations": ("Permutations", False),
    "explain_rows": ("Explained predictions", False),
    "seed": ("Seed", False),
}
Fields = dict[str, str]


class ActionPages:
    """The routes of Operate."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def operate(self, request: Request) -> Response:
        """Show what can be done, to those who may with forms."""
        return self._page(request, {}, said=self._console.sessions.told(request))

    def asked(self, request: Request) -> Response:
        """Show a retrain request; its state follows and is renewed."""
        return self._asked(request, {})

    def _asked(
        self, request: Request, fields: Fields, fault: str = "", status: int = 200
    ) -> Response:
        return self._console.page(
            "asked.html.j2",
            status,
            id=request.path_params["id"],
            session=self._console.sessions.of(request),
            why=fields.get("why", ""),
            fault=fault,
        )

    def progress(self, request: Request) -> Response:
        """Show the state of a retrain request and the steps of its run."""
        try:
            found = self._console.parts.request(request.path_params["id"])
        except RefusedError as error:
            return self._console.page("fault.html.j2", error.status, sentence=str(error))
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        ended, kfp_ui = found["status"] not in _OPEN, self._console.parts.addresses.kfp_ui
        return self._console.page("progress.html.j2", cause=found, ended=ended, kfp_ui=kfp_ui)

    def requests(self, _request: Request) -> Response:
        """Show the newest retrain requests."""
        try:
            found = self._console.parts.requests()
        except PartDownError as error:
            return self._console.page("down.html.j2", sentence=str(error))
        return self._console.page(
            "requests.html.j2",
            requests=found["runs"],
            notes=found["notes"],
            open_states=_OPEN,
            kfp_ui=self._console.parts.addresses.kfp_ui,
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
        kept = urlencode({key: fields[key] for key in _TYPED if key != "name" and fields.get(key)})
        answer = RedirectResponse("/operate" + (f"?{kept}" if kept else ""), SEE_OTHER)
        try:
            name = checked(fields.get("name", ""))
        except ToolwearError:
            name = ""
        if not name:
            return await run_in_threadpool(self._page, request, fields, _NAMELESS, 400)
        try:
            self._console.sessions.open(request, fields.get("token", ""), name, answer)
        except Refusal as error:
            later = error.retry_after is not None
            sentence, status = (error.reason, error.status) if later else (_WRONG, 403)
            page = await run_in_threadpool(self._page, request, fields, sentence, status)
            page.headers.update(error.headers if later else {})
            return page
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""

        def leave(_fields: Fields) -> Response:
            self._console.sessions.end(request)
            answer = RedirectResponse("/operate", SEE_OTHER)
            answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
            return answer

        return await self.done(request, leave, self._page)

    async def retrain(self, request: Request) -> Response:
        """Ask for a run, and show its progress."""

        def ask(fields: Fields) -> Response:
            key = fields.get("key") or secrets.token_hex(16)
            parameters = _parameters(fields)
            if not parameters:
                raise RefusedError(_NO_BUDGETS, 409)
            detail = fields.get("detail", "")
            found = self._console.parts.retrain(detail, parameters, key, fields[_BY])
            return RedirectResponse(f"/asked/{found}", SEE_OTHER)

        return await self.done(request, ask, self._page)

    async def cancel(self, request: Request) -> Response:
        """Cancel a run, whether it waits or is running."""
        key = request.path_params["id"]

        def end(fields: Fields) -> Response:
            self._console.parts.cancel(key, fields.get("why", ""), fields[_BY])
            return RedirectResponse(f"/asked/{key}", SEE_OTHER)

        return await self.done(request, end, self._asked)

    async def decide(self, request: Request) -> Response:
        """Allow or refuse what is held."""

        def tell(fields: Fields) -> Response:
            decision, why = fields.get("decision", ""), fields.get("why", "")
            key = request.path_params["id"]
            return self._moved(request, self._console.parts.decide(key, decision, why, fields[_BY]))

        return await self.done(request, tell, self._page)

    async def rollback(self, request: Request) -> Response:
        """Go back from what was released last."""

        def go_back(fields: Fields) -> Response:
            return self._moved(
                request, self._console.parts.roll_back(fields.get("why", ""), fields[_BY])
            )

        return await self.done(request, go_back, self._page)

    def _moved(self, request: Request, found: dict[str, Any]) -> Response:
        if "state" in found:
            said = f"The {found['action']} takes a while; reload this page to see its result."
        else:
            origin, target = found["from"] or "no version", found["to"] or "no version"
            said = f"Done: {found['action'].replace('_', ' ')}, from {origin} to {target}."
        self._console.sessions.tell(request, said)
        return RedirectResponse("/operate", SEE_OTHER)

    async def done(
        self,
        request: Request,
        action: Callable[[Fields], Response],
        page: Callable[[Request, Fields, str, int], Response],
    ) -> Response:
        """Do it if an operator's own form asks for it, else say why not and keep what was typed."""
        fields = await self._own_form(request)
        if isinstance(fields, Response):
            return fields
        session = self._console.sessions.of(request)
        if session is None:
            return await run_in_threadpool(page, request, fields, ENDED_SESSION, 401)
        if not self._console.sessions.sent_by(session, fields.get("csrf", "")):
            return await run_in_threadpool(page, request, fields, _FOREIGN, 403)
        try:
            return await run_in_threadpool(action, {**fields, _BY: session.name})
        except RefusedError as error:
            return await run_in_threadpool(page, request, fields, str(error), error.status)
        except PartDownError as error:
            return await run_in_threadpool(page, request, fields, str(error), 503)

    async def _own_form(self, request: Request) -> Fields | Response:
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
        told: dict[str, Any] = {"approvals": [], "move": None, "differs": ""}
        down, budgets = "", None
        try:
            told = self._console.parts.approvals()
            if session is not None:
                budgets = self._console.parts.run_defaults()
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
            held=told["approvals"],
            differs=told["differs"],
            rollout=bool(self._console.parts.addresses.front),
            back=evidence.rollback_target(self._console.home, self._console.parts.addresses.model),
            move=told["move"],
            budgets=budgets
            and [
                (name, *about, typed[name] or budgets.get(name, ""))
                for name, about in BUDGETS.items()
            ],
            fast=FAST,
            key=secrets.token_hex(16),
        )


_TYPED = ("detail", "why", "name", "fast", *BUDGETS)


def _parameters(fields: Fields) -> dict[str, Any]:
    """Return what the form asks of the run; the trigger says what is wrong with it.

    A short search has its own budgets instead of the form's.
    """
    fast = fields.get("fast") == "yes"
    asked: dict[str, Any] = {"fast": True} if fast else {}
    for name, (_, is_text) in BUDGETS.items():
        given = fields.get(name, "").strip()
        if given and not (fast and name in FAST):
            whole = not is_text and given.isdecimal() and given.isascii()
            asked[name] = int(given) if whole else given
    return asked


async def _read(request: Request) -> bytes | None:
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > _FORM_BYTES:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return body
