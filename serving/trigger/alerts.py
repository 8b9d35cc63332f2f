"""Alertmanager's webhook: which of its alerts start a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.common.refusal import Refusal
from toolwear.common.causes import Cause

VERSION = "4"
LABEL = "cause"
ALERTS = 1000
CAUSES = frozenset(set(Cause) - {Cause.ON_DEMAND})
_KEY, _NAME = 200, 60  # characters


@dataclass(frozen=True)
class Alert:
    """An alert that has a cause.

    Attributes:
        fingerprint: of its labels.
        start: when it began to fire, as it is told.
        cause: of the run that it starts.
        detail: for a reader.
        firing: False: it has ended.
    """

    fingerprint: str
    start: str
    cause: Cause
    detail: str
    firing: bool


@dataclass(frozen=True)
class Told:
    """What a notification says.

    Attributes:
        firing: alerts that have a cause.
        ended: fingerprints of those that had one.
        ignored: alerts that start nothing: resolved ones, and those without a known cause.
    """

    firing: list[Alert]
    ended: list[str]
    ignored: int


def read(body: dict[str, Any]) -> Told:
    """Return what a notification says.

    Raises:
        Refusal: it is not one of version 4.
    """
    if body.get("version") != VERSION:
        raise Refusal("request", f'The notification has to be of "version" "{VERSION}".')
    alerts = body.get("alerts")
    if type(alerts) is not list or not all(type(alert) is dict for alert in alerts):
        raise Refusal("request", 'The notification needs "alerts": a list of objects.')
    if len(alerts) > ALERTS:
        raise Refusal("too_large", f"The notification has more than {ALERTS} alerts.", 413)
    found = [alert for alert in map(_alert, alerts) if alert is not None]
    firing = [alert for alert in found if alert.firing]
    ended = [alert.fingerprint for alert in found if not alert.firing]
    return Told(firing, ended, len(alerts) - len(firing))


def _alert(alert: dict[str, Any]) -> Alert | None:
    labels = alert.get("labels")
    if type(labels) is not dict:
        raise Refusal("request", 'Each alert needs "labels": an object.')
    if alert.get("status") not in ("firing", "resolved"):
        raise Refusal("request", 'Each alert needs "status": "firing" or "resolved".')
    if labels.get(LABEL) not in CAUSES:
        return None
    fingerprint, start = alert.get("fingerprint"), alert.get("startsAt")
    if type(fingerprint) is not str or type(start) is not str or not fingerprint or not start:
        raise Refusal("request", 'Each alert needs "fingerprint" and "startsAt": strings.')
    if len(fingerprint) + len(start) > _KEY:
        raise Refusal("request", '"fingerprint" and "startsAt" are too long.')
    name = one_line(str(labels.get("alertname", "an alert")))[:_NAME]
    annotations = alert.get("annotations")
    summary = annotations.get("summary", "") if type(annotations) is dict else ""
    detail = f"{name}: {one_line(str(summary))}" if summary else name
    firing = alert["status"] == "firing"
    return Alert(fingerprint, start, Cause(labels[LABEL]), detail, firing)


def one_line(text: str) -> str:
    """Return a text as one line that can be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
