"""Everything that a cluster has to be seen doing, as one command."""
