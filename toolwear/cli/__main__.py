"""`python -m toolwear.cli` is `toolwear`."""

from toolwear.cli.entry import main

main()
