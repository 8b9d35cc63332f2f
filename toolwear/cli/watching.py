"""What those who watch say: drift and freshness by the monitor, open alerts by Alertmanager."""

from __future__ import annotations

import time
from typing import Any

import httpx
from rich.console import Console

from toolwear.workspace import servers
from toolwear.workspace.home import Home

_SECONDS = 2.0
_OPEN = "/api/v2/alerts?active=true&silenced=false&inhibited=false"


def print_watching(home: Home, monitor_url: str, alertmanager_url: str, console: Console) -> None:
    """Print alerts, drift and freshness; who does not answer is named, with its address.

    Args:
        home: whose own servers are asked where no address is given.
        monitor_url: of the monitor; may be empty.
        alertmanager_url: of Alertmanager; may be empty.
        console: for the lines.
    """
    monitor, alertmanager, trigger = _addresses(home, monitor_url, alertmanager_url)
    lines = [*_alerts(alertmanager), *_drift(monitor)]
    for line in (*lines, *_recordings(trigger)):
        console.print(line, soft_wrap=True)


def watched(home: Home, monitor_url: str, alertmanager_url: str) -> dict[str, Any]:
    """Return what they say as JSON values, None for who does not answer; see `print_watching`."""
    monitor, alertmanager, trigger = _addresses(home, monitor_url, alertmanager_url)
    queue = _read(f"{trigger}/runs") if trigger else None
    return {
        "alerts": _read(alertmanager + _OPEN) if alertmanager else None,
        "drift": _read(f"{monitor}/v1/state") if monitor else None,
        "requests": queue["runs"] if isinstance(queue, dict) else None,
        "recordings": queue["notes"] if isinstance(queue, dict) else None,
    }


def _addresses(home: Home, monitor_url: str, alertmanager_url: str) -> tuple[str, str, str]:
    own = servers.find(home)
    monitor = monitor_url or own.get("monitor", "")
    alertmanager = alertmanager_url or own.get("alertmanager", "")
    return monitor.rstrip("/"), alertmanager.rstrip("/"), own.get("trigger", "")


def _alerts(url: str) -> list[str]:
    if not url:
        return ["open alerts: not monitored; start `make watch`"]
    found = _read(url + _OPEN)
    if not isinstance(found, list):
        return [f"open alerts: unknown, Alertmanager does not answer at {url}"]
    told = [
        f"  {item['labels']['alertname']} since {item['startsAt'][:19]}: "
        f"{item.get('annotations', {}).get('summary', '')}"
        for item in found
    ]
    return [f"open alerts: {len(told) or 'none'}", *told]


def _drift(url: str) -> list[str]:
    if not url:
        return ["drift: not monitored; start `make serve`"]
    state = _read(f"{url}/v1/state")
    if not isinstance(state, dict):
        return [f"drift: unknown, the monitor does not answer at {url}"]
    judged = {kind: item for kind, item in state["kinds"].items() if item["result"] is not None}
    told = ", ".join(f"{kind} {item['result']}" for kind, item in judged.items())
    alarms = ", ".join(state["alarms"])
    age = max(0.0, time.time() - state["looked_at"])
    return [
        (
            f"drift: {f'ALARM ({alarms}); ' if alarms else 'no alarm; ' if told else ''}"
            f"{told or 'not judged yet, no window is full'}"
        ),
        (
            f"freshness: answers looked at {age:.0f} s ago, {state['rows']} rows so far, "
            f"{state['labelled_rows']} of them with a late label"
        ),
    ]


def _recordings(url: str) -> list[str]:
    found = _read(f"{url}/runs") if url else None
    return [f"recordings: {note}" for note in found["notes"]] if isinstance(found, dict) else []


def _read(url: str) -> Any:
    """Return what the address answers as JSON, None if it does not."""
    try:
        answer = httpx.get(url, timeout=_SECONDS, trust_env=False)
        return answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError):
        return None
