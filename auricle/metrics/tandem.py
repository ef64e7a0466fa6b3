"""Tandem detection cost: a spoof detector (CM) in front of a speaker verifier (ASV), as ASVspoof 2019 and 2021 do."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.detection import det_curve, eer
from auricle.metrics.trials import check_scores

# priors and costs of both challenges
PI_SPOOF = 0.05
PI_TARGET = 0.95 * 0.99
PI_NONTARGET = 0.95 * 0.01
C_MISS = 1.0
C_FA = 10.0
C_FA_SPOOF = 10.0


class AsvErrors(NamedTuple):
    """Error rates of the verifier at its own threshold."""

    miss: float
    false_alarm: float
    spoof_false_alarm: float


def asv_errors(
    target: npt.ArrayLike, nontarget: npt.ArrayLike, spoof: npt.ArrayLike, threshold: float | None = None
) -> AsvErrors:
    """Measure the verifier's error rates; a trial is accepted when its score is at or above the threshold.

    Args:
        target: verifier scores of target trials.
        nontarget: verifier scores of zero-effort impostors.
        spoof: verifier scores of spoofed trials.
        threshold: accept at or above this score; None for the EER threshold of target against nontarget.

    Raises:
        DataError: an empty set, or NaN or Inf among the scores.
    """
    yes, no = check_scores(target, "target"), check_scores(nontarget, "nontarget")
    fake = check_scores(spoof, "spoof")
    at = eer(yes, no).threshold if threshold is None else threshold
    return AsvErrors(float(np.mean(yes < at)), float(np.mean(no >= at)), float(np.mean(fake >= at)))


def min_tdcf(
    bonafide: npt.ArrayLike, spoof: npt.ArrayLike, asv: AsvErrors, version: Literal[2019, 2021] = 2021
) -> float:
    """Measure the smallest normalised tandem cost over all thresholds of the spoof detector.

    2021: min (C0 + C1 Pmiss + C2 Pfa) / (C0 + min(C1, C2)) with C0 = pi_tar Cmiss Pmiss_asv + pi_non Cfa Pfa_asv,
    C1 = pi_tar Cmiss - C0, C2 = pi_spoof Cfa_spoof Pfa_spoof_asv. 2019: min (C1 Pmiss + C2 Pfa) / min(C1, C2) with
    C1 = pi_tar (1 - Pmiss_asv) - 10 pi_non Pfa_asv, C2 = 10 pi_spoof Pfa_spoof_asv. Source: Kinnunen et al.,
    IEEE/ACM TASLP 28 (2020), and the scorers of both challenges.

    Args:
        bonafide: detector scores of bona fide trials, shape (N,).
        spoof: detector scores of spoof trials, shape (M,).
        asv: the verifier's error rates.
        version: whose definition.

    Returns:
        The cost; 1 is the better constant answer of the detector.

    Raises:
        DataError: an empty class, NaN or Inf among the scores, or a verifier so poor that the cost is undefined.
        ConfigError: another version.
    """
    if version not in (2019, 2021):
        raise ConfigError(f"the tandem cost is defined for 2019 and 2021, not for {version}")
    base = PI_TARGET * C_MISS * asv.miss + PI_NONTARGET * C_FA * asv.false_alarm
    c1 = PI_TARGET * C_MISS - base
    c2 = PI_SPOOF * C_FA_SPOOF * asv.spoof_false_alarm
    c0 = base if version == 2021 else 0.0
    if c1 < 0 or c0 + min(c1, c2) <= 0:
        raise DataError(
            f"the tandem cost is undefined for this verifier: miss {asv.miss:.3f}, false alarm "
            f"{asv.false_alarm:.3f}, spoof false alarm {asv.spoof_false_alarm:.3f} give C1 = {c1:.4f}, C2 = {c2:.4f}"
        )
    frr, far, _ = det_curve(bonafide, spoof)
    return float(np.min(c0 + c1 * frr + c2 * far) / (c0 + min(c1, c2)))
