"""Text for a terminal: what it would obey instead of showing is written as an escape."""

from __future__ import annotations

import unicodedata

_ESCAPED = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of pairs, separators of lines and paragraphs


def printable(text: str) -> str:
    """Write what a terminal would obey, or cannot show, as an escape: control characters, bytes that are no UTF-8.

    Args:
        text: any text, such as the name of a file; its lines stay lines.
    """
    return "".join(
        mark.encode("unicode_escape", "surrogatepass").decode()
        if mark != "\n" and unicodedata.category(mark) in _ESCAPED
        else mark
        for mark in text
    )
