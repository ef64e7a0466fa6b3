"""`auricle data`: the embedded corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at the embedded corpus of real recordings, and write it out as ordinary files.")


@app.command("list")
def list_clips(
    kind: Annotated[str | None, typer.Option(help="Only speech, sound or music.", show_default=False)] = None,
) -> None:
    """Count the clips by kind, voice or label, with minutes and licence.

    Examples:

      auricle data list

      auricle data list --kind speech
    """
    from rich.console import Console
    from rich.table import Table

    from auricle.data import embedded

    table = Table("kind", "voice or label", "language", "clips", "minutes", "licence")
    for row in embedded.overview(kind):
        table.add_row(*row)
    Console().print(table)


@app.command("export")
def export(folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")]) -> None:
    """Write every clip as FLAC, with a Lhotse manifest (clips.jsonl) and the licences beside them.

    Example:

      auricle data export corpus/
    """
    from auricle.data import embedded

    typer.echo(embedded.export(folder))


@app.command("verify")
def verify() -> None:
    """Compare every embedded file with its checksum.

    Example:

      auricle data verify
    """
    from auricle.data import embedded

    embedded.verify()
    typer.echo(f"{len(embedded.clips())} clips, all checksums right")
