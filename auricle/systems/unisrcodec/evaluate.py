"""`evaluate`: rates, distances and use of the codebook by kind, with the ceiling, PCA + VQ and other codecs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from auricle.audio.distance import mel_distance, stft_distance
from auricle.audio.resample import resample
from auricle.core.files import write_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder, environment
from auricle.core.seed import derive
from auricle.metrics.bootstrap import mean_bootstrap
from auricle.metrics.codes import code_use
from auricle.metrics.waveform import si_sdr
from auricle.systems.unisrcodec import page, probes
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import Recording, load, log_mel
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.infer import load as load_coder
from auricle.systems.unisrcodec.peers import CEILING, OPUS, PCA, Peer, load_peers
from auricle.systems.unisrcodec.reference import PcaVq, opus_bits_per_s, opus_lowest
from auricle.systems.unisrcodec.speech import KIND as SPEECH
from auricle.systems.unisrcodec.speech import SpeechMeasures

NARROW_HZ = 16_000
FULL_BAND = "full band"
DB = ("si_sdr",)
TOY = "a codec trained in minutes on minutes of audio: it shows the machinery and the honest accounts, not the paper"
PHASE = "si_sdr is near its floor for the codec and the ceiling alike: a mel has no phase, and the vocoder invents one"


@dataclass(frozen=True)
class Heard:
    """One recording and what became of it.

    Attributes:
        recording: the original.
        tokens: (T', F') of the codec.
        values: measure -> whose -> number; whose is "" for the codec.
        waves: whose -> samples (T,).
        bits: peer -> bits of this recording, of those that say.
    """

    recording: Recording
    tokens: np.ndarray
    values: dict[str, dict[str, float]]
    waves: dict[str, np.ndarray]
    bits: dict[str, int] = field(default_factory=dict)


def evaluate(cfg: CodecConfig, run: RunFolder) -> Report:
    """Measure a run on recordings of sources that it never heard; write ``scores/``, ``report.json`` and the page.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The report, by kind, over all, and over those that pass the bandwidth screen.
    """
    coder = load_coder(run.path)
    clips = load(cfg, run, "test", seconds=cfg.eval.seconds)
    peers = load_peers(cfg.eval.peers, [clip.name for clip in clips])
    heard_before = load(cfg, run, "train")
    training = [log_mel(coder.codec.mel, clip.wave, coder.codec.step) for clip in heard_before]
    reference = PcaVq(
        training, coder.codec.step, coder.codec.quantizer.n_codes, cfg.eval.pca_dims, derive(cfg.seed, "pca")
    )
    speech = SpeechMeasures(cfg.eval.visqol_files)
    heard = [hear(coder, reference, clip, peers, speech) for clip in clips]
    rows = [row for name, part in groups(heard, cfg) for row in group_rows(cfg, coder, name, part)]
    known = [probes.embed(coder.codec, reference, clip, mel) for clip, mel in zip(heard_before, training, strict=True)]
    asked = probes.tasks(cfg.data.source, cfg.seed, known, embed_test(cfg, run, coder, reference))
    rows += [row for task in asked for row in probes.rows(task, cfg.data.source, cfg.seed, cfg.eval.bootstrap)]
    warnings = [*([TOY] if coder.preset != "paper" else []), PHASE, *screen_note(heard, cfg)]
    report = Report(
        system="unisrcodec",
        preset=coder.preset,
        data=cfg.data.source,
        toy=coder.preset != "paper",
        seeds=[cfg.seed],
        environment=environment(),
        metrics=rows,
        warnings=[*warnings, *speech.notes(), *peer_notes(heard), *probes.notes(asked)],
        extra={"verdict": verdicts(rows), "vocoder": cfg.eval.vocoder or "griffin_lim"},
    )
    write_jsonl(run.scores / "test.jsonl", [score_row(one) for one in heard])
    report.save(run.path / "report.json")
    page.write(run, cfg, report, heard)
    return report


def embed_test(cfg: CodecConfig, run: RunFolder, coder: Coder, reference: PcaVq) -> list[probes.Embedded]:
    """Embed all test recordings, also those beyond the seconds that are listened to."""
    codec = coder.codec
    return [
        probes.embed(codec, reference, clip, log_mel(codec.mel, clip.wave, codec.step))
        for clip in load(cfg, run, "test")
    ]


@torch.no_grad()
def hear(
    coder: Coder,
    reference: PcaVq,
    clip: Recording,
    peers: Sequence[Peer] = (),
    speech: SpeechMeasures | None = None,
) -> Heard:
    """Code one recording each way and measure."""
    codec = coder.codec
    mel = log_mel(codec.mel, clip.wave, codec.step)
    indices = codec.encode(mel[None])
    mels = {"": codec.decode(indices)[0], PCA: reference.rebuild(mel)}
    waves = {whose: _sound(coder, made, clip) for whose, made in {**mels, CEILING: mel}.items()}
    waves[OPUS] = opus_lowest(clip.wave, codec.contract.rate_hz)
    bits: dict[str, int] = {}
    for peer in peers:
        waves[peer.name], count = peer.code(clip, codec.contract.rate_hz)
        if count is not None:
            bits[peer.name] = count
    values: dict[str, dict[str, float]] = {}
    for whose, made in mels.items():
        for name, value in picture_measures(made, mel).items():
            values.setdefault(name, {})[whose] = value
    for whose, wave in waves.items():
        for name, value in wave_measures(wave, clip.wave, codec.contract.rate_hz).items():
            values.setdefault(name, {})[whose] = value
    if speech is not None:
        values |= speech(clip, waves, codec.contract.rate_hz)
    return Heard(clip, indices[0].numpy(), values, waves, bits)


def _sound(coder: Coder, mel: Tensor, clip: Recording) -> np.ndarray:
    wave: np.ndarray = coder.vocoder(mel[None])[0].numpy()
    return wave[: len(clip.wave)].astype(np.float32)


def picture_measures(made: Tensor, real: Tensor) -> dict[str, float]:
    """Compare two log-mels (T, n_mels): L1 of all, lower and upper bands, and how much fine structure is left."""
    gap = (made - real).abs()
    middle = real.shape[1] // 2
    fine = float(real.diff(dim=1).abs().mean())
    return {
        "mel_l1": float(gap.mean()),
        "mel_l1_low": float(gap[:, :middle].mean()),
        "mel_l1_high": float(gap[:, middle:].mean()),
        "sharpness": float(made.diff(dim=1).abs().mean()) / max(fine, 1e-6),
    }


def wave_measures(made: np.ndarray, real: np.ndarray, rate_hz: int) -> dict[str, float]:
    """Compare two waves (T,) at 44.1 and at 16 kHz."""
    small, small_real = (resample(wave, rate_hz, NARROW_HZ) for wave in (made, real))
    return {
        "mel_distance_44": mel_distance(made, real, rate_hz),
        "mel_distance_16": mel_distance(small, small_real, NARROW_HZ),
        "stft_distance_44": stft_distance(made, real),
        "stft_distance_16": stft_distance(small, small_real),
        "si_sdr": si_sdr(made, real),
    }


def groups(heard: Sequence[Heard], cfg: CodecConfig) -> Iterator[tuple[str, list[Heard]]]:
    """Give the kinds, everything, and what passes the bandwidth screen."""
    for kind in dict.fromkeys(one.recording.kind for one in heard):
        yield kind, [one for one in heard if one.recording.kind == kind]
    yield "all", list(heard)
    full = [one for one in heard if one.recording.band_hz >= cfg.data.band_hz]
    if full:
        yield FULL_BAND, full


def screen_note(heard: Sequence[Heard], cfg: CodecConfig) -> list[str]:
    """Say how many test recordings are full band."""
    full = sum(one.recording.band_hz >= cfg.data.band_hz for one in heard)
    return [
        f"{full} of {len(heard)} test recordings reach {cfg.data.band_hz / 1000:g} kHz within 60 dB of their strongest "
        f"band; only the group '{FULL_BAND}' says anything about full band"
    ]


def peer_notes(heard: Sequence[Heard]) -> list[str]:
    """Say what is not known of the peers."""
    own = {"", CEILING, PCA, OPUS}
    return [
        f"the rate of {name} is not known: only its decoded files were given"
        for name in heard[0].waves
        if name not in own | set(heard[0].bits)
    ]


def group_rows(cfg: CodecConfig, coder: Coder, group: str, heard: Sequence[Heard]) -> Iterator[MetricRow]:
    """Give all rows of one group."""
    common = {"group": group, "data": cfg.data.source}
    for name in dict.fromkeys(name for one in heard for name in one.values):
        # what is measured on some recordings alone stands with the kind they are of
        judged = [one.values[name] for one in heard if name in one.values]
        if len(judged) < len(heard) and group != SPEECH:
            continue
        for whose in judged[0]:
            values = [one[whose] for one in judged]
            yield MetricRow(
                name=name, value=float(np.mean(values)), unit="dB" if name in DB else "", n=len(values),
                ci95=mean_bootstrap(values, cfg.eval.bootstrap, seed=cfg.seed), baseline=whose or None, **common,
            )  # fmt: skip
    gains = [one.values["mel_l1"][PCA] - one.values["mel_l1"][""] for one in heard]
    yield MetricRow(
        name="mel_l1_gain_over_pca_vq", value=float(np.mean(gains)), n=len(gains),
        ci95=mean_bootstrap(gains, cfg.eval.bootstrap, seed=cfg.seed), **common,
    )  # fmt: skip
    use = code_use(np.concatenate([one.tokens.ravel() for one in heard]), coder.codec.quantizer.n_codes)
    for name, value, unit in (
        ("codes_used", use.used, ""), ("codes_used_of_possible", 100 * use.share, "%"),
        ("perplexity", use.perplexity, ""),
    ):  # fmt: skip
        yield MetricRow(name=name, value=float(value), unit=unit, n=use.tokens, **common)
    for name, value, unit in rates(coder):
        yield MetricRow(name=name, value=value, unit=unit, n=len(heard), **common)
    rate_hz = coder.codec.contract.rate_hz
    seconds = sum(len(one.recording.wave) for one in heard) / rate_hz
    others = {OPUS: opus_bits_per_s([one.recording.wave for one in heard], rate_hz)}
    others |= {name: sum(one.bits[name] for one in heard) / seconds for name in heard[0].bits}
    for whose, rate in others.items():
        yield MetricRow(
            name="kbit_per_s", value=rate / 1000, unit="kbit/s", n=len(heard), baseline=whose, **common
        )  # fmt: skip


def rates(coder: Coder) -> list[tuple[str, float, str]]:
    """Give the codec's rates: of a one-second clip as papers count it, as it is coded here, and in the long run.

    The papers' count takes whole frames of one second and then the nearest whole columns; here the last column is
    filled up, so a second never has fewer.
    """
    codec = coder.codec
    contract = codec.contract
    each = codec.rows * codec.quantizer.stages
    quoted = each * round(contract.rate_hz // contract.hop / codec.step)
    clip = each * -(-contract.rate_hz // codec.column)
    long_run = each * contract.rate_hz / codec.column
    return [
        ("tokens_of_1s_clip_as_quoted", float(quoted), ""),
        ("tokens_of_1s_clip", float(clip), ""),
        ("tokens_per_s", long_run, "1/s"),
        ("kbit_per_s", long_run * codec.bits / 1000, "kbit/s"),
        ("kbit_of_1s_clip_as_quoted", quoted * codec.bits / 1000, "kbit"),
    ]


def verdicts(rows: Sequence[MetricRow]) -> list[str]:
    """Say in plain words how the codec stands against PCA + VQ and Opus over all recordings."""
    own = {(row.name, row.baseline): row for row in rows if row.group == "all"}
    gain = own["mel_l1_gain_over_pca_vq", None]
    better = gain.ci95 is not None and gain.ci95[0] > 0
    worse = gain.ci95 is not None and gain.ci95[1] < 0
    how = "better than" if better else "worse than" if worse else "not told apart from"
    bounds = "" if gain.ci95 is None else f" (95 % interval over files {gain.ci95[0]:.3f} to {gain.ci95[1]:.3f})"
    ours, theirs = own["kbit_per_s", None].value or 0, own["kbit_per_s", OPUS].value or 0
    return [
        f"In log-mel L1 the codec is {how} PCA + VQ at the same rate: PCA + VQ's less its own is "
        f"{gain.value or 0:.3f}{bounds}.",
        f"The codec takes {ours:.2f} kbit/s in the long run; Opus at its lowest takes {theirs:.1f}, "
        f"{theirs / ours:.0f} times as much.",
    ]


def score_row(one: Heard) -> dict[str, object]:
    """Give one recording's numbers for ``scores/test.jsonl``."""
    return {
        "id": one.recording.name, "kind": one.recording.kind, "bandwidth_hz": one.recording.band_hz,
        "tokens": int(one.tokens.size), "values": one.values,
    }  # fmt: skip


def pool_runs(folders: Sequence[Path]) -> Report:
    """Pool finished runs over seeds and splits.

    Raises:
        DataError: a folder without a report.
    """
    return pool([Report.load(folder / "report.json") for folder in folders])
