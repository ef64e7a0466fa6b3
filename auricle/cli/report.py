"""`auricle report`: compare finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; without --pool also report.json files.")],
    pooled: Annotated[bool, typer.Option("--pool", help="One table: mean and spread over all the runs.")] = False,
) -> None:
    """Print the tables of finished runs, or one pooled table.

    Examples:

      auricle report runs/mambo

      auricle report --pool runs/split-0/seed-0 runs/split-0/seed-1 runs/split-1/seed-0
    """
    from rich.console import Console

    from auricle.core.report import Report
    from auricle.report.text import print_table
    from auricle.systems.pipeline import pool_folders

    if pooled:
        print_table(pool_folders(runs), Console())
        return
    for path in runs:
        print_table(Report.load(path / "report.json" if path.is_dir() else path), Console())
