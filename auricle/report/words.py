"""Word error rates of speech that came out of something: codecs, vocoders, separators, beside the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from auricle.backbones.transcriber import Transcriber
from auricle.core.errors import MissingExtra
from auricle.core.extras import MissingWeights, require
from auricle.core.report import MetricRow
from auricle.metrics.asr import NORMALISER, ErrorRate, normalised, word_error_rate
from auricle.metrics.rows import percent
from auricle.report.spared import Spared
from auricle.train.log import announce

WER, AGAINST_ORIGINAL = "wer", "wer_against_transcript_of_original"
OURS, ORIGINAL = "", "original"  # in `Spoken.made`: what the system made; a baseline: the recording itself


class Written(Protocol):
    """What a transcriber gives of a recording."""

    @property
    def text(self) -> str:
        """All that it heard."""
        ...


class Transcribe(Protocol):
    """How a transcriber is called."""

    def __call__(self, waves: Sequence[np.ndarray], rates_hz: Sequence[int]) -> Sequence[Written]:
        """Write down what is said in waves (T,) at their rates in Hz."""
        ...


@dataclass(frozen=True)
class Spoken:
    """A recording of speech and what was made of it.

    Attributes:
        text: what is said, as the corpus knows it; "" where it does not.
        speaker: whose voice it is.
        original: samples (T,).
        made: name -> samples (T,); the system's own is `OURS`, the others are baselines.
    """

    text: str
    speaker: str
    original: np.ndarray
    made: Mapping[str, np.ndarray]


def transcriber_or_reason(name: str, **how: Any) -> Transcriber | str:
    """Load a transcriber, or say why there is no word error rate.

    Args:
        name: as `auricle.backbones.transcriber.Transcriber` takes it.
        **how: its other arguments.

    Returns:
        The transcriber; where it or jiwer is not installed a sentence with the command, which goes to standard error
        too.
    """
    try:
        require("jiwer", "asr", "it")
        return Transcriber(name, **how)
    except (MissingExtra, MissingWeights) as error:
        reason = f"{WER} was left out: {error}"
        announce(f"note: {reason}")
        return reason


def word_rows(
    spoken: Sequence[Spoken],
    transcribe: Transcribe,
    rate_hz: int,
    *,
    transcriber: str,
    group: str = "all",
    replicates: int = 1000,
    seed: int,
) -> tuple[list[MetricRow], list[str]]:
    """Give the word error rates of what was made, by what a transcriber hears in it.

    The reference is the corpus's own text where it has one (metric `WER`, which the original has too). Elsewhere it is
    what the transcriber hears in the original (`AGAINST_ORIGINAL`), so that its own errors do not count.

    Args:
        spoken: recordings in English, at least one; what is made of one of them is made of all.
        transcribe: as `auricle.backbones.transcriber.Transcriber.transcribe`.
        rate_hz: of all samples, in Hz.
        transcriber: its name, for the notes.
        group: of the rows.
        replicates: of the interval, at least 100.
        seed: of the interval.

    Returns:
        Rows in percent, whose `n` counts recordings; and what a reader has to know of them. What cannot be transcribed
        has no rows, and a note says why.

    Raises:
        MissingExtra: jiwer is not installed.
        ConfigError: too few replicates.
    """
    spared = Spared()
    texts = _texts(spoken, partial(transcribe, rates_hz=[rate_hz] * len(spoken)), spared)
    if ORIGINAL not in texts:
        return [], spared.notes()
    rows: list[MetricRow] = []
    notes: list[str] = []
    for metric in (WER, AGAINST_ORIGINAL):
        known = [index for index, one in enumerate(spoken) if bool(normalised(one.text)) == (metric == WER)]
        truth = {index: spoken[index].text if metric == WER else texts[ORIGINAL][index] for index in known}
        used = [index for index in known if normalised(truth[index])]
        rates = {
            name: word_error_rate(
                [truth[index] for index in used],
                [found[index] for index in used],
                [spoken[index].speaker for index in used],
                replicates=replicates,
                seed=seed,
            )
            for name, found in texts.items()
            if used and (metric == WER or name != ORIGINAL)
        }
        for name, rate in rates.items():
            rows.append(percent(metric, rate.rate, rate.utterances, rate.ci95, group=group, baseline=name or None))
        notes += [_note(metric, rate, len(known) - len(used), transcriber) for rate in list(rates.values())[:1]]
    nothing = f"no word error rate: no word is heard in the {len(spoken)} English recordings"
    return rows, [*(notes or [nothing]), *spared.notes()]


def _texts(spoken: Sequence[Spoken], transcribe: Callable[..., Any], spared: Spared) -> dict[str, list[str]]:
    """Write down the originals and what was made of them; what cannot be written down has no texts."""
    made = {name: [one.made[name] for one in spoken] for name in spoken[0].made}
    texts: dict[str, list[str]] = {}
    for name, waves in {ORIGINAL: [one.original for one in spoken], **made}.items():
        found = spared(f"the transcript of {name or 'the system'}", partial(transcribe, waves))
        if found is not None:
            texts[name] = [one.text for one in found]
    return texts


def _note(metric: str, rate: ErrorRate, silent: int, transcriber: str) -> str:
    truth = (
        "the corpus's own text" if metric == WER else "what it hears in the original, so its own errors do not count"
    )
    left = f"; {silent} more have no word that it hears" if silent else ""
    return (
        f"{metric} is what {transcriber} hears against {truth} (normaliser {NORMALISER}): {rate.units} words of "
        f"{rate.utterances} English recordings, intervals over {rate.over}{left}"
    )
