"""`python -m esmkit` is the command line."""

from esmkit.cli import main

main()
