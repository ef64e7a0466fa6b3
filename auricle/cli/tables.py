"""Tables on standard output, whose cells are shown as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from auricle.core.terminal import printable

__all__ = ["print_rows", "printable"]


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; brackets in a cell are brackets, and long words are folded, not cut.

    Args:
        columns: their headings.
        rows: as many texts each; names of files and messages of errors may be among them.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(Text(printable(column)), overflow="fold")
    for row in rows:
        # Text: a string would be read as markup, and "[hf]" in it as a style
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)
