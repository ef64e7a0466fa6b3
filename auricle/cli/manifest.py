"""`auricle manifest`: a table of files becomes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.tables import printable


def manifest(
    table: Annotated[Path, typer.Argument(help="CSV with a header: path,label and any columns of your own.")],
    out: Annotated[
        Path | None, typer.Option(help="Manifest to write; TABLE.jsonl if not given.", show_default=False)
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave bad rows out, and name them.")] = False,
) -> None:
    """Make a Lhotse manifest from a CSV with `path,label,...`; relative paths start at the CSV's folder.

    Examples:

      auricle manifest files.csv

      auricle manifest files.csv --out mine.jsonl --keep-going
    """
    from auricle.data.manifest import from_csv

    summary = from_csv(table, out or table.with_suffix(".jsonl"), keep_going=keep_going)
    typer.echo(printable(str(summary)))
    if summary.dropped:
        raise typer.Exit(1)
