"""The servers. Each is one process; load is met with replicas."""

import os

# Feast sets it for the servers of its own, and a parent process may hand it on. With it our
# metrics would go through files that nobody reads. It has to go before prometheus_client comes.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
