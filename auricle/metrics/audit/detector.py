"""The detector's half of an audit: its error in and out of domain, and what it refuses behind the verifier."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from auricle.core.errors import DataError
from auricle.metrics.audit.counts import bins_of, grid, resolution
from auricle.metrics.audit.exact import exact_eer, least_cost
from auricle.metrics.audit.rows import AuditRow, units_of, value_row
from auricle.metrics.audit.trials import AttackTrials, Column, Index, Mask
from auricle.metrics.audit.verifier import Verifier
from auricle.metrics.detection import EqualErrorRate, eer_from_counts
from auricle.metrics.tandem import C_FA, C_FA_SPOOF, C_MISS, PI_NONTARGET, PI_SPOOF, PI_TARGET
from auricle.metrics.trials import FloatArray, IntArray


class _Part(NamedTuple):
    """Trials that a detector is measured on, and what to know about them."""

    real: Index
    fake: Index
    note: str


class Detector:
    """The detector under audit."""

    def __init__(self, verifier: Verifier, threshold: float | None) -> None:
        """Set the threshold on the in-domain part, unless it is given.

        Raises:
            DataError: a clip with two detector scores, or no in-domain spoof to set the threshold on.
        """
        self.verifier, self.trials = verifier, verifier.trials
        self.score = _scores(self.trials)
        real = np.concatenate([verifier.rows["target"], verifier.rows["zero_effort"]])
        note = ""
        if self.trials.test is not None:
            # once a clip; a target trial goes before, for there the clip belongs to the one who speaks
            real = _first(self.trials.test, self.score, real)
            fake = _first(self.trials.test, self.score, verifier.rows["spoof"])
        else:
            fake, note = verifier.rows["spoof"], "a clip counts as often as it has trials"
        self.parts = {"all": _Part(real, fake, note)} | self._domains(real, fake, note)
        # parts share trials: each list of them is sorted once
        lists = {id(rows): rows for part in self.parts.values() for rows in part[:2]}
        self.sorted = {key: np.sort(self.score[rows]) for key, rows in lists.items()}
        whole, speakers = self.parts["all"], verifier.speakers.n
        self.grid = grid([self.sorted[id(whole.fake)]], [self.sorted[id(whole.real)]], resolution(speakers, 2))
        self.threshold = self._equal_error() if threshold is None else float(threshold)
        if np.isnan(self.threshold):
            raise DataError("the detector's threshold is NaN; give a number")

    def _domains(self, real: Index, fake: Index, note: str) -> dict[str, _Part]:
        """Split by domain; trials without one count in both."""
        if self.trials.domain is None:
            return {}
        parts = {}
        for name, other in (("in", "out"), ("out", "in")):
            mine = fake[self.trials.domain[fake] != other]
            if not mine.size:
                continue
            people, says = real[self.trials.domain[real] != other], note
            if not people.size:
                people, says = real, "; ".join(filter(None, (note, f"bona fide trials are those of {other} of domain")))
            parts[name] = _Part(people, mine, says)
        return parts

    def _equal_error(self) -> float:
        if self.trials.domain is not None and "in" not in self.parts:
            raise DataError("no spoof is of the domain 'in', so the detector's threshold cannot be set; give one")
        part = self.parts.get("in", self.parts["all"])
        # accept at or above: the next number after the score that the EER accepts above
        return float(np.nextafter(self._eer(part).threshold, np.inf))

    def _eer(self, part: _Part) -> EqualErrorRate:
        return exact_eer(self.sorted[id(part.real)], self.sorted[id(part.fake)], self.grid)

    def rows(self) -> Iterator[AuditRow]:
        """Give the detector's EER, in and out of domain, their ratio, and the tandem cost."""
        part, speakers = self.parts["all"], self.verifier.speakers
        exact = {name: self._eer(held).eer for name, held in self.parts.items()}
        again, tandem = self._replicates()
        for name, held in self.parts.items():
            where = {} if name == "all" else {"domain": name}
            size = held.real.size + held.fake.size
            smaller, units = min(held.real.size, held.fake.size), units_of(self.trials, *held[:2])
            yield value_row(
                "detector_eer", exact[name], size, speakers, again[name], held.note, smaller, units, **where
            )
        if "in" in exact and "out" in exact:
            ratio = exact["out"] / exact["in"] if exact["in"] > 0 else None
            note = "" if ratio is not None else "the EER in domain is 0"
            n = self.parts["out"].real.size + self.parts["out"].fake.size
            yield value_row("generalisation_ratio", ratio, n, speakers, _ratio(again["out"], again["in"]), note)
        cost, note = self._least_tandem_cost(), part.note
        if cost is None:
            note = "undefined: the verifier errs too often, or refuses every spoof"
        yield value_row("min_tdcf", cost, part.real.size + part.fake.size, speakers, tandem, note)

    def _replicates(self) -> tuple[dict[str, FloatArray], FloatArray]:
        """Give the EER of each part and the tandem cost, each of shape (replicates,)."""
        speakers = self.verifier.speakers
        bins, width = bins_of(self.score, self.grid), self.grid.size + 1
        lists = {id(rows): rows for held in self.parts.values() for rows in held[:2]}
        tables = {key: speakers.table(rows, bins, width) for key, rows in lists.items()}
        out = {name: np.full(len(speakers.weights), np.nan) for name in self.parts}
        tandem = np.full(len(speakers.weights), np.nan)
        for name, held in self.parts.items():
            real, fake = tables[id(held.real)], tables[id(held.fake)]
            for block in speakers.blocks():
                counts = speakers.cumulative(real, block), speakers.cumulative(fake, block)
                empty = (counts[0][:, -1] == 0) | (counts[1][:, -1] == 0)
                out[name][block] = np.where(empty, np.nan, eer_from_counts(*counts))
                if name == "all":
                    tandem[block] = self._tandem_cost(*counts, block)
        return out, tandem

    def _tandem_cost(self, real: IntArray, fake: IntArray, block: slice) -> FloatArray:
        """Give the minimum tandem cost of ASVspoof 2021 in each replicate; NaN where it is undefined."""
        c0, c1, c2 = _tandem_weights(*(rates[block][:, None] for rates in self.verifier.replicates.asv))
        with np.errstate(invalid="ignore", divide="ignore"):
            cost = c0 + c1 * (real / real[:, -1:]) + c2 * (1 - fake / fake[:, -1:])
            least = (c0 + np.minimum(c1, c2))[:, 0]
            return np.asarray(np.where((c1[:, 0] < 0) | (least <= 0), np.nan, cost.min(axis=1) / least))

    def _least_tandem_cost(self) -> float | None:
        """Give what `auricle.metrics.tandem.min_tdcf` gives, None where it is undefined."""
        c0, c1, c2 = (float(weight) for weight in _tandem_weights(*map(np.asarray, self.verifier.asv())))
        if c1 < 0 or c0 + min(c1, c2) <= 0:
            return None
        real, fake = (self.sorted[id(rows)] for rows in self.parts["all"][:2])
        return (c0 + least_cost(real, [fake], c1, [c2], self.grid)) / (c0 + min(c1, c2))

    @property
    def passed(self) -> Mask:
        """Which trials the detector accepts, shape (N,)."""
        return np.asarray(self.score >= self.threshold)


def _tandem_weights(miss: FloatArray, alarm: FloatArray, spoofed: FloatArray) -> tuple[FloatArray, ...]:
    """Give C0, C1 and C2 of ASVspoof 2021 for the verifier's error rates; see `auricle.metrics.tandem`."""
    c0 = PI_TARGET * C_MISS * miss + PI_NONTARGET * C_FA * alarm
    return c0, PI_TARGET * C_MISS - c0, PI_SPOOF * C_FA_SPOOF * spoofed


def _scores(trials: AttackTrials) -> FloatArray:
    if trials.detector is None:
        raise DataError("the trials have no detector scores")
    return trials.detector


def _ratio(out: FloatArray, inside: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(out / inside)


def _first(test: Column, score: FloatArray, rows: Index) -> Index:
    """Give the first of each clip's trials, in the order of `rows`.

    Raises:
        DataError: the detector gave one clip two scores.
    """
    codes = test.codes[rows]
    place = np.full(len(test.names), -1, dtype=np.int64)
    place[codes[::-1]] = rows[::-1]
    odd = np.flatnonzero(score[rows] != score[place[codes]])
    if odd.size:
        name = test.names[codes[odd[0]]]
        values = score[place[codes[odd[0]]]], score[rows[odd[0]]]
        raise DataError(f"clip {name!r} has the detector scores {values[0]:g} and {values[1]:g}; expected one a clip")
    return place[place >= 0]
