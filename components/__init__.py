"""The steps, their core and the command line."""

from components.core.loopback import reach_directly

reach_directly()
