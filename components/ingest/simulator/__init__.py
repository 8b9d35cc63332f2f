"""Telemetry like the mill's, of any size, from physics and constants fitted to the recordings."""

from components.ingest.simulator.settings import SimulatorSettings
from components.ingest.simulator.writer import simulate

__all__ = ["SimulatorSettings", "simulate"]
