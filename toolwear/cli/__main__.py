"""`python -m toolwear.cli` is `toolwear`."""

from toolwear.cli.main import main

main()
