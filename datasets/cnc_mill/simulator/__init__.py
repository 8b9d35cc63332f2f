"""Telemetry like the mill's, of any size, from physics and constants fitted to the recordings."""

from datasets.cnc_mill.simulator.settings import SimulatorSettings
from datasets.cnc_mill.simulator.writer import simulate

__all__ = ["SimulatorSettings", "simulate"]
