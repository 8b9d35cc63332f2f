"""The steps: a KFP face, input and output, and what only that step needs."""
