"""`auricle infer`: an answer for each file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from auricle.cli import options


def infer(
    system: options.System,
    inputs: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    run: options.Run = None,
) -> None:
    """Answer for audio files: one JSON line each on standard output, in the order given.

    A file that is not usable audio gets a line with its error, and the exit status is 1.

    Examples:

      auricle infer mambo --run runs/mambo call.wav

      auricle infer mambo --run runs/mambo recordings/ > answers.jsonl
    """
    import auricle
    from auricle.systems import system as find

    module = find(system)
    model = auricle.load(run or Path("runs") / system)
    failed = 0
    for result in module.infer(model, inputs):
        row = result.as_dict()
        failed += "error" in row
        typer.echo(json.dumps(row, ensure_ascii=False))
    if failed:
        typer.echo(f"{failed} input(s) could not be used; their lines say why", err=True)
        raise typer.Exit(1)
