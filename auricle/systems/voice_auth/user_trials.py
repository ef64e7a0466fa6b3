"""A user's own trials: real and fake clips from a CSV list, through a run's verifier and detector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from auricle.core.errors import ConfigError, DataError
from auricle.core.request import Request
from auricle.data.protocols import located, read_attack_trials, scored_trials
from auricle.metrics.audit import AttackTrials
from auricle.metrics.verification import enrol
from auricle.systems.batching import Decoded, score_files
from auricle.systems.voice_auth.infer import LONGEST_S, VoiceLogin

SHOWN = 20  # refused files that a message names


def score_trials(login: VoiceLogin, path: str | Path) -> AttackTrials:
    """Score a list of attack trials; every clip is read once, however many trials it stands in.

    Args:
        login: a trained run.
        path: the CSV of `auricle.data.protocols.attack_trials`; its paths start at the folder it lies in.

    Returns:
        The trials with the verifier's cosines and, where the run has a detector that can hear, its scores.

    Raises:
        DataError: what `read_attack_trials` refuses, or files that are no usable audio, each with its reason.
        ConfigError: the run normalises scores by a cohort (``verifier.as_norm``), which a list does not bring.
    """
    if login.cfg.verifier.as_norm:
        raise ConfigError(
            "verifier.as_norm needs a cohort, which a list of trials does not bring; use a run with verifier.as_norm=0"
        )
    trials = read_attack_trials(path, Path(path).parent)
    files = _scored_files(login, dict.fromkeys(name for trial in trials for name in (trial.test, *trial.enrol)), path)
    models = {trial.enrol: enrol(np.stack([files[name][0] for name in trial.enrol])) for trial in trials}
    cosines = [float(files[trial.test][0] @ models[trial.enrol]) for trial in trials]
    if login.detector is None:
        return scored_trials(trials, cosines)
    return scored_trials(trials, cosines, [files[trial.test][1] for trial in trials])


def _scored_files(login: VoiceLogin, names: Iterable[str], path: str | Path) -> dict[str, tuple[np.ndarray, float]]:
    """Give the embedding and the detector's score of every file; NaN for a score where there is no detector.

    Raises:
        DataError: files that are refused; a trial without a score would otherwise be dropped in silence.
    """
    root = Path(path).parent
    files = {name: located(name, root) or root / name for name in names}
    verifier, detector = login.verifier, login.detector

    def score(clips: Sequence[Decoded]) -> list[tuple[np.ndarray, float]]:
        waves, rates_hz = [clip.wave for clip in clips], [clip.rate_hz for clip in clips]
        scores = [np.nan] * len(clips) if detector is None else detector.scores(waves, rates_hz)
        return list(zip(verifier.embed(waves, rates_hz), map(float, scores), strict=True))

    results: dict[str, tuple[np.ndarray, float]] = {}
    refused = []
    requests = (Request(audio=file) for file in files.values())
    for name, (clip, result) in zip(files, score_files(score, requests, longest_s=LONGEST_S), strict=True):
        if result is None:
            refused.append(f"{name}: {clip.error}")
        else:
            results[name] = result
    if refused:
        more = f"\nand {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise DataError(
            f"{path}: {len(refused)} of {len(files)} files cannot be used; mend them or take their trials out:\n"
            + "\n".join(refused[:SHOWN])
            + more
        )
    return results
