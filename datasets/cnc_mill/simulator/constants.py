"""Constants read from, or fitted to, the recorded runs. Lengths in mm, times in s, rates in 1/s."""

from __future__ import annotations

import numpy as np

# --- the part: one layer is one way around it ------------------------------------------------
# Corners of the way in X and Y, read from run 1, the only one that is stored in order.
WAY_UP = (
    (151, 73), (146, 73), (143, 74.6), (141, 77.8), (144, 77.5), (147, 74.8), (150, 74.5),
    (154, 74.5), (157, 74.9), (159, 77.8), (159, 85.1), (158, 88.3), (155, 89.5), (144, 89.5),
    (142, 91.4), (141, 94.8), (141, 102), (143, 105), (160, 105), (162, 102),
)  # fmt: skip
WAY_DOWN = (
    (161, 99.8), (156, 103), (149, 103), (146, 102), (144, 98.9), (144, 95.4), (146, 92.3),
    (149, 91.6), (160, 91.6), (162, 89), (162, 75), (160, 72.4), (146, 72.4), (143, 72.7),
    (141.6, 74), (141, 77.8),
)  # fmt: skip
LAYER_DEPTHS = (29.5, 28.5, 27.5)
HOME = (198.0, 158.0, 119.0)
ABOVE_START = 30.5
RETRACTED = 54.5
PLUNGE_FROM = 39.0
RAPID_FEED = 50.0
DWELL_SECONDS = 0.3
FOLLOWING_LAG = 0.009  # by which axes and spindle follow their commands

# G-code lines of a layer, and the share of its way at which each begins.
LINES = (
    14, 15, 17, 19, 21, 23, 25, 26, 27, 29, 31, 32, 34, 35, 37, 38, 39, 40, 41, 43, 44, 45, 47, 48,
)  # fmt: skip
LINE_STARTS = np.array(
    [
        0, 8, 20, 26, 47, 69, 99, 108, 121, 125, 157, 166, 169, 184, 196, 212, 223, 242, 249, 252,
        272, 273, 305, 315,
    ]
) / 318  # fmt: skip
LAYER_LINE_OFFSETS = (0, 40, 82)
STALE_LINE = 2.0  # shown in the first row of each batch
BATCH_ROWS = 10

# --- spindle ---------------------------------------------------------------------------------
SPINDLE_SPEED = 160 / 3  # 16 revolutions in three samples
SPINDLE_RAMP = 100.0  # rev/s^2
SPINDLE_WRAP = 2**32 / 1e6  # the counter of revolutions wraps to minus half of it
SPINDLE_SPEED_SD = 0.08
SPINDLE_ACCELERATION_MEAN = 1.8
RIPPLE_SD = 34.6  # of the acceleration, with an unworn tool
RIPPLE_RUN_SD = 0.05  # of its logarithm, from run to run
POWER_BASE, POWER_PER_FEED, POWER_RUN_SD, POWER_SD = 0.1717, 6.9e-4, 0.0035, 0.0145
POWER_ONCE_PER_REVOLUTION = 0.0155

# --- axes: X, Y ------------------------------------------------------------------------------
# Current: offset, friction, per velocity, per acceleration, AR(1) coefficient and sd, run sd.
AXIS_CURRENT = (
    (0.08, 4.18, 0.163, 0.0047, 0.42, 2.10, 0.10),
    (-0.19, 4.69, 0.205, 0.0040, 0.56, 2.74, 0.21),
)
FRICTION_VELOCITY = 0.2
# Voltage: offset, per velocity, per current. DC bus: offset, per current, per velocity.
AXIS_VOLTAGE = ((4.16, 1.39, 0.22), (2.61, 1.33, 0.61))
AXIS_VOLTAGE_SD = 1.7
AXIS_DC_BUS = ((0.030, 0.0103, 0.0014), (0.0157, 0.0142, 0.0023))
AXIS_DC_BUS_SD = 0.013
# Power: offset, per current times velocity, per current.
AXIS_POWER = ((2.6e-4, 4e-5, -6e-5), (1.2e-4, 4e-5, -2e-5))
AXIS_POWER_SD = 3e-4
ACCELERATION_STEP = 6.25  # mm/s^2
IDLE_NOISE = 0.15  # of an axis while the tool does not feed, relative to one that feeds
Z_NOISE = 0.1

# --- mains -----------------------------------------------------------------------------------
MAINS = 325.9
# By run number where it is not `MAINS`.
SESSION_MAINS = (
    {5: 323.3} | dict.fromkeys(range(6, 11), 324.2) | dict.fromkeys(range(11, 19), 326.9)
) | {16: 326.1}
MAINS_SESSION_SD = 1.2
MAINS_SD, MAINS_AR = 0.35, 0.93
MAINS_WITHOUT_SPINDLE = 3.0  # V that the mains rise while the spindle stands
MAINS_Y_BELOW_X, MAINS_SPINDLE_BELOW_X = 1.35, 5.2
MAINS_PER_POWER, MAINS_SPINDLE_SD = 31.7, 2.1

SYSTEM_INERTIA = 12.0
PROGRAM = 1.0
