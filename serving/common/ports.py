"""The ports of the three servers on one machine; in a cluster each has an address of its own."""

from __future__ import annotations

TRANSFORMER = 8080  # what clients call
PREDICTOR = 8081
PREDICTOR_GRPC = 8082
EXPLAINER = 8083
