"""`python -m opaa` is `opaa`."""

from opaa.cli.main import main

main()
