"""Scores of multiple-choice benchmarks as their own scorers give them, each beside one that never guesses.

VoiceBench reads a letter by a list of phrases and draws one at random where it finds none. MMAU takes an answer as
right when it has every word of the right choice and no word that is another choice's alone. Outputs are kept as they
came, and those that say nothing are counted, so that scores of different readers can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auricle.core.errors import DataError
from auricle.core.seed import rng

LETTERS = "ABCD"

# Which phrase comes first decides, and of one phrase the earlier letter: "@" stands for it. The phrases and their order
# are the definition of the score (VoiceBench, arXiv 2410.17196), so they stand as its scorer has them.
_PHRASES = (
    "答案是@|答案是 @|答案是选项@|答案应该是@|答案应该是 @|答案就是选项@|答案是‘@|是@：|答案选@|@是正确",
    "选项@是最合适的|final answer: @|answer is: **@|answer is **@|answer: **@",
    "the answer to the question is: **@|the answer to the multiple-choice question is **@|the answer is '@'",
    "@ is the best answer|the answer is @|the correct answer is @|would select @|would choose @",
    'would select option @|would choose option @|is "@"|is "@.|is: **@)|is: **@:|is **@,|is **@:|is **@)',
    "is: **@.|is: **@:|is **@.|be **@,|is: **@**|is therefore option **@:|is: \n\n**@)|as **@:|be **@)",
    'be **@:|is: \n\n**@**|suggests **@)|be option **@:|with **@)|is typically "@)|be to **@)|is: \n\n@)',
    "is likely to be: **@.|is **@ (|is option **@**|is likely **@**|is:\n**@.|is:\n\n**@.|would be @",
    "would be option @|would be (@)|would be option (@)|is @,|is typically @,|is typically @.|i'd say @.",
    "option @.|option @:|option @,|the answer is:\n**@|is @:|is @.|is @,|is: @.|is (@)|is:\n**@)",
    "is likely **@:|is the **@)|:\n@.|:\n@)|:\n@,|: \n@.|:  \n@.|:\n\n@.|:\n\n@)|is most likely **@:|:\n\n@,",
    ": \n\n@.|is option @,|(@) would be|is (@).|is @)|is: @)|is:\n\n@:|is: **@,|(option @)|answer is (@)",
    'answer: @|answer is:\n\n@|answer is:\n@|select option "@"|is: @|is typically **@,|is **@**',
    "is likely '@'|is option '@'|is:\n**@:|is \\( \\boxed{@ |would be '@'|is the **@** |question is @ (",
    "is:\n\n**@)|closest to option **@**|is most likely **@)|the answer to the question is '@'",
    "question is **@**|known as '@'|is '@)|is typically **@:|is \\( \\boxed{\\text{@}} \\)|is \\( \\text{@) }",
    "is \\( \\text{@} \\)|is \\( \\text{@:|is \\( \\text{@)|is \\(\\text{@.|is:\n\n**@|is \\( \\text{@.}",
    "is \\( \\text{@.|is \\( \\boxed{@}|is:\n\\[ \\boxed{\\text{@}}|is:\n\\[ \\text{@)|is:\n\n\\[ \\text{@)",
    "is \\( \\textbf{@)|is \\( \\text{@}|is: \\( \\text{@.|corresponds to:\n- **@:|would be: **@**.",
    "is \\( @ \\)|is:\n**@ |corresponds to option **@**|be **@**|be: \n\n@)|is:\n\\[ \\boxed{@}|is:  \n**@:",
    "is: \\( \\text{@)|is likely: **@,|is } \\mathbf{@.|is \\( \\boxed{@)|is \\( \\textbf{@}|is \\(@\\)",
    'is:\n  \n**@:|is option **@ |is:\n\\( \\textbf{@.|is \\( \\mathbf{@}|was option **@**|is likely "@)',
    'option **@:|is "@)|is most likely **@,|is often **@:|is:  \n@)|is:\n@|is:\n**@| @.| @,| @:| @)|**@.|**@)',
    '**@:|"@.|"@,|"@:|(@)|"@"|{@}|\n\n**@|would be:\n\n@',
)
_TEMPLATES = tuple(phrase for line in _PHRASES for phrase in line.split("|"))
_ENDS = (".", ",", ":", ")")
_STAGE = re.compile(r"<[123]>")
_WORDS = re.compile(r"\b\w+\b")


@dataclass(frozen=True)
class Scored:
    """What one answer came to.

    Attributes:
        output: what the model wrote, as it came.
        read: what the scorer reads in it; None where it finds nothing.
        official: whether the benchmark's own scorer counts it as right.
        right: whether it is right when what cannot be read is wrong.
    """

    output: str
    read: str | None
    official: bool
    right: bool


@dataclass(frozen=True)
class BenchmarkScore:
    """A benchmark's own score, and beside it one that never guesses.

    Attributes:
        official: share that the benchmark's scorer counts as right.
        strict: share of right answers where what cannot be read is wrong.
        failures: answers that cannot be read.
        n: answers.
        rows: each answer, its output kept.
    """

    official: float
    strict: float
    failures: int
    n: int
    rows: list[Scored]


def voicebench_letter(output: str) -> str | None:
    """Read the letter that VoiceBench reads in an output; None where it finds none and would draw one.

    Args:
        output: what the model wrote.
    """
    low = output.lower()
    if _STAGE.match(low):
        low = low[3:].strip()
    for template in _TEMPLATES:
        for letter in LETTERS:
            if template.replace("@", letter.lower()) in low:
                return letter
    for letter in LETTERS:
        if low == letter.lower() or low.startswith(tuple(letter.lower() + end for end in _ENDS)):
            return letter
    return None


def voicebench_score(outputs: Sequence[str], answers: Sequence[str], *, seed: int) -> BenchmarkScore:
    """Score answers to VoiceBench's MMSU or OpenBookQA.

    Args:
        outputs: what the model wrote for each question.
        answers: right letters, A to D.
        seed: of the letters that VoiceBench draws where it reads none; its own scorer has no seed.

    Raises:
        DataError: no answers, another number of them, or one that is no letter.
    """
    _need_as_many(outputs, answers)
    wrong = [letter for letter in answers if letter not in tuple(LETTERS)]
    if wrong:
        raise DataError(f"{wrong[0]!r} is no right letter; VoiceBench has A, B, C and D")
    draws = rng(seed, "voicebench")
    rows = []
    for output, answer in zip(outputs, answers, strict=True):
        read = voicebench_letter(output)
        taken = LETTERS[int(draws.integers(len(LETTERS)))] if read is None else read
        rows.append(Scored(output, read, taken == answer, read == answer))
    return _summed(rows)


def mmau_match(output: str, choices: Sequence[str], answer: str) -> bool:
    """Say whether MMAU's scorer counts an output as right.

    Args:
        output: what the model wrote.
        choices: texts of the choices, as the benchmark's file has them.
        answer: text of the right one.
    """
    said, wanted = _words(output), _words(answer)
    others = set().union(*(_words(choice) - wanted for choice in choices if _words(choice) != wanted))
    return bool(said) and wanted <= said and not said & others


def mmau_choice(output: str, choices: Sequence[str]) -> int | None:
    """Say which choice MMAU's scorer would count as right; None where it is none, or several.

    Args:
        output: what the model wrote.
        choices: texts of the choices.
    """
    matching = [place for place, choice in enumerate(choices) if mmau_match(output, choices, choice)]
    return matching[0] if len(matching) == 1 else None


def mmau_score(outputs: Sequence[str], choices: Sequence[Sequence[str]], answers: Sequence[str]) -> BenchmarkScore:
    """Score answers to MMAU.

    The scorer asks of each output only whether it matches the right choice. Where no choice matches, or several do,
    the output cannot be read; the strict score counts it as wrong.

    Args:
        outputs: what the model wrote for each question; ``""`` where it has no answer.
        choices: texts of the choices of each question, as the benchmark's file has them.
        answers: text of the right one.

    Raises:
        DataError: no answers, another number of them, or one that is no choice.
    """
    _need_as_many(outputs, answers)
    _need_as_many(outputs, choices)
    rows = []
    for output, own, answer in zip(outputs, choices, answers, strict=True):
        if answer not in own:
            raise DataError(f"the answer {answer!r} is none of the choices {', '.join(own)}")
        place = mmau_choice(output, own)
        read = None if place is None else own[place]
        rows.append(Scored(output, read, mmau_match(output, own, answer), read == answer))
    return _summed(rows)


def _words(text: str) -> set[str]:
    return set(_WORDS.findall(text.lower()))


def _need_as_many(outputs: Sequence[str], others: Sequence[object]) -> None:
    if not outputs or len(outputs) != len(others):
        raise DataError(f"{len(outputs)} outputs and {len(others)} questions; give one output for each of at least one")


def _summed(rows: list[Scored]) -> BenchmarkScore:
    count = len(rows)
    return BenchmarkScore(
        official=sum(row.official for row in rows) / count,
        strict=sum(row.right for row in rows) / count,
        failures=sum(row.read is None for row in rows),
        n=count,
        rows=rows,
    )
