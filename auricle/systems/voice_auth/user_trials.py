"""A user's own trials: real and fake clips from a CSV list, through a run's verifier and detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from auricle.core.errors import ConfigError, DataError
from auricle.core.request import Request
from auricle.data.protocols import located, read_attack_trials, scored_trials
from auricle.metrics.audit import AttackTrials
from auricle.metrics.verification import enrol
from auricle.systems.batching import Decoded, score_files
from auricle.systems.voice_auth.infer import LONGEST_S, VoiceLogin

T = TypeVar("T")
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
    verifier, detector = login.verifier, login.detector
    embeddings = _of_files(
        lambda waves, rates: list(verifier.embed(waves, rates)),
        (name for trial in trials for name in (trial.test, *trial.enrol)),
        path,
    )
    models = {trial.enrol: enrol(np.stack([embeddings[name] for name in trial.enrol])) for trial in trials}
    cosines = [float(embeddings[trial.test] @ models[trial.enrol]) for trial in trials]
    if detector is None:
        return scored_trials(trials, cosines)
    scores = _of_files(detector.scores, (trial.test for trial in trials), path)
    return scored_trials(trials, cosines, [float(scores[trial.test]) for trial in trials])


def _of_files(
    score: Callable[[list[np.ndarray], list[int]], Sequence[T]], names: Iterable[str], path: str | Path
) -> dict[str, T]:
    """Score every file that is named once.

    Raises:
        DataError: files that are refused; a trial without a score would otherwise be dropped in silence.
    """
    root = Path(path).parent
    files = {name: located(name, root) or root / name for name in dict.fromkeys(names)}

    def batch(clips: Sequence[Decoded]) -> Sequence[T]:
        return score([clip.wave for clip in clips], [clip.rate_hz for clip in clips])

    results: dict[str, T] = {}
    refused = []
    requests = (Request(audio=file) for file in files.values())
    for name, (clip, value) in zip(files, score_files(batch, requests, longest_s=LONGEST_S), strict=True):
        if value is None:
            refused.append(f"{name}: {clip.error}")
        else:
            results[name] = value
    if refused:
        more = f"\nand {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise DataError(
            f"{path}: {len(refused)} of {len(files)} files cannot be used; mend them or take their trials out:\n"
            + "\n".join(refused[:SHOWN])
            + more
        )
    return results
