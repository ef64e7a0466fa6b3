"""Word and character error rates through jiwer, with one text normaliser that has a name.

The rates are those of a corpus: errors over the words of all references together, never a mean of rates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.core.extras import require
from auricle.metrics.bootstrap import weighted_bootstrap

NORMALISER = "auricle-1"  # what `normalised` does; another rule gets another name, for rates would move
FEWEST_SPEAKERS = 4  # with fewer the interval is over utterances

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_SIGNS = {"%": " percent ", "&": " and ", "+": " plus ", "@": " at "}
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


@dataclass(frozen=True)
class ErrorRate:
    """An error rate of a corpus.

    Attributes:
        rate: errors over reference units; above 1 where more was made up than said.
        ci95: its 95 % bootstrap interval, None for a single utterance.
        utterances: how many.
        units: words or characters of the references.
        substitutions: units taken for others.
        deletions: units left out.
        insertions: units made up.
        over: ``speakers`` or ``utterances``: what the interval resamples.
    """

    rate: float
    ci95: tuple[float, float] | None
    utterances: int
    units: int
    substitutions: int
    deletions: int
    insertions: int
    over: str


def normalised(text: str, language: str = "en") -> str:
    """Bring a text to the words that are compared: the normaliser ``auricle-1``.

    Compatibility forms become plain, letters small; what stands in brackets (noises) goes; apostrophes go, so that
    ``don't`` is ``dont``; full stops within letters go (``E.A.`` is ``ea``); every other mark is a space. In English
    numbers and the signs ``% & + @`` become words (``7`` is ``seven``, ``2nd`` is ``second``, ``555-0199`` is read as
    two numbers). Spellings and contractions stay as they are.

    Args:
        text: as it is written.
        language: ISO 639-1 code.

    Returns:
        Words with one space between them.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|\*[^*]*\*", " ", text)
    text = re.sub(r"['’‘`´ʼ]", "", text)
    text = re.sub(r"\b(?:[^\W\d_]\.){2,}", lambda found: found[0].replace(".", "") + " ", text)
    if language == "en":
        for sign, word in _SIGNS.items():
            text = text.replace(sign, word)
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
        text = re.sub(r"(\d+)\.(\d+)", lambda found: f"{found[1]} point {' '.join(found[2])}", text)
        text = re.sub(r"(?<!\d)(\d{1,12})(st|nd|rd|th)\b", lambda found: f" {_ordinal(int(found[1]))} ", text)
        text = re.sub(r"\d+", lambda found: f" {_spoken(found[0])} ", text)
    # marks that belong to a letter (Devanagari's vowels) are kept with it
    kept = (character if unicodedata.category(character)[0] in "LMN" else " " for character in text)
    return " ".join("".join(kept).split())


def word_error_rate(
    references: Sequence[str],
    hypotheses: Sequence[str],
    speakers: Sequence[Any] | None = None,
    *,
    language: str = "en",
    replicates: int = 1000,
    seed: int,
) -> ErrorRate:
    """Give the word error rate of a corpus after normalisation, with its interval over speakers.

    Args:
        references: what was said, N texts.
        hypotheses: what was recognised, as many.
        speakers: who said it, (N,); None, or fewer than four speakers, for an interval over utterances.
        language: of the normaliser.
        replicates: bootstrap replicates, at least 100.
        seed: seed of the resampling.

    Raises:
        DataError: other numbers of texts, or a reference without a word.
        ConfigError: too few replicates.
        MissingExtra: jiwer is not installed.
    """
    ours, theirs = _pairs(references, hypotheses, language)
    return _rate(ours, theirs, speakers, "process_words", replicates, seed)


def character_error_rate(
    references: Sequence[str],
    hypotheses: Sequence[str],
    speakers: Sequence[Any] | None = None,
    *,
    language: str = "en",
    replicates: int = 1000,
    seed: int,
) -> ErrorRate:
    """Give the character error rate of a corpus after normalisation; spaces between words count.

    Args:
        references: as `word_error_rate`.
        hypotheses: as `word_error_rate`.
        speakers: as `word_error_rate`.
        language: as `word_error_rate`.
        replicates: as `word_error_rate`.
        seed: as `word_error_rate`.

    Raises:
        DataError: as `word_error_rate`.
        ConfigError: as `word_error_rate`.
        MissingExtra: as `word_error_rate`.
    """
    ours, theirs = _pairs(references, hypotheses, language)
    return _rate(ours, theirs, speakers, "process_characters", replicates, seed)


def _pairs(references: Sequence[str], hypotheses: Sequence[str], language: str) -> tuple[list[str], list[str]]:
    if len(references) != len(hypotheses) or not references:
        raise DataError(f"{len(references)} references and {len(hypotheses)} hypotheses; give one for each, at least 1")
    ours = [normalised(text, language) for text in references]
    for number, (text, plain) in enumerate(zip(references, ours, strict=True), 1):
        if not plain:
            raise DataError(f"reference {number}, {text!r}, has no word; leave the utterance out")
    return ours, [normalised(text, language) for text in hypotheses]


def _rate(
    ours: Sequence[str], theirs: Sequence[str], speakers: Sequence[Any] | None, how: str, replicates: int, seed: int
) -> ErrorRate:
    process = getattr(require("jiwer", "asr", "An error rate of words"), how)
    counts = np.array([_counts(process(one, other)) for one, other in zip(ours, theirs, strict=True)], np.int64)
    errors, units = counts[:, :3].sum(1), counts[:, 3]
    known = None if speakers is None else np.asarray(speakers).ravel().astype(str)
    if known is not None and known.size != len(ours):
        raise DataError(f"{len(ours)} utterances and {known.size} speakers; give one speaker for each")
    groups = known if known is not None and np.unique(known).size >= FEWEST_SPEAKERS else None

    def statistic(times: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(times @ errors / (times @ units), np.float64)

    if replicates < 100:
        raise ConfigError(f"a 95 % interval needs at least 100 replicates, got {replicates}")
    interval = None
    if len(ours) > 1:
        interval = weighted_bootstrap(statistic, len(ours), groups, replicates, seed=seed)
    total = counts.sum(0)
    return ErrorRate(
        rate=float(errors.sum() / units.sum()),
        ci95=interval,
        utterances=len(ours),
        units=int(total[3]),
        substitutions=int(total[0]),
        deletions=int(total[1]),
        insertions=int(total[2]),
        over="utterances" if groups is None else "speakers",
    )


def _counts(found: Any) -> tuple[int, int, int, int]:
    return (found.substitutions, found.deletions, found.insertions, found.substitutions + found.deletions + found.hits)


def _spoken(digits: str) -> str:
    """Give a number in English words; one with a zero in front, or above 12 digits, digit by digit."""
    if len(digits) > 12 or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return _cardinal(int(digits))


def _cardinal(number: int) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens = _TENS[number // 10 - 2]
        return tens if number % 10 == 0 else f"{tens} {_ONES[number % 10]}"
    scale, word = next(row for row in _SCALES if number >= row[0])
    rest = number % scale
    return f"{_cardinal(number // scale)} {word}" + (f" {_cardinal(rest)}" if rest else "")


def _ordinal(number: int) -> str:
    *first, last = _spoken(str(number)).split()
    last = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*first, last])
