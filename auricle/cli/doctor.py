"""`auricle doctor`: what is installed and what is missing."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Print versions, the device, each extra with the line that installs it, and check the embedded corpus.

    Example:

      auricle doctor
    """
    from rich.console import Console
    from rich.table import Table

    from auricle.core.errors import DataError
    from auricle.core.extras import EXTRAS, available
    from auricle.core.run import environment
    from auricle.data import embedded
    from auricle.nn import native

    facts = environment()
    table = Table("what", "found")
    table.add_row("Python", facts["python"])
    table.add_row("platform", facts["platform"])
    table.add_row("processors", str(facts["cpus"]))
    for package, version in facts["packages"].items():
        table.add_row(package, version)
    table.add_row("inner loops in C", native.state())
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if not available(name)]
        found = "installed" if not missing else f"missing {', '.join(missing)}: pip install 'auricle[{extra}]'"
        table.add_row(f"extra {extra}", f"{found} ({'; '.join(packages.values())})")
    try:
        embedded.verify()
        corpus = f"{len(embedded.clips())} clips, all checksums right"
    except DataError as error:
        corpus = f"damaged: {error}"
    table.add_row("embedded corpus", corpus)
    Console().print(table)
    if corpus.startswith("damaged"):
        raise typer.Exit(1)
