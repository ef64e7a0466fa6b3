"""Options that stand in the text of a question."""

from __future__ import annotations

import re

from auricle.alm.questions import LETTERS

_OPTION = re.compile(r"(?:^|\s)\(?([A-Z])[).:]\s*")


def split_options(text: str) -> tuple[str, list[str]]:
    """Take the options out of a question such as ``Which chord is played? A) major B) minor``.

    Letters must begin at A and follow one another; otherwise the whole is the question.

    Args:
        text: the question.

    Returns:
        The question without them, and their texts.
    """
    marks = list(_OPTION.finditer(text))
    if len(marks) < 2 or [mark.group(1) for mark in marks] != list(LETTERS[: len(marks)]):
        return text.strip(), []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    options = [text[mark.end() : end].strip().rstrip(",;") for mark, end in zip(marks, ends, strict=True)]
    return text[: marks[0].start()].strip(), options
