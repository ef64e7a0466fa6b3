"""`auricle list`, `show` and `config`: look before you run."""

from __future__ import annotations

import typer

from auricle.cli import options


def list_systems() -> None:
    """List the fourteen systems and say which work in this version.

    Example:

      auricle list
    """
    from auricle.cli.tables import print_rows
    from auricle.core.names import PAPERS

    print_rows(
        ("system", "paper", "arXiv", "works", "answers"),
        [(row.system, row.title, row.arxiv, "yes" if row.works else "planned", row.answers) for row in PAPERS],
    )


def show(system: options.System) -> None:
    """Print what a system takes and gives, and its card: what it does, its data, results and limits.

    Example:

      auricle show mambo
    """
    import importlib.resources

    from auricle.core.errors import ConfigError
    from auricle.core.names import paper
    from auricle.core.request import takes_text
    from auricle.systems import system as find

    if not paper(system).works:
        raise ConfigError(f"'{system}' is planned and has no card yet")
    spec = find(system).spec
    typer.echo(f"takes: {takes_text(spec)}")
    for more in spec.more:
        typer.echo(f"       --set {more.key}={more.kind.__name__.upper()}  {more.help}")
    typer.echo(f"gives: {', '.join(spec.gives)}\n")
    card = importlib.resources.files(f"auricle.systems.{system}") / "README.md"
    typer.echo(card.read_text(encoding="utf-8"))


def config(system: options.System, settings: options.Settings = None, preset: options.Preset = None) -> None:
    """Print a preset's settings as JSON, with your own applied and checked.

    Examples:

      auricle config mambo

      auricle config mambo --preset paper model.mixer=gdn
    """
    from auricle.systems.pipeline import resolve

    typer.echo(resolve(system, preset or "laptop", None, settings or []).model_dump_json(indent=2))
