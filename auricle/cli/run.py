"""`auricle run`: prepare, train and evaluate in one go."""

from __future__ import annotations

from typing import Annotated

import typer

from auricle.cli import options


def run(
    system: options.System,
    settings: options.Settings = None,
    preset: options.Preset = None,
    run: options.Run = None,
    data: options.Data = None,
    seeds: Annotated[int, typer.Option(help="Train this many seeds and pool their reports.")] = 1,
    overwrite: options.Overwrite = False,
) -> None:
    """Prepare the data, train, evaluate, and print one table.

    A stage that is complete is not done again; a killed run goes on where it was.

    Examples:

      auricle run mambo

      auricle run mambo --preset smoke --run runs/try

      auricle run mambo --seeds 3 model.mixer=mamba2 train.max_steps=300
    """
    from rich.console import Console

    from auricle.report.text import print_table
    from auricle.systems.pipeline import run_all

    print_table(run_all(system, preset or "laptop", run, data, settings or [], seeds, overwrite), Console())
    folder = run or f"runs/{system}"
    typer.echo(f"report: {folder}/report.html" if seeds == 1 else f"reports: {folder}/seed-*/report.html", err=True)
