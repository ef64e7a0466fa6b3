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
    engine: Annotated[str, typer.Option(help="local, or ray for many processes or machines.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(help="local: batches at once; ray: processes. As many as fit if not given.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the lines here; after a kill the same command goes on.", show_default=False),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of earlier answers, found by content.", show_default=False)
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            help="Folder for pictures, of a system that draws some; plots/ in the run folder if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer for audio files: one JSON line each on standard output, in the order given.

    A file that is not usable audio gets a line with its error, and the exit status is 1. Without --run, and where
    nothing was trained in runs/SYSTEM, the small model that comes with Auricle answers, and says so.

    Examples:

      auricle infer mambo call.wav

      auricle infer mambo --run runs/mambo call.wav

      auricle infer mambo --run runs/mambo recordings/ > answers.jsonl

      auricle infer mambo recordings/ --out answers.jsonl --engine ray --workers 8

      auricle infer ft_grpo any.wav --plots pictures/
    """
    from auricle.systems.answers import answers, write_answers
    from auricle.systems.pipeline import open_existing

    folder = _folder(system, run)
    open_existing(system, folder)
    failed = 0
    if out is not None:
        done = write_answers(folder, inputs, out, engine=engine, workers=workers, cache=cache, plots=plots)
        typer.echo(f"{out}: {done.rows} lines, {done.before} of them from before", err=True)
        failed = done.errors
    else:
        for row in answers(folder, inputs, engine=engine, workers=workers, cache=cache, plots=plots):
            failed += "error" in row
            typer.echo(json.dumps(row, ensure_ascii=False))
    if failed:
        typer.echo(f"{failed} input(s) could not be used; their lines say why", err=True)
        raise typer.Exit(1)


def _folder(system: str, run: Path | None) -> Path:
    """Find the run that answers, and tell on standard error what nobody named: the packaged model, or seed 0."""
    from auricle.systems import system as find

    folder = run or Path("runs") / system
    if run is None and not folder.exists():
        folder = find(system).pretrained()
        typer.echo(f"nothing is trained in runs/{system}: the small model that comes with Auricle answers", err=True)
    elif not (folder / "config.json").exists() and (folder / "seed-0" / "config.json").exists():
        folder = folder / "seed-0"
        typer.echo(f"{folder.parent} holds several seeds: seed 0 answers", err=True)
    return folder
