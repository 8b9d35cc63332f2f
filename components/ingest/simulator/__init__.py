"""Telemetry like the mill's, from physics and constants fitted to the real recordings."""

from components.ingest.simulator.settings import SimulatorSettings
from components.ingest.simulator.write import simulate

__all__ = ["SimulatorSettings", "simulate"]
