"""What the parts say of themselves, asked from the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from serving.monitor.kinds import Kind
from tools.loop_demo.parts import Parts
from toolwear.common.states import ENDED
from toolwear.release import audit_log
from toolwear.release.registry import CHAMPION, Registry
from toolwear.release.registry_state import MODEL_NAME

_SECONDS = 15.0


class Eyes:
    """Looks at monitor, Prometheus, Alertmanager, trigger, front, audit log and registry.

    A part that does not answer at the moment says nothing: it may just be started again.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._http = httpx.Client(timeout=_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def fault(self) -> str:
        """Return why a part has ended, for good; empty while all are at work."""
        return self._parts.fault()

    def windows(self, since: float = 0.0) -> dict[str, dict[str, str]]:
        """Return the results by kind of the monitor's newest windows, by id.

        Args:
            since: seconds since 1970; windows whose last row was answered before are left out.
        """
        state = self._get(f"{self._parts.of('monitor')}/v1/state") or {"windows": []}
        return {
            window["id"]: window["results"]
            for window in state["windows"]
            if datetime.fromisoformat(window["last"]).timestamp() >= since
        }

    def alarms(self) -> dict[Kind, str]:
        """Return the kinds that are in alarm, with the reason."""
        state = self._get(f"{self._parts.of('monitor')}/v1/state")
        if state is None:
            return {}
        return {Kind(kind): state["kinds"][kind]["why"] for kind in state["alarms"]}

    def firing(self) -> dict[str, str]:
        """Return Prometheus' firing alerts with their summaries."""
        found = self._get(f"{self._parts.prometheus}/api/v1/alerts") or {"data": {"alerts": []}}
        return {
            item["labels"]["alertname"]: item["annotations"]["summary"]
            for item in found["data"]["alerts"]
            if item["state"] == "firing"
        }

    def told(self) -> set[str]:
        """Return the alerts that Alertmanager has and does not hold back."""
        url = f"{self._parts.alertmanager}/api/v2/alerts?inhibited=false"
        return {item["labels"]["alertname"] for item in self._get(url) or []}

    def runs(self) -> list[dict[str, Any]]:
        """Return the trigger's causes, the oldest first."""
        found = self._get(f"{self._parts.of('trigger')}/runs") or {"runs": []}
        return list(reversed(found["runs"]))

    def run(self, cause_id: str) -> dict[str, Any] | None:
        """Return one cause with its run's steps."""
        return self._get(f"{self._parts.of('trigger')}/runs/{cause_id}")

    @staticmethod
    def ended(run: dict[str, Any]) -> bool:
        """Tell whether a cause's run has ended."""
        return run["status"] in ENDED

    def rollout(self) -> dict[str, Any] | None:
        """Return the front's rollout, under way or the last one."""
        found = self._get(f"{self._parts.of('front')}/rollout")
        return found["rollout"] if found is not None else None

    def recordings(self) -> int:
        """Return how many recordings the front has seen in its rollout."""
        found = self._get(f"{self._parts.of('front')}/rollout")
        return int(found["seen"]["recordings"]) if found is not None else 0

    def log(self) -> list[dict[str, Any]]:
        """Return the audit log."""
        return audit_log.entries(self._parts.home)

    def champion(self) -> str:
        """Return the version that has the alias in the registry."""
        found = Registry(self._parts.home, "", MODEL_NAME).at(CHAMPION)
        return found.number if found is not None else ""

    def _get(self, url: str) -> Any:
        try:
            answer = self._http.get(url)
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None
