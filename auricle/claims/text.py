"""Claims as one table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.claims.results import Entry

STYLES = {"confirmed": "bold green", "refuted": "bold red", "not resolved": "bold yellow", "no verdict": "dim"}


def print_entries(system: str, entries: Sequence[Entry], console: Console) -> None:
    """Print one row a claim, and below it what a reader has to know.

    Args:
        system: its name.
        entries: what came out.
        console: where to; on standard output for results.
    """
    table = Table(title=f"claims about {system}", title_justify="left", header_style="bold")
    table.add_column("claim", no_wrap=True)
    table.add_column("statement", overflow="fold", ratio=2)
    for name in ("seeds", "effect", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for entry in entries:
        interval = "" if entry.ci95 is None else f"{entry.ci95[0]:.3g} to {entry.ci95[1]:.3g}"
        effect = "not measured" if entry.effect is None else f"{entry.effect:.3g}"
        verdict = Text(entry.verdict, style=STYLES[entry.verdict])
        table.add_row(entry.id, Text(entry.statement), str(len(entry.seeds)), effect, interval, verdict)
    console.print(table)
    for entry in entries:
        console.print(Text(f"{entry.id}: effect is {entry.metric}", style="bold"))
        for part in entry.parts:
            value = "not measured" if part.effect is None else f"{part.effect:.3g}"
            span = "" if part.ci95 is None else f" ({part.ci95[0]:.3g} to {part.ci95[1]:.3g})"
            console.print(Text(f"  {part.name}: {value}{span}"))
        for line in (*entry.notes, *(f"cut: {cut}" for cut in entry.cuts)):
            console.print(Text(f"  {line}", style="dim"))
