"""What two good runs of one graph may differ in, and by how much their numbers."""

from __future__ import annotations

from tools.parity.compare import Exempt

# Of a number, relative to the greater of the two and 1: what the order of additions may change.
TOLERANCE = 1e-9

_TOOK = "how long it took"
_MEASURED = "memory and time of the model, as measured"
_PAGES = "Great Expectations' pages tell the time; what they show is in result.json"
EXEMPT = (
    Exempt("train/models/training.json:*seconds", _TOOK),
    Exempt("automl/automl/search.json:*seconds*", _TOOK),
    Exempt("automl/automl/search.json:*duration", _TOOK),
    *(
        Exempt(f"decide/decision/decision.json:{place}", _MEASURED)
        for place in (
            "challenger.footprint.memory_mib",
            "challenger.footprint.milliseconds_per_row",
            "checks/Memory of the * with this model, MiB.value",
            "checks/Memory of the * with this model, MiB.sentence",
            "checks/Milliseconds for one row.value",
            "checks/Milliseconds for one row.sentence",
        )
    ),
    Exempt("decide/decision/decision.png:", "the picture shows memory and time as measured"),
    Exempt("report/summary/:model.memory_mib", _MEASURED),
    Exempt("report/summary/:model.milliseconds_per_row", _MEASURED),
    Exempt("report/summary/:timings.*", _TOOK),
    Exempt("serve-check/check/check.json:ready_seconds", _TOOK),
    Exempt("serve-check/check/check.json:latency.*", _TOOK),
    Exempt("report/summary/:serve_check.ready_seconds", _TOOK),
    Exempt("report/summary/:serve_check.latency.*", _TOOK),
    Exempt("register/registration/registration.json:run_id", "MLflow draws the run's id"),
    Exempt("promote-*/promotion/promotion.json:when", "who did it, and when"),
    Exempt("promote-*/promotion/promotion.json:who", "who did it, and when"),
    Exempt("report/page/:", "the page shows times; its figures are those of report/summary"),
    Exempt("validate/validation/data_docs/index.html:", _PAGES),
    Exempt("validate/validation/data_docs/validations/*", _PAGES),
)

# `task/artifact` that Kubeflow Pipelines does not keep in the object store.
NOT_IN_STORE = {
    "*/parameters": "Kubeflow keeps a step's parameters in its database",
    "evaluate/metrics": "Kubeflow keeps these figures in its database",
    "evaluate/confusion": "Kubeflow keeps these figures in its database",
    "evaluate/roc": "Kubeflow keeps these figures in its database",
}
