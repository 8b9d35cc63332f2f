"""Names under which Feast and the file system know the features, without importing Feast."""

from __future__ import annotations

FEAST_FOLDER = "TOOLWEAR_FEAST"  # environment: the published folder that `feast apply` describes

FEATURES_FOLDER = "features"  # of the features step's output

# Below a folder of Feast's.
SAMPLES_FOLDER = "samples"
LATEST_FILE = "latest.parquet"  # also of the features step's output
CONTRACT_FILE = "dataset.json"  # the contract of the data set that the features are of

SAMPLES_VIEW, SAMPLES_SERVICE = "sample_features", "training_set"
PUSH_SOURCE = "telemetry_push"

# The newest rows lie in two views, as Feast reads a view as a whole: a model that needs twelve
# columns shall not wait for forty. Each set of features lies in one of them.
LEVELS_VIEW, VARIABILITY_VIEW = "machine_levels", "machine_variability"


def latest_service(feature_set: str) -> str:
    """Return the name of the Feast service that serves the newest rows of a feature set."""
    return f"latest_{feature_set}"
