"""`python -m components.cli` is `toolwear`."""

from components.cli.main import main

main()
