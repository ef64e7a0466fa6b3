"""The audit of a voice login: how often cloned speech passes, what that costs true users, and how sure this is.

An audit takes `AttackTrials`: scored trials of true speakers (``target``), of impostors with their own voice
(``zero_effort``) and of cloned speech (``spoof``). It gives an `Audit`, whose rows are `AuditRow` and whose counts of
what verifier and detector refuse are `Decisions`. `auricle.data.protocols.read_trials` reads trials from files.

The threshold of a false-accept target f is the smallest zero-effort score at which at most a share f of the zero-effort
trials passes. Bypass rate (spoofs that pass), false rejection (true speakers refused) and zero-effort FAR all hold at
that threshold: accepted is a score at or above it. Point estimates are exact. Intervals resample claimed speakers, from
counts by speaker (see `auricle.metrics.audit.counts`): once with the threshold as it is, once with the threshold set
again in each replicate on a grid of the observed scores. Ten million trials take seconds.

The modules: `trials` holds the columns, `counts` the bootstrap, `exact` the search for exact error rates, `rows` the
results, `verifier` and `detector` the two halves.
"""

from __future__ import annotations

from collections.abc import Sequence

from auricle.core.errors import ConfigError
from auricle.metrics.audit.detector import Detector
from auricle.metrics.audit.rows import Audit, AuditRow, Decisions, edge_notes
from auricle.metrics.audit.trials import DOMAINS, KINDS, TEXT_COLUMNS, AttackTrials, Column
from auricle.metrics.audit.verifier import Verifier, speaker_pairs
from auricle.metrics.verification import OperatingPoint

__all__ = [
    "DOMAINS",
    "KINDS",
    "TEXT_COLUMNS",
    "AttackTrials",
    "Audit",
    "AuditRow",
    "Column",
    "Decisions",
    "audit",
]


def audit(
    trials: AttackTrials,
    *,
    fars: Sequence[float] = (1e-2, 1e-3, 1e-4),
    replicates: int = 1000,
    seed: int = 0,
    points: Sequence[OperatingPoint] | None = None,
    detector_threshold: float | None = None,
    dev: AttackTrials | None = None,
) -> Audit:
    """Audit a verifier, and the detector beside it if the trials have its scores.

    Rows (`AuditRow.name`): ``bypass_rate``, ``false_rejection``, ``zero_effort_far``, ``a_dcf`` (costs of its authors'
    CostModel) and ``a_dcf_asvspoof5`` (those of ASVspoof 5) at each point, by generator, condition, language and domain
    where the trials have them; ``eer``, ``min_dcf``, ``min_a_dcf``, ``min_a_dcf_asvspoof5``, ``act_dcf``, ``cllr``,
    ``mean_score_target``, ``mean_score_zero_effort``, ``mean_score_spoof``. With a detector: ``detector_eer`` and, by
    domain, its ``generalisation_ratio`` (out over in), ``min_tdcf`` of ASVspoof 2021, and rates and costs again with
    ``tandem_``, for which a trial has to pass both; their intervals hold the detector's threshold as it is.

    Args:
        trials: scored trials of all three kinds.
        fars: false-accept targets. Thresholds are set on the zero-effort trials, those of the domain ``out`` excepted.
        replicates: bootstrap replicates, at least 100.
        seed: seed of the resampling.
        points: thresholds that were set elsewhere, instead of `fars`.
        detector_threshold: the detector accepts at or above it; None for its EER threshold on the trials that are not
            of the domain ``out``.
        dev: trials to calibrate the verifier on for ``act_dcf`` and ``cllr``, which have no value without.

    Returns:
        The audit.

    Raises:
        DataError: a kind of trial is missing; a threshold has nothing to be set on; two detector scores of one clip.
        ConfigError: a target outside (0, 1), too few replicates, or a detector threshold without detector scores.
    """
    verifier = Verifier(trials, fars, points, replicates, seed)
    if trials.detector is None and detector_threshold is not None:
        raise ConfigError("a detector threshold was given, but the trials have no detector scores")
    detector = None if trials.detector is None else Detector(verifier, detector_threshold)
    rows, decisions = verifier.rate_rows(None if detector is None else detector.passed)
    rows += [*verifier.score_rows(), *verifier.calibrated_rows(dev), *(detector.rows() if detector else ())]
    notes = edge_notes(rows)
    if verifier.speakers.n < 2:
        notes.append("one claimed speaker: no intervals over speakers")
    elif verifier.speakers.n < 10:
        notes.append(f"{verifier.speakers.n} claimed speakers: intervals are rough")
    if trials.test is None and trials.detector is not None:
        notes.append("no clip names: the detector counts a clip as often as it has trials")
    return Audit(
        points=verifier.points,
        rows=tuple(rows),
        decisions=tuple(decisions),
        detector_threshold=None if detector is None else detector.threshold,
        n_target=int(verifier.rows["target"].size),
        n_zero_effort=int(verifier.rows["zero_effort"].size),
        n_spoof=int(verifier.rows["spoof"].size),
        n_speakers=verifier.speakers.n,
        n_speaker_pairs=speaker_pairs(trials, verifier.rows["zero_effort"]),
        replicates=len(verifier.speakers.weights),
        notes=tuple(notes),
    )
