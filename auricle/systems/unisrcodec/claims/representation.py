"""Claims 1 and 9: mel pictures against samples, and how much of the loss is the codec's and not the vocoder's."""

from __future__ import annotations

from typing import Any

from auricle.claims.claim import Cell, Claim, Measured, Settings, Verdict
from auricle.claims.statistics import over_seeds, paired_over_seeds_and_units
from auricle.claims.verdict import compare, verdict
from auricle.systems.unisrcodec.claims.arms import (
    BASE,
    HEARD,
    SMALL,
    CodecArm,
    ceiling,
    mean_part,
    wave_about,
    wave_codec_metrics,
    wave_metrics,
)

VARIANTS = {"low": "B", "high": "L"}  # rate -> variant


def _mel_codec(rate: str) -> CodecArm:
    return BASE if rate == "low" else CodecArm((f"model.variant={VARIANTS[rate]}",))


def _c1_run(cell: Cell) -> dict[str, Any]:
    """Train one codec and measure its sound."""
    side, rate = cell.arm.split("_")
    if side == "wave":
        return wave_codec_metrics(cell, VARIANTS[rate])
    limit = ceiling(cell)
    metrics = wave_metrics(cell, _mel_codec(rate))
    return {**metrics, "limit_44": limit["mel_44"], "silence_44": limit["silence_44"]}


def _c1_settings(cell: Cell) -> Settings:
    side, rate = cell.arm.split("_")
    return wave_about(cell, VARIANTS[rate]) if side == "wave" else _mel_codec(rate).about(cell)


def _c1_decide(measured: Measured) -> Verdict:
    parts, gaps = [], {}
    for rate in VARIANTS:
        mel, wave = f"mel_{rate}", f"wave_{rate}"
        full, narrow = (
            paired_over_seeds_and_units(measured.each(mel, name), measured.each(wave, name))
            for name in ("files_44", "files_16")
        )
        gaps[rate] = full
        parts += [
            compare(f"mel distance at 44.1 kHz, mel less waveform codec, {rate} rate", full, below=0.0),
            compare(f"mel distance at 16 kHz, mel less waveform codec, {rate} rate", narrow),
            mean_part(f"seconds of training, mel, {rate} rate", measured, mel, "train_s"),
            mean_part(f"seconds of training, wave, {rate} rate", measured, wave, "train_s"),
        ]
    limit = "mel distance at 44.1 kHz of the recordings' own mels through Griffin-Lim"
    parts.append(mean_part(limit, measured, "mel_low", "limit_44"))
    parts.append(mean_part("mel distance at 44.1 kHz of silence", measured, "mel_low", "silence_44"))
    return verdict(gaps["low"], parts)


C1 = Claim(
    id="1",
    statement="A codec on mel pictures beats a codec on samples at equal tokens a second and equal parameters.",
    rule="At 43.07 and at 172.27 tokens a second: multi-scale mel distance of the decoded waveform at 44.1 kHz, "
    "mel codec through Griffin-Lim less waveform codec. Intervals are the hull of the paired t interval over seeds "
    "and the paired bootstrap over files. Confirmed if the whole interval lies below 0 at both rates, refuted if "
    "it lies above 0 at either, otherwise not resolved. 16 kHz is reported.",
    metric="mel distance at 44.1 kHz and the low rate, mel less waveform codec; below 0 favours the claim",
    headline=True,
    arms={
        "mel_low": "mel pictures, variant B: 8 tokens each 8192 samples",
        "wave_low": "1-D convolutions on samples, strides 4, 8, 8, 4: one token each 1024 samples",
        "mel_high": "mel pictures, variant L: 16 tokens each 4096 samples",
        "wave_high": "1-D convolutions on samples, strides 4, 8, 8: one token each 256 samples",
    },
    run=_c1_run,
    decide=_c1_decide,
    settings=_c1_settings,
    equal=(("mel_low", "wave_low"), ("mel_high", "wave_high")),
    cuts=(
        *SMALL,
        HEARD,
        "steps are equal, not seconds: with half the cuts a batch a step of the waveform codec still takes about "
        "1.7 times as long as the mel codec's, so time does not favour the claim; the seconds of both are reported",
        "half a minute of training a codec: what either kind reaches in the long run is not asked",
        "the waveform codec is trained on the kind of distance that is measured, and the mel codec is not; it has "
        "no running mean of its weights, no discriminator and no norm; neither side's recipe was tuned",
    ),
)


def _c9_run(cell: Cell) -> dict[str, Any]:
    """Hold the sound of decoded mels against that of the recordings' own."""
    limit, metrics = ceiling(cell), wave_metrics(cell, _mel_codec(cell.arm))
    limits = {f"limit_{name}": limit[f"mel_{name}"] for name in ("44", "16")}
    shares = {f"share_{name}": 1 - limit[f"mel_{name}"] / metrics[f"mel_{name}"] for name in ("44", "16")}
    return {**metrics, **limits, **shares}


def _c9_settings(cell: Cell) -> Settings:
    return _mel_codec(cell.arm).about(cell)


def _c9_decide(measured: Measured) -> Verdict:
    low = over_seeds(measured.values("low", "share_44"))
    parts = [compare("share of the codec, low rate, 44 kHz", low, above=0.5)]
    for rate, name in (("low", "16"), ("high", "44"), ("high", "16")):
        share = over_seeds(measured.values(rate, f"share_{name}"))
        parts.append(compare(f"share of the codec, {rate} rate, {name} kHz", share))
    for name in ("44", "16"):
        text = f"mel distance at {name} kHz of the vocoder alone"
        parts.append(mean_part(text, measured, "low", f"limit_{name}"))
    return verdict(low, parts)


C9 = Claim(
    id="9",
    statement="Most of what is lost is lost by the codec, not by the vocoder.",
    rule="Multi-scale mel distance at 44.1 kHz of decoded mels through Griffin-Lim, and of the recordings' own "
    "mels through it; the codec's share is 1 - own / decoded. Confirmed if the whole 95 % t interval over seeds "
    "of the share at the low rate lies above 0.5, refuted if it lies below, otherwise not resolved. The high rate "
    "and 16 kHz are reported.",
    metric="share of the mel distance at 44.1 kHz that is the codec's; above 0.5 favours the claim",
    arms={"low": "variant B through Griffin-Lim", "high": "variant L through Griffin-Lim"},
    run=_c9_run,
    decide=_c9_decide,
    settings=_c9_settings,
    cuts=(
        *SMALL,
        "the vocoder is Griffin-Lim (32 iterations), a better one raises the share; distances of two steps do not "
        "add up exactly, so the share is an account, not a decomposition",
    ),
)
