"""What an operator decides over HTTP: what is held, and whether to go back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import asdict, dataclass, field
from typing import Any

from serving.common.refusal import Refusal
from serving.trigger.alerts import one_line
from serving.trigger.signature import by_of
from toolwear.common.errors import ToolwearError
from toolwear.release import approvals, audit_log, held
from toolwear.release import champion as pointer
from toolwear.release.entries import note
from toolwear.release.registry import mlflow_module
from toolwear.release.registry_state import roll_back
from toolwear.release.served import Served
from toolwear.workspace.home import Home

ALLOW, REFUSE, ROLL_BACK = "allow", "refuse", "rollback"
_DECISIONS = {ALLOW: approvals.allow, REFUSE: approvals.refuse}
_WHY = 200  # characters
_BY = "operator, over HTTP"  # on the audit log: the token says no more, a name is put behind
_ANSWER_SECONDS = 45.0  # that a caller waits for a move; on a cluster it may take minutes
AT_WORK, DONE, FAILED = "at work", "done", "failed"
_log = logging.getLogger("toolwear.trigger")


@dataclass
class Operations:
    """What can be done to the champion of a home, one move at a time.

    Attributes:
        home: the system's folder.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.
        served: who serves versions on a cluster; None where servers follow the champion's pointer.
        answer_seconds: that a caller waits for a move.
    """

    home: Home
    mlflow_uri: str
    name: str
    served: Served | None = None
    answer_seconds: float = _ANSWER_SECONDS
    _one: threading.Lock = field(default_factory=threading.Lock)
    _last: dict[str, str] | None = None

    def warm(self) -> None:
        """Begin to load the registry's client, if there is one: it takes seconds once.

        On a cluster, also put back what a deployment of ours that was killed has left.
        """
        if self.mlflow_uri or self.home.database.exists():
            threading.Thread(target=mlflow_module, name="warm", daemon=True).start()
        if self.served is not None:
            threading.Thread(target=self._mend, args=(self.served,), daemon=True).start()

    def approvals(self) -> list[dict[str, Any]]:
        """Return all that were ever held, the newest first, each with its status."""
        return [asdict(item) for item in reversed(held.read_all(self.home))]

    def last(self) -> dict[str, str] | None:
        """Return the newest move since our start: `what`, `state` and what there is to say."""
        return self._last

    def disagreement(self) -> str:
        """Return how `champion.json`, audit log and local registry differ, empty if they agree."""
        try:
            champion = pointer.read(self.home.root)
            if champion is not None:
                pointer.check(self.home, champion)
        except ToolwearError as error:
            return f"Servers at work go on with what they serve, and none would start: {error}"
        return ""

    def waiting(self) -> int:
        """Return how many promotions wait for a person."""
        return len(held.waiting(self.home))

    def decide(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Allow or refuse what is held; return what that led to, or that it is at work.

        Raises:
            Refusal: there is no such approval, or it does not wait, or can't be released now.
        """
        if key not in {item.id for item in held.read_all(self.home)}:
            raise Refusal("request", "There is no approval of this id; see GET /approvals.", 404)
        decision = body.get("decision")
        if type(decision) is not str or decision not in _DECISIONS:
            raise Refusal("request", f'"decision" has to be one of {", ".join(_DECISIONS)}.')
        why, by = why_of(body), _who(body)
        return self._moved(
            decision,
            why,
            by,
            lambda: _DECISIONS[decision](
                self.home,
                key,
                why,
                mlflow_uri=self.mlflow_uri,
                name=self.name,
                by=by,
                served=self.served,
            ),
        )

    def roll_back(self, body: dict[str, Any]) -> dict[str, Any]:
        """Go back from what was released last; return what that led to, or that it is at work.

        Raises:
            Refusal: there is nothing to go back to.
        """
        why, by = why_of(body), _who(body)
        return self._moved(
            ROLL_BACK,
            why,
            by,
            lambda: roll_back(self.home.root, why, self.mlflow_uri, self.name, by, self.served),
        )

    def _moved(
        self, what: str, why: str, by: str, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        if not self._one.acquire(blocking=False):
            raise Refusal("request", "Another move is at work; GET /approvals tells of it.", 409)
        told: Future[dict[str, Any]] = Future()
        self._last = {"what": what, "state": AT_WORK, "said": ""}
        # Not the server's own thread: the move goes on when the caller has gone.
        threading.Thread(
            target=self._do, args=(what, why, by, work, told), name=what, daemon=True
        ).start()
        try:
            try:
                return told.result(self.answer_seconds)
            except NotYet:
                # From here on nobody waits for the end, unless it comes at this very moment.
                if told.cancel():
                    return {"action": what, "state": AT_WORK, "from": None, "to": None}
                return told.result()
        except ToolwearError as error:
            raise Refusal("request", str(error), 409) from None

    def _do(
        self,
        what: str,
        why: str,
        by: str,
        work: Callable[[], dict[str, Any]],
        told: Future[dict[str, Any]],
    ) -> None:
        try:
            entry = work()
        except BaseException as error:  # noqa: BLE001 - handed on to who asked, or on the audit log
            user_error = isinstance(error, ToolwearError)
            said = str(error) if user_error else "The trigger failed at it; its log says why."
            _log.error("%s failed: %s", what, error, exc_info=None if user_error else error)
            waited_for = told.set_running_or_notify_cancel()
            if not waited_for:
                self._note_failure(what, why, by, said)
            self._last = {"what": what, "state": FAILED, "said": said}
            self._one.release()
            if waited_for:
                told.set_exception(error)
        else:
            move = {name: entry[name] for name in ("action", "from", "to")}
            said = audit_log.told(entry)
            self._last = {"what": what, "state": DONE, "said": said}
            self._one.release()
            if told.set_running_or_notify_cancel():
                told.set_result(move)

    def _note_failure(self, what: str, why: str, by: str, said: str) -> None:
        """Put a failed move whose caller was told that it is at work on the audit log."""
        told = f"{what} ({why}): {said}"
        try:
            note(self.home, audit_log.MOVE_FAILED, self.name, told, "", "", by)
        except (ToolwearError, OSError) as error:
            _log.error("it is not on the audit log either: %s", error)

    def _mend(self, served: Served) -> None:
        try:
            served.mend()
        except ToolwearError as error:
            _log.warning("nothing was mended on the cluster: %s", error)


def _who(body: dict[str, Any]) -> str:
    by = by_of(body)
    return f"{by} ({_BY})" if by else _BY


def why_of(body: dict[str, Any]) -> str:
    """Return what a person says of a decision.

    Raises:
        Refusal: nothing, or too much.
    """
    why = body.get("why")
    if type(why) is not str or not why.strip() or len(why) > _WHY:
        raise Refusal("request", f'"why" has to be a text of 1 to {_WHY} characters.')
    return one_line(why)
