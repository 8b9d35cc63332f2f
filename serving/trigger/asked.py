"""`POST /retrain`: a run that a person or a program asks for."""

from __future__ import annotations

import json
import secrets
from pathlib import PurePath
from typing import Any

from serving.common.endpoints import IDEMPOTENCY_KEY
from serving.common.refusal import Refusal
from serving.trigger.alerts import one_line
from serving.trigger.signature import by_of, signed
from serving.trigger.store import Request
from toolwear.common.causes import Cause
from toolwear.common.errors import ToolwearError
from toolwear.run.config import FAST, RunParameters, load

_DETAIL, _KEY = 150, 100  # characters
_KNOWN = ("cause", "detail", "parameters", "by")


def read(body: dict[str, Any], key: str | None) -> Request:
    """Return the request of a body.

    Args:
        body: {"cause", "detail", "parameters", "by"}, each of which may be left out. The parameters
            are those of a run, and "fast" for small budgets.
        key: the header of that name: told twice, it is one cause.

    Raises:
        Refusal: something in it is not right.
    """
    unknown = sorted(set(body) - set(_KNOWN))
    if unknown:
        raise Refusal(
            "request", f"There is no key {json.dumps(unknown[0][:40])} here; send {_KNOWN}."
        )
    word = body.get("cause", Cause.ON_DEMAND.value)
    if type(word) is not str or word not in set(Cause):
        raise Refusal("request", f'"cause" has to be one of {", ".join(Cause)}.')
    detail = body.get("detail", "")
    if type(detail) is not str or len(detail) > _DETAIL:
        raise Refusal("request", f'"detail" has to be a text of at most {_DETAIL} characters.')
    return Request(
        Cause(word),
        signed(one_line(detail), by_of(body)),
        key_of(key),
        _parameters(body.get("parameters", {})),
    )


def key_of(header: str | None) -> str:
    """Return what names a request: the header of an idempotency key, else nothing of before.

    Raises:
        Refusal: the key is too long or empty.
    """
    if header is not None and not 0 < len(header) <= _KEY:
        raise Refusal(
            "request", f"The header {IDEMPOTENCY_KEY} has to have 1 to {_KEY} characters."
        )
    return f"asked:{header or secrets.token_hex(16)}"


def _parameters(given: Any) -> dict[str, Any]:
    if type(given) is not dict or "cause" in given:
        raise Refusal("request", '"parameters" has to be an object of a run\'s settings.')
    data = given.get("data", "/")
    if type(data) is not str or not PurePath(data).is_absolute():
        raise Refusal("request", 'The parameter "data" has to be a whole path, from the root.')
    given = dict(given)
    fast = given.pop("fast", False)
    if type(fast) is not bool:
        raise Refusal("request", 'The parameter "fast" has to be true or false.')
    given = {**(FAST if fast else {}), **given}
    try:
        whole = load(None, **given)
    except ToolwearError as error:
        raise Refusal("request", str(error)) from None
    return {name: getattr(whole, name) for name in RunParameters.model_fields if name in given}
