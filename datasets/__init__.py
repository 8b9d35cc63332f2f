"""A folder for each machine: its contract, `dataset.toml`, and code that makes recordings."""
