"""The ports of the servers on one machine; in a cluster each has an address of its own."""

from __future__ import annotations

TRANSFORMER = 8080  # what clients call
PREDICTOR = 8081
PREDICTOR_GRPC = 8082
EXPLAINER = 8083
MONITOR = 8084
TRIGGER = 8085
CONSOLE = 8086
FRONT = 8087  # divides the traffic between champion and candidate
TRANSFORMER_GRPC = 8088
MLFLOW_UI = 5000  # as MLflow itself has it
PROMETHEUS = 9090
ALERTMANAGER = 9093
