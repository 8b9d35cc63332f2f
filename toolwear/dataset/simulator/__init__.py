"""Telemetry like the mill's, of any size, from physics and constants fitted to the recordings."""

from toolwear.dataset.simulator.settings import SimulatorSettings
from toolwear.dataset.simulator.writer import simulate

__all__ = ["SimulatorSettings", "simulate"]
