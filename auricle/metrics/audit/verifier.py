"""The verifier's half of an audit: thresholds, bypass and rejection by part, equal error rate and costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.adcf import ASVSPOOF5, COST_MODEL, AdcfCosts, a_dcf_of_rates, adcf_weights
from auricle.metrics.audit.counts import Speakers, accepted, bins_of, grid, resolution
from auricle.metrics.audit.exact import exact_eer, least_cost
from auricle.metrics.audit.rows import AuditRow, Cell, Decisions, Rate, cells, rate_row, units_of, value_row
from auricle.metrics.audit.trials import KINDS, AttackTrials, Index, Mask
from auricle.metrics.calibration import fit_platt
from auricle.metrics.detection import act_dcf, cllr, eer_from_counts, eer_index, min_dcf_from_counts
from auricle.metrics.tandem import AsvErrors, asv_errors
from auricle.metrics.trials import FloatArray, IntArray
from auricle.metrics.verification import OperatingPoint, check_far, threshold_at_far

# priors and costs of the VoxCeleb challenges and toolkits, for the verifier alone
DCF = {"p_target": 0.01, "c_miss": 1.0, "c_fa": 1.0}
# pairs of speakers up to which a table of all of them is the fastest way to count
_PAIRS = 100_000_000
RATES = {"target": "false_rejection", "zero_effort": "zero_effort_far", "spoof": "bypass_rate"}


def _described(costs: AdcfCosts, whose: str) -> str:
    return (
        f"priors {costs['p_target']:g}, {costs['p_nontarget']:g}, {costs['p_spoof']:g} and costs {costs['c_miss']:g}, "
        f"{costs['c_fa_nontarget']:g}, {costs['c_fa_spoof']:g} of {whose}"
    )


# by the name of its rows: what errors cost, and whose costs these are
A_DCF = {
    "a_dcf": (adcf_weights(**COST_MODEL), _described(COST_MODEL, "the a-DCF's authors (CostModel)")),
    "a_dcf_asvspoof5": (adcf_weights(**ASVSPOOF5), _described(ASVSPOOF5, "ASVspoof 5")),
}


class Replicates(NamedTuple):
    """Numbers of each replicate, shape (R,); `chosen` is the threshold of each false-accept target on the grid."""

    eer: FloatArray
    min_dcf: FloatArray
    min_a_dcf: dict[str, FloatArray]
    asv: AsvErrorsOf
    chosen: list[Index]


class AsvErrorsOf(NamedTuple):
    """The verifier's error rates at the equal error rate of each replicate, each of shape (R,)."""

    miss: FloatArray
    false_alarm: FloatArray
    spoof_false_alarm: FloatArray


class Verifier:
    """The verifier under audit: sorted scores, operating points and what every replicate makes of them."""

    def __init__(
        self,
        trials: AttackTrials,
        fars: Sequence[float],
        points: Sequence[OperatingPoint] | None,
        replicates: int,
        seed: int,
    ) -> None:
        """Set the thresholds, unless they are given, and draw the replicates.

        Raises:
            DataError: a kind of trial is missing, or no zero-effort trial is in the domain that thresholds are set on.
            ConfigError: no target, a target outside (0, 1), or too few replicates.
        """
        self.trials = trials
        self.speakers = Speakers(trials.target, replicates, seed)
        self.rows = {kind: np.flatnonzero(trials.kind == kind) for kind in KINDS}
        missing = [kind for kind in KINDS if not self.rows[kind].size]
        if missing:
            raise DataError(
                f"there are no {' and no '.join(missing)} trials; an audit needs target, zero_effort, spoof"
            )
        self.sorted = {kind: np.sort(trials.score[rows]) for kind, rows in self.rows.items()}
        self.given = points is not None
        self.setting = self.rows["zero_effort"]
        if trials.domain is not None and not self.given:
            inside = trials.domain[self.setting] != "out"
            if not inside.any():
                raise DataError(
                    "all zero-effort trials are of the domain 'out', so no threshold can be set: "
                    "give operating points, or zero-effort trials of the domain 'in'"
                )
            self.setting = self.setting[inside]
        if points is None and not fars:
            raise ConfigError("an audit needs at least one false-accept target, such as 0.01")
        self.points = tuple(points or (threshold_at_far(trials.score[self.setting], check_far(f)) for f in fars))
        self.grid = self._grid()
        self.replicates = self._replicates()
        # the few thresholds that anything is counted at: those of the points, and those that replicates chose
        again = np.unique(np.concatenate([np.empty(0, np.int64), *self.replicates.chosen]))
        exact = np.asarray([point.threshold for point in self.points])
        self.steps = np.unique(np.concatenate([self.grid[again], exact]))
        self.bins = bins_of(trials.score, self.steps)
        self.exact = np.searchsorted(self.steps, exact)
        self.again = [np.searchsorted(self.steps, self.grid[chosen]) for chosen in self.replicates.chosen]

    def _grid(self) -> FloatArray:
        """Give the thresholds that a replicate may choose; one lies above all zero-effort trials."""
        no = self.sorted["zero_effort"]
        thresholds = grid([no, self.sorted["spoof"]], [self.sorted["target"]], resolution(self.speakers.n, 3))
        return np.unique(np.append(thresholds, np.nextafter(no[-1], np.inf)))

    def _replicates(self) -> Replicates:
        rows, width = len(self.speakers.weights), self.grid.size + 1
        bins = bins_of(self.trials.score, self.grid)
        tables = {kind: self.speakers.table(index, bins, width) for kind, index in self.rows.items()}
        whole = self.setting.size == self.rows["zero_effort"].size
        setting = tables["zero_effort"] if whole else self.speakers.table(self.setting, bins, width)
        # thresholds at false-accept targets are scores of zero-effort trials, or just above the highest
        candidate = np.diff(np.searchsorted(self.sorted["zero_effort"], np.append(self.grid, np.inf), side="left")) > 0
        candidate[np.searchsorted(self.grid, np.nextafter(self.sorted["zero_effort"][-1], np.inf))] = True
        empty = np.full(rows, np.nan)
        out = Replicates(
            empty,
            empty.copy(),
            {name: empty.copy() for name in A_DCF},
            AsvErrorsOf(empty.copy(), empty.copy(), empty.copy()),
            [] if self.given else [np.zeros(rows, dtype=np.int64) for _ in self.points],
        )
        for part in self.speakers.blocks():
            yes, no, fake = (self.speakers.cumulative(tables[kind], part) for kind in KINDS)
            out.eer[part] = eer_from_counts(yes, no)
            out.min_dcf[part] = min_dcf_from_counts(yes, no, **DCF)
            with np.errstate(invalid="ignore", divide="ignore"):
                share = [counts / counts[:, -1:] for counts in (yes, no, fake)]
                for name, (weights, _) in A_DCF.items():
                    cost = a_dcf_of_rates(share[0], 1 - share[1], 1 - share[2], weights=weights)
                    out.min_a_dcf[name][part] = np.min(cost, axis=1)
            # the verifier accepts at or above the score at which both rates are equal, as the ASVspoof scorer does
            at = np.maximum(eer_index(yes, no) - 1, 0)[:, None]
            below = [np.take_along_axis(values, at, axis=1)[:, 0] for values in share]
            out.asv.miss[part], out.asv.false_alarm[part] = below[0], 1 - below[1]
            out.asv.spoof_false_alarm[part] = 1 - below[2]
            if out.chosen:
                mine = no if whole else self.speakers.cumulative(setting, part)
                passed = mine[:, -1:] - mine[:, :-1]
                for point, chosen in zip(self.points, out.chosen, strict=True):
                    fits = candidate & (passed / np.maximum(mine[:, -1:], 1) <= point.far_target)
                    chosen[part] = np.argmax(fits, axis=1)
        return out

    def rates(self, cell: Cell, passed: Mask | None) -> tuple[list[Rate], list[Rate], IntArray]:
        """Give the share of a part that is accepted at each operating point.

        Args:
            cell: the part.
            passed: whether the detector accepts each of all trials, shape (N,); None without detector.

        Returns:
            The shares of the verifier, those of verifier and detector together (empty without detector), and the
            trials that pass both, the verifier and the detector at each point, shape (points, 3).
        """
        speakers, width = self.speakers, self.steps.size + 1
        table = speakers.table(cell.rows, self.bins, width)
        each, counts = table.sum(axis=1), accepted(table)
        alone, taken = self._shares(cell, each, counts), counts[:, self.exact].sum(axis=0)
        if passed is None:
            return alone, [], np.empty((len(self.points), 0), np.int64)
        table = speakers.table(cell.rows[passed[cell.rows]], self.bins, width)
        through, counts = np.full(len(self.points), table.sum()), accepted(table)
        both = counts[:, self.exact].sum(axis=0)
        numbers = np.stack([both, taken, through], axis=1).astype(np.int64)
        return alone, self._shares(cell, each, counts), numbers

    def _shares(self, cell: Cell, each: FloatArray, counts: FloatArray) -> list[Rate]:
        """Divide accepted trials by all of a part: by speaker `each`, (G,), and `counts` at each step, (G, K)."""
        speakers, n = self.speakers, cell.rows.size
        with np.errstate(invalid="ignore", divide="ignore"):
            # a replicate without such trials has 0 of 0, which is NaN
            total = speakers.resample(each)
            fixed = speakers.resample(counts[:, self.exact]) / total[:, None]
            by_step = np.ascontiguousarray(counts.T)
            again = [speakers.resample_at(by_step, chosen) / total for chosen in self.again]
        values = counts[:, self.exact].sum(axis=0) / n
        edge = bool(np.isin(values, (0.0, 1.0)).any())
        units = units_of(self.trials, cell.rows) if edge else int(np.count_nonzero(each))
        return [
            Rate(float(value), n, fixed[:, number], None if self.given else again[number], units)
            for number, value in enumerate(values)
        ]

    def rate_rows(self, passed: Mask | None) -> tuple[list[AuditRow], list[Decisions]]:
        """Give bypass rate, false rejection and zero-effort FAR of every part and their a-DCF, at each point.

        Args:
            passed: whether the detector accepts each of all trials, shape (N,); None without detector.

        Returns:
            The rows, with a detector those of verifier and detector together as well; and the causes of refusal.
        """
        rows: list[AuditRow] = []
        causes: list[Decisions] = []
        whole: dict[str, dict[str, list[Rate]]] = {"": {}, "tandem_": {}}
        for kind in KINDS:
            for cell in cells(self.trials, kind, self.rows[kind]):
                alone, together, numbers = self.rates(cell, passed)
                for prefix, found in (("", alone), ("tandem_", together)):
                    rates = [rate.refused() for rate in found] if kind == "target" else found
                    if not cell.part:
                        whole[prefix][kind] = rates
                    named = zip(rates, self.points, strict=False)  # none without a detector
                    rows += [rate_row(prefix + RATES[kind], r, self.speakers, p, cell.part) for r, p in named]
                if passed is not None and set(cell.part) <= {"generator"}:
                    causes += self._causes(kind, cell, numbers)
        for prefix, rates_of in whole.items():
            rows += self._costs(prefix, rates_of) if rates_of["spoof"] else []
        return rows, causes

    def _causes(self, kind: str, cell: Cell, numbers: IntArray) -> Iterator[Decisions]:
        n = cell.rows.size
        for point, (both, taken, through) in zip(self.points, numbers.tolist(), strict=True):
            yield Decisions(
                point.far_target,
                kind,
                cell.part.get("generator"),
                n,
                accepted=both,
                by_verifier=through - both,
                by_detector=taken - both,
                by_both=n - taken - through + both,
            )

    def _costs(self, prefix: str, rates: dict[str, list[Rate]]) -> Iterator[AuditRow]:
        for number, point in enumerate(self.points):
            three = [rates[kind][number] for kind in KINDS]
            again = [rate.again for rate in three if rate.again is not None]
            for name, (weights, _) in A_DCF.items():
                cost = Rate(
                    float(a_dcf_of_rates(*(rate.value for rate in three), weights=weights)),
                    len(self.trials),
                    a_dcf_of_rates(*(rate.fixed for rate in three), weights=weights),
                    a_dcf_of_rates(*again, weights=weights) if len(again) == len(three) else None,
                )
                yield rate_row(prefix + name, cost, self.speakers, point, {}, share=False)

    def score_rows(self) -> Iterator[AuditRow]:
        """Give the numbers without operating point: EER, minimum costs, mean scores."""
        yes, no, fake = (self.sorted[kind] for kind in KINDS)
        both, told = yes.size + no.size, self.replicates
        smaller, units = min(yes.size, no.size), units_of(self.trials, self.rows["target"], self.rows["zero_effort"])
        equal = exact_eer(yes, no, self.grid).eer
        yield value_row("eer", equal, both, self.speakers, told.eer, smaller=smaller, units=units)
        note = f"p_target {DCF['p_target']}, costs {DCF['c_miss']:g} and {DCF['c_fa']:g}"
        weights = DCF["p_target"] * DCF["c_miss"], (1 - DCF["p_target"]) * DCF["c_fa"]
        lowest = least_cost(yes, [no], weights[0], weights[1:], self.grid) / min(weights)
        yield value_row("min_dcf", lowest, both, self.speakers, told.min_dcf, note)
        for name, ((miss, *alarms, constant), costs) in A_DCF.items():
            lowest = least_cost(yes, [no, fake], miss, alarms, self.grid) / constant
            note, again = f"the verifier alone; {costs}", told.min_a_dcf[name]
            yield value_row(f"min_{name}", lowest, len(self.trials), self.speakers, again, note)
        for kind in KINDS:
            for cell in cells(self.trials, kind, self.rows[kind]):
                if set(cell.part) <= {"generator"}:
                    mean, replicates = self._mean(cell.rows, self.trials.score[cell.rows])
                    name = f"mean_score_{kind}"
                    yield value_row(name, mean, cell.rows.size, self.speakers, replicates, **cell.part)

    def _mean(self, rows: Index, values: FloatArray) -> tuple[float, FloatArray]:
        """Give the mean of values of the trials at `rows`, exactly and in each replicate."""
        each = np.bincount(self.speakers.of[rows], minlength=self.speakers.n)
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates = self.speakers.resample(self.speakers.sums(rows, values)) / self.speakers.resample(each)
        return float(np.mean(values)), replicates

    def calibrated_rows(self, dev: AttackTrials | None) -> Iterator[AuditRow]:
        """Give actual cost and Cllr of scores that were calibrated on dev; without dev they have no value.

        Args:
            dev: trials of other speakers, on which the calibration is fitted.
        """
        n = self.rows["target"].size + self.rows["zero_effort"].size
        if dev is None:
            why = "needs log likelihood ratios: give dev trials to calibrate on"
            yield from (AuditRow(name, None, n, note=why) for name in ("act_dcf", "cllr"))
            return
        real = dev.kind != "spoof"
        platt = fit_platt(dev.score[real], (dev.kind == "target")[real])
        llr = {kind: platt.llr(self.trials.score[self.rows[kind]]) for kind in ("target", "zero_effort")}
        step = np.log((1 - DCF["p_target"]) * DCF["c_fa"] / (DCF["p_target"] * DCF["c_miss"]))
        miss = self._mean(self.rows["target"], (llr["target"] <= step).astype(np.float64))[1]
        alarm = self._mean(self.rows["zero_effort"], (llr["zero_effort"] > step).astype(np.float64))[1]
        weights = DCF["p_target"] * DCF["c_miss"], (1 - DCF["p_target"]) * DCF["c_fa"]
        cost = (weights[0] * miss + weights[1] * alarm) / min(weights)
        note = "calibrated on dev"
        actual = act_dcf(llr["target"], llr["zero_effort"], DCF["p_target"], DCF["c_miss"], DCF["c_fa"])
        yield value_row("act_dcf", actual, n, self.speakers, cost, note)
        bits = [
            self._mean(self.rows[kind], np.logaddexp(0.0, sign * llr[kind]) / np.log(2))[1]
            for kind, sign in (("target", -1.0), ("zero_effort", 1.0))
        ]
        yield value_row(
            "cllr", cllr(llr["target"], llr["zero_effort"]), n, self.speakers, (bits[0] + bits[1]) / 2, note
        )

    def asv(self) -> AsvErrors:
        """Give the verifier's error rates at its equal error rate, which the tandem cost needs."""
        yes, no, fake = (self.sorted[kind] for kind in KINDS)
        return asv_errors(yes, no, fake, exact_eer(yes, no, self.grid).threshold)


def speaker_pairs(trials: AttackTrials, rows: Index) -> int | None:
    """Count different pairs of claimed and real speaker, whichever way round; None where one is not known.

    Args:
        trials: of the audit.
        rows: the impostor trials among them.
    """
    if (trials.speaker[rows] == "").any():
        return None
    claimed, speaks = (codes[rows] for codes in trials.shared_codes())
    low, high = np.minimum(claimed, speaks).astype(np.int64), np.maximum(claimed, speaks)
    size = int(high.max()) + 1
    low *= size
    low += high
    if size * size <= _PAIRS:
        seen = np.zeros(size * size, dtype=bool)
        seen[low] = True
        return int(np.count_nonzero(seen))
    low.sort()
    return 1 + int(np.count_nonzero(low[1:] != low[:-1]))
