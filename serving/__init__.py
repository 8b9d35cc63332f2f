"""The servers. Each is one process; load is met with replicas."""

import os

# Feast sets it for the servers of its own, and a parent process may hand it on. With it our
# metrics would go through files that nobody reads. It has to go before prometheus_client comes.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
# gRPC's newer input and output hands each message through threads of its own, which costs a call
# between the servers a third of its time; the older one is read by the thread that waits for it.
# gRPC reads this once, when it is imported; `docs/serving.md` has the figures.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
