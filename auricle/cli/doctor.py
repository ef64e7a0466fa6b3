"""`auricle doctor`: what is installed and what is missing."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Print versions, the device, each extra with the line that installs it, and check the embedded corpus.

    Example:

      auricle doctor
    """
    from auricle.cli.tables import print_rows
    from auricle.core.errors import DataError
    from auricle.core.extras import EXTRAS, available
    from auricle.core.run import environment
    from auricle.data import embedded
    from auricle.nn import native

    facts = environment()
    rows = [
        ("Python", facts["python"]),
        ("platform", facts["platform"]),
        ("processors", str(facts["cpus"])),
        *facts["packages"].items(),
        ("inner loops in C", native.state()),
    ]
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if not available(name)]
        found = "installed" if not missing else f"missing {', '.join(missing)}: pip install 'auricle[{extra}]'"
        rows.append((f"extra {extra}", f"{found} ({'; '.join(packages.values())})"))
    try:
        embedded.verify()
        corpus = f"{len(embedded.clips())} clips, all checksums right"
    except DataError as error:
        corpus = f"damaged: {error}"
    rows.append(("embedded corpus", corpus))
    print_rows(("what", "found"), rows)
    if corpus.startswith("damaged"):
        raise typer.Exit(1)
