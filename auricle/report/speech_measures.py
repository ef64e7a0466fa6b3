"""STOI, ViSQOL and PESQ of speech, where their packages are there, and what a reader has to know of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from auricle.audio.resample import resample
from auricle.core.errors import DataError, MissingExtra
from auricle.metrics.speech import LEAST_S, MEASURES, RATE_HZ, Measure
from auricle.report.spared import Spared
from auricle.train.log import announce


class SpeechMeasures:
    """Judges speech recordings one after the other, and counts what could not be judged."""

    def __init__(self, visqol_files: int, measures: Sequence[Measure] = MEASURES) -> None:
        """Look which packages there are; what is missing is said on standard error too.

        Args:
            visqol_files: recordings that ViSQOL, the slow one, judges at most.
            measures: to choose from.
        """
        self.measures = [measure for measure in measures if measure.ready]
        self.most = {"visqol": visqol_files}
        self.judged, self.refused = Counter[str](), Counter[str]()
        self.spared = Spared()
        self.missing = [
            f"{measure.name} was left out: {MissingExtra(measure.package, measure.extra, 'it')}"
            for measure in measures
            if not measure.ready
        ]
        for text in self.missing:
            announce(f"note: {text}")

    def __call__(
        self, original: np.ndarray, waves: Mapping[str, np.ndarray], rate_hz: int
    ) -> dict[str, dict[str, float]]:
        """Judge what each codec makes of a recording of speech, samples (T,) at one rate.

        Returns:
            Measure -> codec -> number; empty for what is too short. A measure that cannot judge one of the waves is
            left out for all, so that all are judged on the same recordings.
        """
        values: dict[str, dict[str, float]] = {}
        due = [
            measure
            for measure in self.measures
            if measure.name not in self.spared.failed
            and self.judged[measure.name] < self.most.get(measure.name, math.inf)
        ]
        if len(original) < LEAST_S * rate_hz:
            self.refused.update(measure.name for measure in due)
            return values
        real = resample(original, rate_hz, RATE_HZ)
        narrow = {codec: resample(wave, rate_hz, RATE_HZ) for codec, wave in waves.items()}
        for measure in due:
            found = self.spared(measure.name, partial(self._judge, measure, narrow, real))
            if found:
                values[measure.name] = found
        return values

    def _judge(self, measure: Measure, waves: Mapping[str, np.ndarray], real: np.ndarray) -> dict[str, float]:
        """Give the number of each codec; none where one of the waves cannot be judged."""
        try:
            found = {codec: measure.call(wave, real) for codec, wave in waves.items()}
        except DataError:
            self.refused[measure.name] += 1
            return {}
        self.judged[measure.name] += 1
        return found

    def notes(self) -> list[str]:
        """Say which packages judged, how many recordings, and what is missing."""
        judged = [
            f"{measure.name} is of {measure.source} ({measure.how}), on {self.judged[measure.name]} speech recordings; "
            f"{self.refused[measure.name]} had too little speech or less than {LEAST_S:g} s"
            for measure in self.measures
        ]
        failed = [
            f"{name} failed after {self.judged[name]} recordings: {text}" for name, text in self.spared.failed.items()
        ]
        return [*judged, *self.missing, *failed]
