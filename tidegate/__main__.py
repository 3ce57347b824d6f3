"""`python -m tidegate` is the same command."""

from tidegate.cli import main

main()
