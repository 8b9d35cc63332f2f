"""The steps, their core and the command line."""

from toolwear.common.loopback import reach_directly

reach_directly()
