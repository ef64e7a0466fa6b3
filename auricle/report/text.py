"""A report as one table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.core.report import Report, table
from auricle.core.terminal import printable

WHO = 13  # columns that a baseline needs beside the system's own figures; the rest of a row needs OWN
OWN = 62


def print_table(report: Report, console: Console) -> None:
    """Print a report as one table, groups down, with its marks and warnings.

    The system and its baselines stand side by side where the console is wide enough for all of them, else one below
    the other. Groups that the report names as details are left to the page, and their number is said.

    Args:
        report: what to print.
        console: where to; on standard output for results.
    """
    title = Text(printable(heading(report)), style="bold")
    if report.toy:
        title.append("  TOY RESULT", style="bold yellow")
    if report.leak:
        title.append("  LEAK", style="bold white on red")
    details = set(report.details)
    rows = table(report)
    shown = [row for row in rows if row["group"] not in details]
    baselines = {row["baseline"] for row in shown if row["baseline"]}
    wide = console.width >= OWN + WHO * len(baselines)
    out = Table(title=title, title_justify="left", header_style="bold")
    (_side_by_side if wide else _below_each_other)(out, shown, report.system)
    console.print(out)
    if len(shown) < len(rows):
        console.print(Text(f"and {len(rows) - len(shown)} rows in detail: see report.html or report.json"))
    if report.leak:
        console.print(Text("LEAK: a leak check failed, so the scores may come from the channel, not from the voice."))
    for warning in report.warnings:
        console.print(_plain(f"note: {warning}"))


def heading(report: Report) -> str:
    """Say whose numbers a report has, and of what; a file of scores has neither preset nor seed.

    Args:
        report: the report.
    """
    if not report.seeds:
        return f"{report.system}, {report.preset} of {report.data}"
    seeds = f"{len(report.seeds)} seeds" if len(report.seeds) > 1 else f"seed {report.seeds[0]}"
    return f"{report.system}, {report.preset} preset on {report.data}, {seeds}"


def _plain(text: str) -> Text:
    return Text(printable(text))


def _side_by_side(out: Table, rows: list[dict[str, str]], system: str) -> None:
    spread = any(row["sd"] for row in rows)
    several = len({row["data"] for row in rows}) > 1
    baselines = list(dict.fromkeys(row["baseline"] for row in rows if row["baseline"]))
    for name in ("metric", "group", *(("data",) if several else ())):
        out.add_column(name, overflow="fold")
    for name in (system, "95 % interval", *(("sd over seeds",) if spread else ()), *baselines, "n"):
        out.add_column(_plain(name), justify="right", no_wrap=name not in baselines)
    lines: dict[tuple[str, str, str], dict[str, dict[str, str]]] = {}
    for row in rows:
        lines.setdefault((row["name"], row["group"], row["data"]), {})[row["baseline"]] = row
    # names come from files: no bracket in them is read as markup, and no character moves the cursor
    for (metric, group, data), found in lines.items():
        own = found.get("", {})
        cells = [metric, group, *([data] if several else [])]
        cells += [own.get("value", ""), own.get("interval", ""), *([own.get("sd", "")] if spread else [])]
        cells += [_beside(found.get(name)) for name in baselines]
        cells.append(next(iter(found.values()))["n"])
        out.add_row(*map(_plain, cells))


def _below_each_other(out: Table, rows: list[dict[str, str]], system: str) -> None:
    spread = any(row["sd"] for row in rows)
    several = len({row["data"] for row in rows}) > 1
    for name in ("metric", "group", *(("data",) if several else ()), "of"):
        out.add_column(name, overflow="fold")
    for name in ("value", "95 % interval", *(("sd",) if spread else ()), "n"):
        out.add_column(name, justify="right", no_wrap=True)
    order = {key: place for place, key in enumerate(dict.fromkeys((row["name"], row["group"]) for row in rows))}
    before = None
    for row in sorted(rows, key=lambda row: order[row["name"], row["group"]]):
        key = (row["name"], row["group"])
        cells = ["", ""] if key == before else list(key)
        cells += [*([row["data"]] if several else []), row["baseline"] or system, row["value"], row["interval"]]
        cells += [*([row["sd"]] if spread else []), row["n"]]
        out.add_row(*map(_plain, cells))
        before = key


def _beside(row: dict[str, str] | None) -> str:
    """Give a baseline's value and, below it, its interval."""
    if row is None:
        return ""
    return f"{row['value']}\n{row['interval']}" if row["interval"] else row["value"]
