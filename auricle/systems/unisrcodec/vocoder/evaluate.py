"""A trained vocoder measured beside Griffin-Lim on recordings of sources that it never heard."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from auricle.audio.vocoder_mel import GriffinLimVocoder, MelContract, VocoderMel
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.metrics.rows import mean_row
from auricle.report.evaluation import Evaluation
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.measures import by_kind, by_metric, sound, wave_measures
from auricle.systems.unisrcodec.peers import OURS
from auricle.systems.unisrcodec.vocoder.config import VocoderConfig
from auricle.systems.unisrcodec.vocoder.load import load
from auricle.systems.unisrcodec.vocoder.train import Pair, load_pairs

GRIFFIN_LIM = "griffin_lim"
DISTANCES = ("mel_distance_44", "mel_distance_16")
WARNINGS = (
    "a vocoder trained in minutes on minutes of audio, without a discriminator: one run of one seed",
    "training minimises a distance of the same form as mel_distance and Griffin-Lim does not: a gain here is no proof "
    "of a better sound",
    "gain_over_griffin_lim is Griffin-Lim's distance less the vocoder's, its interval over files",
    "tone_kept is the share of a sine's energy that stays within 10 Hz, over twelve sines: the vocoder gives every "
    "frame its phases apart and draws steady tones to multiples of the frame rate, which mel distances hardly see",
)
SINES_HZ = np.geomspace(110, 3520, 12)


@dataclass(frozen=True)
class Vocoded:
    """One mel as every vocoder makes sound of it.

    Attributes:
        pair: the mel and its wave.
        values: metric -> vocoder -> number; the trained one is `OURS`.
        seconds: vocoder -> seconds taken.
    """

    pair: Pair
    values: dict[str, dict[str, float]]
    seconds: dict[str, float]


def evaluate(cfg: VocoderConfig, run: RunFolder, coder: Coder | None = None) -> Evaluation:
    """Measure a trained vocoder beside Griffin-Lim, on what a codec decodes too where one is given.

    Returns:
        Mel distances by kind and over all, gains, speeds, and what is kept of steady tones.
    """
    vocoder, contract = load(run.path)
    vocoders: dict[str, nn.Module] = {OURS: vocoder, GRIFFIN_LIM: GriffinLimVocoder(contract, cfg.eval.griffin_lim)}
    pairs = load_pairs(cfg, run, coder, "test", cfg.eval.seconds)
    vocode(vocoders, pairs[0])  # the first call of each is slow and not to be timed
    vocoded = [vocode(vocoders, pair) for pair in pairs]
    rows = {name: list(group_rows(cfg, name, part)) for name, part in groups(vocoded)}
    return Evaluation(
        [*(row for part in rows.values() for row in part), *tone_rows(vocoders)],
        cfg.data.source,
        warnings=WARNINGS,
        details=[name for name in rows if not name.endswith("all")],
        toy=True,
        extra={
            "griffin_lim": cfg.eval.griffin_lim,
            "weights": sum(parameter.numel() for parameter in vocoder.parameters()),
        },
    )


def vocode(vocoders: Mapping[str, nn.Module], pair: Pair) -> Vocoded:
    """Make sound of one mel with each vocoder, and measure."""
    real = pair.recording.wave
    values, seconds = {}, {}
    for name, vocoder in vocoders.items():
        started = time.perf_counter()
        made = sound(vocoder, pair.mel, len(real))
        seconds[name] = time.perf_counter() - started
        values[name] = wave_measures(made, real, MelContract().rate_hz)
    return Vocoded(pair, by_metric(values), seconds)


@torch.no_grad()
def tone_kept(vocoder: nn.Module, tone_hz: float) -> float:
    """Give the percentage of the energy of what a vocoder makes of a sine that lies within 10 Hz of it."""
    mel = VocoderMel()
    rate, hop = mel.contract.rate_hz, mel.hop
    wave = 0.2 * torch.sin(2 * torch.pi * tone_hz * torch.arange(160 * hop) / rate)
    made = vocoder(mel(wave[None]))[0, 32 * hop : 128 * hop]  # away from the ends
    power = torch.fft.rfft(made * torch.hann_window(len(made))).abs().square()
    near = (torch.arange(len(power)) * rate / len(made) - tone_hz).abs() <= 10
    return 100 * float(power[near].sum() / power.sum())


def tone_rows(vocoders: Mapping[str, nn.Module]) -> Iterator[MetricRow]:
    """Give `tone_kept` of each vocoder over `SINES_HZ`."""
    for name, vocoder in vocoders.items():
        kept = [tone_kept(vocoder, float(tone_hz)) for tone_hz in SINES_HZ]
        yield MetricRow(name="tone_kept", value=float(np.mean(kept)), unit="%", n=len(kept), baseline=name or None)


def groups(vocoded: Sequence[Vocoded]) -> Iterator[tuple[str, list[Vocoded]]]:
    """Give the kinds and all, of real mels and of decoded ones."""
    for origin in dict.fromkeys(item.pair.origin for item in vocoded):
        of_origin = [item for item in vocoded if item.pair.origin == origin]
        for kind, items in by_kind(of_origin, lambda item: item.pair.recording.kind):
            yield origin + kind, items


def group_rows(cfg: VocoderConfig, group: str, vocoded: Sequence[Vocoded]) -> Iterator[MetricRow]:
    """Give distances, the gain over Griffin-Lim file by file, and speeds of one group."""

    def mean(name: str, values: Sequence[float], baseline: str | None = None) -> MetricRow:
        return mean_row(name, values, group=group, baseline=baseline, replicates=cfg.eval.bootstrap, seed=cfg.seed)

    for name in DISTANCES:
        for vocoder in vocoded[0].seconds:
            yield mean(name, [item.values[name][vocoder] for item in vocoded], vocoder or None)
        gains = [item.values[name][GRIFFIN_LIM] - item.values[name][OURS] for item in vocoded]
        yield mean(f"gain_over_griffin_lim_{name.removeprefix('mel_distance_')}", gains)
    audio_s = sum(len(item.pair.recording.wave) for item in vocoded) / MelContract().rate_hz
    for vocoder in vocoded[0].seconds:
        speed = audio_s / sum(item.seconds[vocoder] for item in vocoded)
        yield MetricRow(
            name="speed", value=speed, unit="x real time", n=len(vocoded), group=group, baseline=vocoder or None
        )
