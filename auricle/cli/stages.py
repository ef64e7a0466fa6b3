"""`auricle prepare` and `auricle train`: one stage at a time."""

from __future__ import annotations

import typer

from auricle.cli import options
from auricle.cli.tables import printable


def prepare(
    system: options.System,
    settings: options.Settings = None,
    preset: options.Preset = None,
    run: options.Run = None,
    data: options.Data = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Build the data of a run: clips, spoofs, splits, manifests.

    Examples:

      auricle prepare mambo

      auricle prepare mambo --data mine.jsonl --run runs/mine
    """
    from auricle.systems import pipeline

    module, cfg, folder = pipeline.open_with(system, preset, run, data, settings or [], overwrite)
    for name, value in pipeline.prepare(module, cfg, folder).items():
        typer.echo(printable(f"{name}: {value}"))


def train(
    system: options.System,
    settings: options.Settings = None,
    preset: options.Preset = None,
    run: options.Run = None,
    data: options.Data = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train on prepared data; a killed training goes on where it was, to the same numbers.

    Examples:

      auricle train mambo

      auricle train mambo --run runs/mine
    """
    from auricle.systems import pipeline

    module, cfg, folder = pipeline.open_with(system, preset, run, data, settings or [], overwrite)
    typer.echo(printable(f"best checkpoint: {pipeline.train(module, cfg, folder)}"))
