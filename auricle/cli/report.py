"""`auricle report`: compare finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or report.json files.")],
    pooled: Annotated[bool, typer.Option("--pool", help="One table: mean and spread over all the runs.")] = False,
) -> None:
    """Print the tables of finished runs, or one pooled table.

    Examples:

      auricle report runs/mambo

      auricle report --pool runs/split-0/seed-0 runs/split-0/seed-1 runs/split-1/seed-0
    """
    from rich.console import Console

    from auricle.core.report import Report, pool
    from auricle.report.text import print_table

    reports = [Report.load(path / "report.json" if path.is_dir() else path) for path in runs]
    for item in [pool(reports)] if pooled else reports:
        print_table(item, Console())
