"""The whole loop, live on loopback: from a shift at the mill to a new champion or to none."""
