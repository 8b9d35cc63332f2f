"""The contract of another machine, small: two signals, no setting, no order to restore."""

from __future__ import annotations

from toolwear.dataset.contract import validated

LATHE = validated(
    {
        "dataset": {"name": "lathe", "title": "A lathe"},
        "recordings": {
            "files": "{id}.csv",
            "table": "runs.csv",
            "number": "run",
            "sample_period_seconds": 1,
            "phases_in_order": False,
        },
        "label": {
            "column": "worn",
            "negative": ["no"],
            "positive": ["yes"],
        },
        "settings": {},
        "signals": {"load": {}, "speed": {}},
        "phases": {"column": "state", "names": ["cut", "idle"]},
        "rows": {"judged": ["cut"], "cutting": ["speed > 1"]},
        "features": {
            "levels": ["load"],
            "windows": [{"signals": ["load"], "statistics": ["std"], "why": "It cuts unevenly."}],
            "sets": {
                "published": {"of": "rows", "why": "All rows."},
                "response": {"of": "windows", "why": "All windows."},
            },
        },
    }
)
