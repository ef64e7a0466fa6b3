"""How both halves fare when the line gets worse: noise, codecs, short clips, few enrolment utterances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from auricle.audio import channel, noise
from auricle.audio.level import tile
from auricle.core.report import MetricRow
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips, as_int16
from auricle.metrics.audit import AttackTrials, audit
from auricle.metrics.verification import OperatingPoint, threshold_at_far
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import Detector, clip_scores
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.plan import ENROL, SPOOF, TEST
from auricle.systems.voice_auth.rows import RATES, eer_row, metric_rows
from auricle.systems.voice_auth.trials import Model, joined, make_trials, models

CLEAN = "clean"
TALKERS = 6  # of the babble
Change = Callable[[np.ndarray, int], np.ndarray]  # a clip (T,) and its place -> the changed clip


def chosen(cfg: VoiceAuthConfig, clips: Clips) -> np.ndarray:
    """Pick the clips of the sweeps: half genuine, half attacks, drawn among the test voices; sorted places."""
    roles = clips.values("role")
    picked: list[int] = []
    for role in (TEST, SPOOF):
        places = np.flatnonzero(roles == role)
        draws = rng(cfg.data.seed, "sweep", role)
        picked += draws.permutation(places)[: cfg.eval.sweep_clips // 2].tolist()
    return np.array(sorted(picked), int)


def babble(clips: Clips, length: int, draws: np.random.Generator) -> np.ndarray:
    """Mix several genuine clips into babble (length,)."""
    places = np.flatnonzero(clips.labels)
    talkers = draws.choice(places, min(TALKERS, len(places)), replace=False)
    mixed: np.ndarray = np.sum([tile(clips.wave(int(index)), length) for index in talkers], axis=0)
    return mixed


def changes(cfg: VoiceAuthConfig, others: Clips) -> Iterator[tuple[str, Change]]:
    """Give the conditions, by name; what is random in them follows from the clip's place."""
    rate_hz = cfg.data.rate_hz

    def draws(name: str, place: int) -> np.random.Generator:
        return rng(cfg.data.seed, "sweep", name, place)

    def white_at(snr_db: float) -> Change:
        return lambda wave, place: noise.add_noise(wave, noise.white(len(wave), draws("white", place)), snr_db)

    def babble_at(snr_db: float) -> Change:
        return lambda wave, place: noise.add_noise(wave, babble(others, len(wave), draws("babble", place)), snr_db)

    def coded(name: str) -> Change:
        return lambda wave, place: channel.apply(name, wave, rate_hz, draws(name, place))

    def cut(seconds: float) -> Change:
        return lambda wave, place: wave[: round(seconds * rate_hz)]

    yield CLEAN, lambda wave, place: wave
    for snr_db in cfg.eval.snr_db:
        yield f"white noise {snr_db:g} dB", white_at(snr_db)
        yield f"babble {snr_db:g} dB", babble_at(snr_db)
    for name in cfg.eval.codecs:
        yield name, coded(name)
    for seconds in cfg.eval.durations_s:
        yield f"first {seconds:g} s", cut(seconds)


def sweep(
    cfg: VoiceAuthConfig,
    test: Clips,
    others: Clips,
    enrolled: dict[str, Model],
    points: list[OperatingPoint],
    embedder: Embedder,
    detector: Detector | None,
    threshold: float,
) -> list[MetricRow]:
    """Measure every condition at thresholds that were set on clean speech of other voices.

    Args:
        cfg: conditions and the number of clips.
        test: clips of the test voices.
        others: clips of other voices, for the babble.
        enrolled: models of the test voices.
        points: thresholds of the verifier.
        embedder: the verifier.
        detector: the detector; None leaves it out.
        threshold: its threshold.

    Returns:
        False rejection, zero-effort FAR, bypass rate (with and without detector) and detector EER by condition.
    """
    some = chosen(cfg, test)
    base = test.where(np.isin(np.arange(len(test)), some))
    parts: list[AttackTrials] = []
    rows: list[MetricRow] = []
    for name, change in changes(cfg, others):
        waves = [as_int16(change(base.wave(index), index)) for index in range(len(base))]
        heard = replace(base, waves=waves)
        scores = None if detector is None else clip_scores(detector, heard)
        made = embedder.embed([heard.wave(index) for index in range(len(heard))], heard.rate_hz)
        parts.append(make_trials(heard, made, enrolled, detector=scores, condition=name))
        if scores is not None:
            rows.append(
                eer_row(scores, heard, f"sweep: {name}", "detector_eer", cfg.data.source, cfg.seed, cfg.eval.bootstrap)
            )
    trials = joined(parts)
    found = audit(
        trials,
        points=points,
        replicates=cfg.eval.bootstrap,
        seed=cfg.seed,
        detector_threshold=None if detector is None else threshold,
    )
    wanted = (*RATES, "tandem_bypass_rate", "tandem_false_rejection")
    own = [r for r in found.rows if r.name in wanted and r.condition and not r.generator and not r.language]
    return [*metric_rows(own, cfg.data.source, "sweep: "), *rows]


def enrolment(
    cfg: VoiceAuthConfig, test: Clips, embeddings: np.ndarray, points: list[OperatingPoint]
) -> list[MetricRow]:
    """Measure the verifier with fewer enrolment utterances, at the thresholds that were set with all of them."""
    rows: list[MetricRow] = []
    for count in cfg.eval.enrolments:
        if count >= cfg.data.enrol:
            continue
        trials = make_trials(test, embeddings, models(test, embeddings, count))
        found = audit(trials, points=points, replicates=cfg.eval.bootstrap, seed=cfg.seed)
        own = [r for r in found.rows if r.name in (*RATES, "eer") and not (r.generator or r.language or r.condition)]
        rows += metric_rows(own, cfg.data.source, f"sweep: {count} enrolment utterance(s), ")
    return rows


def transfer(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> list[MetricRow]:
    """Set thresholds on the voices of one kind of source and measure the realised FAR on those of another.

    Speakers of the second kind are resampled, with the threshold as it is.
    """
    kinds = source_kinds(clips)
    names = sorted(set(kinds))
    rows: list[MetricRow] = []
    for first in names:
        for second in names:
            if first == second:
                continue
            here, there = clips.where(kinds == first), clips.where(kinds == second)
            base = make_trials(here, embeddings[kinds == first], models(here, embeddings[kinds == first]))
            points = _points(base, cfg.eval.fars)
            other = make_trials(there, embeddings[kinds == second], models(there, embeddings[kinds == second]))
            if not points or len(set(other.target)) < 2:
                continue
            found = audit(other, points=points, replicates=cfg.eval.bootstrap, seed=cfg.seed)
            own = [r for r in found.rows if r.name in RATES and not (r.generator or r.language or r.condition)]
            rows += metric_rows(own, cfg.data.source, f"threshold of {first} on {second}, ")
    return rows


def source_kinds(clips: Clips) -> np.ndarray:
    """Name the kind of source of each clip's claimed voice (N,): mp3 (acted game voices) or other (phone prompts)."""
    codings = clips.values(fields.CODING)
    enrolled = clips.values("role") == ENROL
    kinds = {
        voice: "mp3 sources" if coding == "mp3" else "other sources"
        for voice, coding in zip(clips.values("target")[enrolled], codings[enrolled], strict=True)
    }
    return np.array([kinds[voice] for voice in clips.values("target")])


def _points(trials: AttackTrials, fars: tuple[float, ...]) -> list[OperatingPoint]:
    impostors = trials.score[trials.kind == "zero_effort"]
    points = [threshold_at_far(impostors, far) for far in fars] if len(impostors) else []
    return [point for point in points if point.usable]
