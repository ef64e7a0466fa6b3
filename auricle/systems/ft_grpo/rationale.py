"""The text contract: frequency evidence, time evidence, answer; written from the truth, read strictly.

The skeleton is that of FT-GRPO (arXiv 2601.02983): a think block with a line that begins with ``<Frequency Domain>``
and one that begins with ``<Time Domain>`` (neither tag is closed), then one answer, nothing after. The findings use a
closed vocabulary here, so that they can be held against the truth: ``notch in band 3``, ``click in bin 5``, ``none``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from auricle.alm.answers import parse_label
from auricle.core.errors import DataError
from auricle.data.worlds.artefacts import BAND_EDGES_HZ, BANDS, BIN_S, BINS, FREQUENCY_KINDS, TIME_KINDS, Artefact
from auricle.metrics.evidence import Finding

Label = Literal["real", "fake"]
LABELS: tuple[Label, Label] = ("real", "fake")
NONE = "none"  # of a domain: there is no artefact
FREQUENCY_TAG, TIME_TAG = "<Frequency Domain>", "<Time Domain>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>", FREQUENCY_TAG, TIME_TAG)

SYSTEM_PROMPT = (
    "You are an expert in telling real audio from fake audio. Look at the spectrogram along frequency and along time. "
    "Be brief. Answer in exactly this form:\n"
    "<think>\n"
    "<Frequency Domain> what is wrong in which band, low or high, or none\n"
    "<Time Domain> what is wrong in which interval, silent and quiet stretches included, or none\n"
    "</think>\n"
    "<answer>real</answer> or <answer>fake</answer>, and nothing after it."
)
LABEL_PROMPT = "You are an expert in telling real audio from fake audio. Answer with one word: real or fake."
USER_PROMPT = "<audio>Is this audio real or fake?"

_SKELETON = re.compile(
    r"<think>\s*<Frequency Domain>(?P<frequency>[^<]*)<Time Domain>(?P<time>[^<]*)</think>\s*<answer>[^<]*</answer>"
)
_FREQUENCY = re.compile(rf"({'|'.join(FREQUENCY_KINDS)}) in band ([0-{BANDS - 1}])")
_TIME = re.compile(rf"({'|'.join(TIME_KINDS)}) in bin ([0-{BINS - 1}])")


@dataclass(frozen=True)
class Evidence:
    """What a text says of a clip, or what is true of it.

    Attributes:
        label: ``real`` or ``fake``; None where a text has no answer that can be read.
        frequency: kind of the frequency artefact; ``none`` where it is said that there is none; None where nothing
            can be read, or the truth is not known.
        band: 0 to 5; None without an artefact.
        time: the same of time.
        bin: 0 to 7; None without an artefact.
    """

    label: Label | None
    frequency: str | None = None
    band: int | None = None
    time: str | None = None
    bin: int | None = None

    @property
    def complete(self) -> bool:
        """Whether label, frequency and time are all there."""
        return None not in (self.label, self.frequency, self.time)

    @property
    def band_hz(self) -> tuple[float, float] | None:
        """Edges of the band of the frequency artefact in hertz; a cut-off goes to the top."""
        if self.band is None or self.frequency in (None, NONE):
            return None
        return BAND_EDGES_HZ[self.band], BAND_EDGES_HZ[-1 if self.frequency == "cutoff" else self.band + 1]

    @property
    def bin_s(self) -> tuple[float, float] | None:
        """Beginning and end of the bin of the time artefact, in seconds from the clip's beginning."""
        if self.bin is None or self.time in (None, NONE):
            return None
        return self.bin * BIN_S, self.bin * BIN_S + BIN_S

    def finding(self, domain: str) -> Finding:
        """Give kind and place of one domain, ``frequency`` or ``time``."""
        return Finding(self.frequency, self.band) if domain == "frequency" else Finding(self.time, self.bin)


def evidence(artefacts: Sequence[Artefact]) -> Evidence:
    """Give the truth of a clip of the artefact world: fake with artefacts, real without any.

    Args:
        artefacts: at most one of each domain.

    Raises:
        DataError: two of one domain; the skeleton has one line for each.
    """
    by_domain: dict[str, Artefact] = {}
    for artefact in artefacts:
        if artefact.domain in by_domain:
            raise DataError(f"two artefacts of {artefact.domain}; a rationale has one line for each domain")
        by_domain[artefact.domain] = artefact
    frequency, time = by_domain.get("frequency"), by_domain.get("time")
    return Evidence(
        label="fake" if by_domain else "real",
        frequency=frequency.kind if frequency else NONE,
        band=frequency.place if frequency else None,
        time=time.kind if time else NONE,
        bin=time.place if time else None,
    )


def write(truth: Evidence) -> str:
    """Write a rationale and its answer.

    Args:
        truth: complete evidence.

    Returns:
        Five lines, at most 15 words and tags.

    Raises:
        DataError: the label or a domain is not known, or an artefact has no place.
    """
    if truth.label is None or truth.frequency is None or truth.time is None:
        raise DataError(f"{truth} is not complete; a rationale is written where label, frequency and time are known")
    frequency = _finding(truth.frequency, "band", truth.band, FREQUENCY_KINDS, BANDS)
    time = _finding(truth.time, "bin", truth.bin, TIME_KINDS, BINS)
    return f"<think>\n{FREQUENCY_TAG} {frequency}\n{TIME_TAG} {time}\n</think>\n{write_label(truth.label)}"


def write_label(label: Label) -> str:
    """Write the answer alone, as label-only training has it."""
    return f"<answer>{label}</answer>"


def read(text: str) -> Evidence:
    """Read a text strictly: what does not have the form is None and nothing is guessed.

    The label is read from one answer tag, or from a bare word; letters of either case. Findings are read only from
    the whole skeleton. A finding of ``none`` is not the same as one that cannot be read.

    Args:
        text: what a model wrote.
    """
    answer = parse_label(text, LABELS)
    label = next((label for label in LABELS if label == answer), None)
    lines = _SKELETON.fullmatch(text.strip())
    if lines is None:
        return Evidence(label)
    return Evidence(label, *_read(lines["frequency"], _FREQUENCY), *_read(lines["time"], _TIME))


def words() -> list[str]:
    """Give the closed vocabulary of the rationales: tags, kinds, numbers and the few words between them."""
    numbers = [str(number) for number in range(max(BANDS, BINS))]
    return [*TAGS, *FREQUENCY_KINDS, *TIME_KINDS, NONE, "in", "band", "bin", *numbers, *LABELS]


def _finding(kind: str, what: str, place: int | None, kinds: tuple[str, ...], count: int) -> str:
    if kind == NONE and place is None:
        return NONE
    if kind not in kinds or place is None or not 0 <= place < count:
        raise DataError(f"{kind} in {what} {place}; kinds are {', '.join(kinds)}, {what}s 0 to {count - 1}")
    return f"{kind} in {what} {place}"


def _read(text: str, form: re.Pattern[str]) -> tuple[str | None, int | None]:
    if text.strip() == NONE:
        return NONE, None
    match = form.fullmatch(text.strip())
    return (match[1], int(match[2])) if match else (None, None)
