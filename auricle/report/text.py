"""A report as one table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.core.report import Report, table


def print_table(report: Report, console: Console) -> None:
    """Print a report as one table, groups down, the system and its baselines across, with its marks and warnings.

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
    baselines = list(dict.fromkeys(row["baseline"] for row in rows if row["baseline"]))
    datas = {row["data"] for row in rows}
    lines: dict[tuple[str, str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        lines.setdefault((row["name"], row["group"], row["data"]), {})[row["baseline"]] = row
    out = Table(title=title, title_justify="left", header_style="bold")
    for name in ("metric", "group", *(("data",) if len(datas) > 1 else ())):
        out.add_column(name, overflow="fold")
    for name in (report.system, "95 % interval", *(("sd over seeds",) if spread else ()), *baselines, "n"):
        out.add_column(name, justify="right", no_wrap=name not in baselines)
    # names come from files: Text, so that brackets in them are not read as markup
    for (metric, group, data), found in lines.items():
        own = found.get("", {})
        cells = [metric, group, *([data] if len(datas) > 1 else [])]
        cells += [own.get("value", ""), own.get("interval", ""), *([own.get("sd", "")] if spread else [])]
        cells += [_beside(found.get(name)) for name in baselines]
        cells.append(next(iter(found.values()))["n"])
        out.add_row(*map(Text, cells))
    console.print(out)
    if report.leak:
        console.print(Text("LEAK: a leak check failed, so the scores may come from the channel, not from the voice."))
    for warning in report.warnings:
        console.print(Text(f"note: {warning}"))


def _beside(row: dict[str, str] | None) -> str:
    """Give a baseline's value and, below it, its interval."""
    if row is None:
        return ""
    return f"{row['value']}\n{row['interval']}" if row["interval"] else row["value"]
