"""`auricle claims`: the claims of a paper as small controlled experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli import options


def claims(
    system: options.System,
    budget: Annotated[
        str, typer.Option(help="quick (seconds, shows that it runs, no verdict) or full (up to two hours).")
    ] = "quick",
    only: Annotated[str | None, typer.Option(help="Ids, such as M1,M4; all if not given.", show_default=False)] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the cells go; runs/claims/SYSTEM if not given.", show_default=False)
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder of SYSTEM.json; docs/results for full, below the folder for quick, if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Test the claims of a system's paper: arms at equal budget, seeds, a rule written before the run.

    A killed run goes on where it was; other settings in the same folder are refused. A rerun of one claim leaves
    the results of the others, and a quick result never takes the place of a full one. One command at a time a folder.

    Examples:

      auricle claims mambo

      auricle claims mambo --budget full

      auricle claims mambo --budget full --only M4 --folder runs/claims/mambo
    """
    from rich.console import Console

    from auricle.claims.runner import run_claims
    from auricle.claims.text import print_entries
    from auricle.systems import system as find

    written = find(system).claims
    place = folder or Path("runs") / "claims" / system
    file = (results or (Path("docs/results") if budget == "full" else place / "quick")) / f"{system}.json"
    chosen = [name.strip() for name in only.split(",") if name.strip()] if only else []
    entries, kept = run_claims(written, budget, place, file, chosen)
    print_entries(system, entries, Console())
    typer.echo(f"results: {file}", err=True)
    for name in kept:
        typer.echo(f"{name}: the full result in {file} was kept", err=True)
