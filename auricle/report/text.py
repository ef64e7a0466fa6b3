"""A report as one table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.core.report import Report, table


def print_table(report: Report, console: Console) -> None:
    """Print the metric rows of a report as one table, with its marks and warnings.

    Args:
        report: what to print.
        console: where to; on standard output for results.
    """
    seeds = f"{len(report.seeds)} seeds" if len(report.seeds) > 1 else f"seed {', '.join(map(str, report.seeds))}"
    title = Text(f"{report.system}, {report.preset} preset on {report.data}, {seeds}", style="bold")
    if report.toy:
        title.append("  TOY RESULT", style="bold yellow")
    if report.leak:
        title.append("  LEAK", style="bold white on red")
    rows = table(report)
    spread = any(row["sd"] for row in rows)
    out = Table(title=title, title_justify="left", header_style="bold")
    for name in ("metric", "group"):
        out.add_column(name, overflow="fold")
    for name in ("value", "95 % interval", *(("sd over seeds",) if spread else ()), "n"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("baseline", overflow="fold")
    # names come from files: Text, so that brackets in them are not read as markup
    for row in rows:
        cells = [row["name"], row["group"], row["value"], row["interval"], *([row["sd"]] if spread else []), row["n"]]
        out.add_row(*map(Text, [*cells, row["baseline"]]), style="dim" if row["baseline"] else "")
    console.print(out)
    if report.leak:
        console.print(Text("LEAK: a leak check failed, so the scores may come from the channel, not from the voice."))
    for warning in report.warnings:
        console.print(Text(f"note: {warning}"))
