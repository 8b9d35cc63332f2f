"""Labels: what became known later of the rows of an answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serving.common.caller import VALID_ID
from serving.common.lane import Lane
from serving.common.refusal import Refusal
from serving.payload.log import PayloadLog, find, of_request
from serving.payload.records import Labels
from serving.transformer.metrics import LABELS_UNDER_WAY

WAITING = 16  # labels; more are answered 429
SECONDS = 10.0  # for one, its wait included
_KIND = "labels"


class Labelling:
    """Takes labels, one at a time: each is looked up in the whole log, which is no small work.

    Args:
        home: the system's folder.
        log: of payloads.
    """

    def __init__(self, home: Path, log: PayloadLog) -> None:
        self._home = home
        self._log = log
        self._lane = Lane(_KIND, WAITING, LABELS_UNDER_WAY)

    def close(self) -> None:
        """Take no more."""
        self._lane.close()

    async def take(self, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Take labels: `{"receipt": id, "worn": [true, ...]}`.

        Args:
            body: of the request.
            by: name of the token with which they came.

        Raises:
            Refusal: the log does not have the receipt, or the labels do not fit it, or too many
                wait.
        """
        receipt_id, worn, source = _checked(body)

        def work() -> dict[str, Any]:
            self._log.flush()  # the answer may be a moment old
            rows = len(find(self._home, receipt_id))
            if rows == 0:
                raise _unknown(self._home, receipt_id)
            if rows != len(worn):
                raise Refusal(
                    "shape", f"The answer {receipt_id} has {rows} rows; send a label for each.", 422
                )
            labels = Labels(receipt_id, worn, datetime.now(UTC), source, by)
            if not self._log.put_labels(labels):
                raise OSError("the labels could not be written")
            return {"receipt": receipt_id, "rows": rows}

        try:
            return await self._lane.run(_KIND, work, SECONDS)
        except TimeoutError:
            raise Refusal(
                "slow", "The payload log could not be read in time; try again.", 503, 5
            ) from None


def _unknown(home: Path, receipt_id: str) -> Refusal:
    """Return why labels fit nothing, with a hint for who sends the id of a request."""
    answers = len(of_request(home, receipt_id))
    if answers:
        return Refusal(
            "unknown_receipt",
            f"{receipt_id} is the x-request-id of {answers} answers and no receipt; send the id in "
            "the receipt of the answer that is meant.",
            422,
        )
    return Refusal("unknown_receipt", f"There is no answer {receipt_id} in the log.", 422)


def _checked(body: dict[str, Any]) -> tuple[str, tuple[bool, ...], str]:
    receipt_id, worn, source = body.get("receipt"), body.get("worn"), body.get("source", "api")
    if type(receipt_id) is not str or not VALID_ID.fullmatch(receipt_id):
        raise Refusal("request", '"receipt" has to be the id of an answer\'s receipt.')
    if type(worn) is not list or not worn or set(map(type, worn)) != {bool}:
        raise Refusal("request", '"worn" has to be a list of true and false, one for each row.')
    if type(source) is not str or not VALID_ID.fullmatch(source):
        raise Refusal("request", '"source" has to be a short word that says who labelled.')
    unknown = sorted(body.keys() - {"receipt", "worn", "source"})
    if unknown:
        raise Refusal("request", f'There is no key "{unknown[0][:40]}" in labels.')
    return receipt_id, tuple(worn), source
