"""What an operator decides over HTTP: what is held, and whether to go back."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from components.core.errors import ToolwearError
from components.core.home import Home
from components.core.registry import mlflow_module
from components.promote import approvals
from components.promote.registry_state import roll_back
from serving.common.refusal import Refusal
from serving.trigger.alerts import one_line

_DECISIONS = {"allow": approvals.allow, "refuse": approvals.refuse}
_WHY = 200  # characters
_BY = "operator, over HTTP"  # on the audit log: the token says no more of who it was


@dataclass(frozen=True)
class Operations:
    """What can be done to the champion of a home.

    Attributes:
        home: the system's folder.
        mlflow_uri: registry; empty for the local one.
        name: of the registered model.
    """

    home: Home
    mlflow_uri: str
    name: str

    def warm(self) -> None:
        """Begin to load the registry's client, if there is one: it takes seconds once."""
        if self.mlflow_uri or self.home.root.joinpath("mlflow.db").exists():
            threading.Thread(target=mlflow_module, name="warm", daemon=True).start()

    def approvals(self) -> list[dict[str, Any]]:
        """Return all that were ever held, the newest first, each with its status."""
        return [asdict(item) for item in reversed(approvals.held(self.home))]

    def waiting(self) -> int:
        """Return how many promotions wait for a person."""
        return len(approvals.waiting(self.home))

    def decide(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        """Allow or refuse what is held; return what that led to.

        Raises:
            Refusal: there is no such approval, or it does not wait, or can't be released now.
        """
        if key not in {item.id for item in approvals.held(self.home)}:
            raise Refusal("request", "There is no approval of this id; see GET /approvals.", 404)
        decision = body.get("decision")
        if type(decision) is not str or decision not in _DECISIONS:
            raise Refusal("request", f'"decision" has to be one of {", ".join(_DECISIONS)}.')
        why = why_of(body)
        try:
            entry = _DECISIONS[decision](
                self.home, key, why, mlflow_uri=self.mlflow_uri, name=self.name, by=_BY
            )
        except ToolwearError as error:
            raise Refusal("request", str(error), 409) from None
        return _move(entry)

    def roll_back(self, body: dict[str, Any]) -> dict[str, Any]:
        """Go back from what was released last; return what that led to.

        Raises:
            Refusal: there is nothing to go back to.
        """
        why = why_of(body)
        try:
            entry = roll_back(self.home.root, why, self.mlflow_uri, self.name, _BY)
        except ToolwearError as error:
            raise Refusal("request", str(error), 409) from None
        return _move(entry)


def why_of(body: dict[str, Any]) -> str:
    """Return what a person says of a decision.

    Raises:
        Refusal: nothing, or too much.
    """
    why = body.get("why")
    if type(why) is not str or not why.strip() or len(why) > _WHY:
        raise Refusal("request", f'"why" has to be a text of 1 to {_WHY} characters.')
    return one_line(why)


def _move(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("action", "from", "to")}
