"""Names under which Feast and the file system know the features, without importing Feast."""

from __future__ import annotations

FEAST_FOLDER = "TOOLWEAR_FEAST"  # environment variable that feature_store.yaml reads

FEATURES_FOLDER = "features"  # of the features step's output

# Below a folder of Feast's.
SAMPLES_FOLDER = "samples"
LATEST_FILE = "latest.parquet"  # also of the features step's output

SAMPLES_VIEW, SAMPLES_SERVICE = "sample_features", "training_set"
LATEST_VIEW, PUSH_SOURCE = "machine_latest", "telemetry_push"


def latest_service(feature_set: str) -> str:
    """Return the name of the Feast service that serves the newest rows of a feature set."""
    return f"latest_{feature_set}"
