"""A cluster of kind with everything in it: made, tried, and taken away."""
