"""`python -m auricle` is the `auricle` command."""

from auricle.cli.main import entry

entry()
