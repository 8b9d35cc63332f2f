"""Names of ours: keys, labels, questions and models. What is a machine's is in its contract.

Kept to the standard library and Python 3.9 so that the AutoML environment can import it.
"""

from __future__ import annotations

from collections.abc import Iterable

# The table of runs as kept.
RUN_ID = "run_id"  # "01" for experiment_01.csv; "01-2" for the second of its stretches of a class
ROW = "row"  # position in the recorded file, from 0
EVENT_TIME = "event_timestamp"  # UTC, microseconds
MATERIAL = "material"
CONDITION = "tool_condition"
FINALIZED = "machining_finalized"
INSPECTION = "passed_visual_inspection"

UNWORN, WORN = "unworn", "worn"
CLASSES = (UNWORN, WORN)  # the index is the class number; the positive class is "worn"
LABEL = "worn"  # 0 or 1

# Columns of the training set beside the features.
SAMPLE_ID = "sample_id"  # "<run_id>:<row>", unique
NO_SETTING = "none"  # of a machine at which nothing is set
SETTING = "setting"  # values of the settings, "6/2.5"
TIME_INDEX = "time_index"  # position in the run once its order is restored
IS_ACTIVE = "is_active"  # phase is one of those that the contract judges
IS_CUTTING = "is_cutting"  # the tool is in the work piece, by physics rather than by phase
REGIME = "regime"  # value of the setting within which behaviour is compared
IS_WINDOW = "is_window"  # a trailing window of cutting rows ends here, at the window stride
# In telemetry, training sets, the table of runs, verdicts and the payload log: nothing of a data
# set may be called like one of them.
COLUMNS_OF_OURS = frozenset(
    {
        *(SAMPLE_ID, RUN_ID, ROW, TIME_INDEX, EVENT_TIME, SETTING, IS_ACTIVE, IS_CUTTING),
        *(IS_WINDOW, REGIME, *CLASSES, "not_sure"),
        *(MATERIAL, CONDITION, FINALIZED, INSPECTION, "run_number", "rows", "cutting_rows"),
        *("sha256", "timestamp", "recording", "verdict", "judged_rows", "restored_order", "fault"),
        *("not_sure_because", "warnings", "model", "version", "package", "use", "probability"),
        *("reason", "reasons", "receipt_id", "row_number", "request_id", "machine", "answered_at"),
        *("model_version", "package_digest", "model_sha256", "data_digest", "commit", "kind"),
        *("feature_timestamp", "stale", "label", "latency_ms", "status"),
        *("labelled_at", "labelled_by", "source"),
    }
)

# Names of the three questions that an evaluation answers.
KNOWN_RUNS, NEW_RUN, NEW_SETTING = "known_runs", "new_run", "new_setting"
PROTOCOLS = (KNOWN_RUNS, NEW_RUN, NEW_SETTING)

# Names of the models that are compared.
MAJORITY, SETTINGS_ONLY, CONTEXT = "majority", "settings_only", "context"
DECISION_TREE, RANDOM_FOREST, AUTO_SKLEARN = "decision_tree", "random_forest", "auto_sklearn"
LOGISTIC = "logistic"  # windows only
NESTED = "nested"  # whichever of those tried on windows the training runs alone speak for
MODELS = (
    MAJORITY,
    SETTINGS_ONLY,
    CONTEXT,
    DECISION_TREE,
    RANDOM_FOREST,
    LOGISTIC,
    NESTED,
    AUTO_SKLEARN,
)

# Names of the feature sets; their columns stand in toolwear.features.definitions.
PUBLISHED, RESPONSE = "published", "response"
# A data set may have them, too: without the column that most of the accuracy rests on, and few
# enough columns of one physical cause that few runs can speak to it.
PUBLISHED_WITHOUT_POSITION, RIPPLE = "published_without_position", "ripple"


def run_id(number: int, stretch: int = 0) -> str:
    """Return the run's key.

    Args:
        number: in the table of runs.
        stretch: of a recording in which the tool wears out, from 1; 0 is the whole.
    """
    return f"{number:02d}-{stretch}" if stretch else f"{number:02d}"


def recording_of(run: str) -> str:
    """Return what the run of a key was recorded as: stretches of it are never split."""
    return run.partition("-")[0]


def sample_id(run: str, row: int) -> str:
    """Return the unique key of one telemetry row."""
    return f"{run}:{row}"


def setting(values: Iterable[float]) -> str:
    """Return the name of a machine setting, such as ``"6/2.5"``, in the order of the contract."""
    return "/".join(f"{value:g}" for value in values) or NO_SETTING
