"""What those who watch say: drift and freshness by the monitor, open alerts by Alertmanager."""

from __future__ import annotations

import os
import time
from typing import Any

import httpx
from rich.console import Console

from serving.common import ports

MONITOR_VARIABLE, ALERTMANAGER_VARIABLE = "MONITOR_URL", "ALERTMANAGER_URL"
_SECONDS = 2.0


def print_watching(console: Console) -> None:
    """Print alerts, drift and freshness; who does not answer is named, with its address."""
    for line in (*_alerts(), *_drift()):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _alerts() -> list[str]:
    url = _url(ALERTMANAGER_VARIABLE, ports.ALERTMANAGER)
    found = _read(f"{url}/api/v2/alerts?active=true&silenced=false&inhibited=false")
    if not isinstance(found, list):
        return [f"open alerts: unknown, Alertmanager does not answer at {url}"]
    told = [
        f"  {item['labels']['alertname']} since {item['startsAt'][:19]}: "
        f"{item.get('annotations', {}).get('summary', '')}"
        for item in found
    ]
    return [f"open alerts: {len(told) or 'none'}", *told]


def _drift() -> list[str]:
    url = _url(MONITOR_VARIABLE, ports.MONITOR)
    state = _read(f"{url}/v1/state")
    if not isinstance(state, dict):
        return [f"drift: unknown, the monitor does not answer at {url}"]
    judged = {kind: item for kind, item in state["kinds"].items() if item["result"] is not None}
    told = ", ".join(f"{kind} {item['result']}" for kind, item in judged.items())
    alarms = ", ".join(state["alarms"])
    age = max(0.0, time.time() - state["looked_at"])
    return [
        (
            f"drift: {f'ALARM ({alarms})' if alarms else 'no alarm'}; "
            f"{told or 'no window is full yet'}"
        ),
        (
            f"freshness: answers looked at {age:.0f} s ago, {state['rows']} rows so far, "
            f"{state['labelled_rows']} of them with a late label"
        ),
    ]


def _url(variable: str, port: int) -> str:
    return os.environ.get(variable) or f"http://127.0.0.1:{port}"


def _read(url: str) -> Any:
    """Return what the address answers as JSON, None if it does not."""
    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
        return answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError):
        return None
