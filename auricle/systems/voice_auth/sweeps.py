"""How both halves fare when the line gets worse: noise, codecs, short clips, few enrolment utterances."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from auricle.audio import channel, noise
from auricle.audio.level import tile
from auricle.core.report import MetricRow
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips, as_int16
from auricle.metrics.audit import Audit, AuditRow
from auricle.metrics.verification import OperatingPoint
from auricle.report.spared import Spared
from auricle.systems.detections import clip_scores
from auricle.systems.voice_auth.clips import ENROL, ROLE, SPOOF, TARGET, TEST, of_split
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.infer import VoiceLogin
from auricle.systems.voice_auth.rows import RATES, audit_of, clip_eer, metric_rows
from auricle.systems.voice_auth.trials import Model, joined, make_trials, models, thresholds

CLEAN = "clean"
TALKERS = 6  # of the babble
Change = Callable[[np.ndarray, int], np.ndarray]  # a clip (T,) and its place -> the changed clip


def sampled(cfg: VoiceAuthConfig, clips: Clips) -> Clips:
    """Draw the clips of the sweeps among those of the test voices: half genuine, half attacks."""
    roles = clips.values(ROLE)
    chosen = np.zeros(len(clips), bool)
    for role in (TEST, SPOOF):
        draws = rng(cfg.data.seed, "sweep", role)
        chosen[draws.permutation(np.flatnonzero(roles == role))[: cfg.eval.sweep_clips // 2]] = True
    return clips.where(chosen)


def babble(clips: Clips, length: int, draws: np.random.Generator) -> np.ndarray:
    """Mix several genuine clips into babble (length,)."""
    genuine = np.flatnonzero(clips.labels)
    talkers = draws.choice(genuine, min(TALKERS, len(genuine)), replace=False)
    mixed: np.ndarray = np.sum([tile(clips.wave(int(index)), length) for index in talkers], axis=0)
    return mixed


def changes(cfg: VoiceAuthConfig, others: Clips) -> Iterator[tuple[str, Change]]:
    """Give the conditions, by name; what is random in them follows from the clip's place."""
    rate_hz = cfg.data.rate_hz

    def draws(name: str, index: int) -> np.random.Generator:
        return rng(cfg.data.seed, "sweep", name, index)

    def white_at(snr_db: float) -> Change:
        return lambda wave, index: noise.add_noise(wave, noise.white(len(wave), draws("white", index)), snr_db)

    def babble_at(snr_db: float) -> Change:
        return lambda wave, index: noise.add_noise(wave, babble(others, len(wave), draws("babble", index)), snr_db)

    def coded(name: str) -> Change:
        return lambda wave, index: channel.apply(name, wave, rate_hz, draws(name, index))

    def cut(seconds: float) -> Change:
        return lambda wave, index: wave[: round(seconds * rate_hz)]

    yield CLEAN, lambda wave, index: wave
    for snr_db in cfg.eval.snr_db:
        yield f"white noise {snr_db:g} dB", white_at(snr_db)
        yield f"babble {snr_db:g} dB", babble_at(snr_db)
    for name in cfg.eval.codecs:
        yield name, coded(name)
    for seconds in cfg.eval.durations_s:
        yield f"first {seconds:g} s", cut(seconds)


def robustness(
    cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, embedder: Embedder, login: VoiceLogin, spared: Spared
) -> list[MetricRow]:
    """Carry thresholds to other sources, and sweep noise, codecs, durations and enrolment length on the test voices.

    Args:
        cfg: conditions and the number of clips.
        clips: of the run.
        embeddings: of them, (N, D).
        embedder: the verifier.
        login: the trained run, whose thresholds were set on clean speech of other voices.
        spared: what fails costs its own rows.
    """
    rows = spared.rows("the thresholds on other sources", lambda: transfer(cfg, clips, embeddings))
    points = [point for point in login.points if point.usable]
    if not points or not cfg.eval.sweep_clips:
        return rows
    tested = of_split(clips, "test")
    test, others = clips.where(tested), clips.where(~tested)
    made = embeddings[tested]
    enrolled = models(test, made)
    rows += spared.rows(
        "the sweep of conditions", lambda: conditions(cfg, test, others, enrolled, points, embedder, login)
    )
    return [*rows, *spared.rows("the sweep of enrolments", lambda: enrolment(cfg, test, made, points))]


def conditions(
    cfg: VoiceAuthConfig,
    test: Clips,
    others: Clips,
    enrolled: Mapping[str, Model],
    points: Sequence[OperatingPoint],
    embedder: Embedder,
    login: VoiceLogin,
) -> list[MetricRow]:
    """Measure rates (with and without detector) and detector EER in every condition; babble is made of `others`."""
    clean = sampled(cfg, test)
    detector = login.detector
    parts, rows = [], []
    for name, change in changes(cfg, others):
        waves = [as_int16(change(clean.wave(index), index)) for index in range(len(clean))]
        clips = replace(clean, waves=waves, cuts=None)  # no longer what the files hold
        scores = None if detector is None else clip_scores(detector, clips)
        embeddings = embedder.embed([clips.wave(index) for index in range(len(clips))], clips.rate_hz)
        parts.append(make_trials(clips, embeddings, enrolled, detector=scores, condition=name))
        if scores is not None:
            rows.append(clip_eer(cfg, scores, clips, "detector_eer", f"sweep: {name}"))
    threshold = None if detector is None else login.calibration.threshold
    result = audit_of(cfg, joined(parts), points=points, detector_threshold=threshold)
    wanted = (*RATES, "tandem_bypass_rate", "tandem_false_rejection")
    by_condition = [
        row for row in result.rows if row.name in wanted and row.condition and not (row.generator or row.language)
    ]
    return [*metric_rows(by_condition, "sweep: "), *rows]


def enrolment(
    cfg: VoiceAuthConfig, test: Clips, embeddings: np.ndarray, points: Sequence[OperatingPoint]
) -> list[MetricRow]:
    """Measure the verifier with fewer enrolment utterances, at the thresholds that were set with all of them."""
    rows: list[MetricRow] = []
    for count in cfg.eval.enrolments:
        if count < cfg.data.enrol:
            result = audit_of(cfg, make_trials(test, embeddings, models(test, embeddings, count)), points=points)
            rows += metric_rows(overall(result, (*RATES, "eer")), f"sweep: {count} enrolment utterance(s), ")
    return rows


def transfer(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> list[MetricRow]:
    """Set thresholds on the voices of one kind of source and measure the realised FAR on those of another.

    Speakers of the second kind are resampled, with the threshold as it is.
    """
    kinds = source_kinds(clips)
    trials = {kind: make_trials(clips.where(kinds == kind), embeddings[kinds == kind]) for kind in sorted(set(kinds))}
    rows: list[MetricRow] = []
    for here, set_on in trials.items():
        if not (set_on.kind == "zero_effort").any():
            continue
        points = [point for point in thresholds(set_on, cfg.eval.fars) if point.usable]
        for there, measured in trials.items():
            if there != here and points and len(set(measured.target)) > 1:
                result = audit_of(cfg, measured, points=points)
                rows += metric_rows(overall(result, RATES), f"threshold of {here} on {there}, ")
    return rows


def overall(result: Audit, names: Sequence[str]) -> list[AuditRow]:
    """Give the rows of some metrics that are of all generators, languages and conditions."""
    return [row for row in result.rows if row.name in names and not (row.generator or row.language or row.condition)]


def source_kinds(clips: Clips) -> np.ndarray:
    """Name the kind of source of each clip's claimed voice (N,): mp3 (acted game voices) or other (phone prompts)."""
    voices, codings, roles = (clips.values(name) for name in (TARGET, fields.CODING, ROLE))
    kinds = {
        voice: "mp3 sources" if coding == "mp3" else "other sources"
        for voice, coding, role in zip(voices, codings, roles, strict=True)
        if role == ENROL
    }
    return np.array([kinds[voice] for voice in voices])
