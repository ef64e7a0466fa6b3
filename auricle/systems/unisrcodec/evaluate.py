"""`evaluate`: rates, distances and use of the codebook by kind, with the ceiling, PCA + VQ and other codecs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from torch import Tensor

from auricle.audio.channel import opus_bits_per_s
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.metrics.codes import code_use
from auricle.metrics.rows import mean_row, percent
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.report.evaluation import Evaluation, Page
from auricle.report.spared import Attempts, Spared, unspared
from auricle.report.speech_measures import SpeechMeasures
from auricle.systems.unisrcodec import probes
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import Recording, load, load_mels
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.infer import load as load_coder
from auricle.systems.unisrcodec.measures import SPEECH, CodedRecording, by_kind, code_recordings
from auricle.systems.unisrcodec.model import OFFSET, SCALE, Codec
from auricle.systems.unisrcodec.page import NOTES, page_of
from auricle.systems.unisrcodec.peers import CEILING, OPUS, OURS, PCA, load_peers
from auricle.systems.unisrcodec.words import error_rates

FULL_BAND = "full band"
DB = ("si_sdr",)
TOY = "a codec trained in minutes on minutes of audio: it shows the machinery and the honest accounts, not the paper"
PHASE = "si_sdr is near its floor for the codec and the ceiling alike: a mel has no phase, and the vocoder invents one"


def evaluate(cfg: CodecConfig, run: RunFolder) -> Evaluation:
    """Measure a trained run on recordings of sources that it never heard.

    Returns:
        Rows by kind, over all, and over the recordings that pass the bandwidth screen; then those of the probes.
    """
    coder, spared = load_coder(run.path), Spared()
    codec = coder.codec
    clips = load(cfg, run, "test", cfg.eval.seconds)
    peers = load_peers(cfg.eval.peers, [clip.name for clip in clips])
    training, mels = load_mels(cfg, run, "train")
    sizes = (codec.step, codec.quantizer.n_codes, cfg.eval.pca_dims, derive(cfg.seed, "pca"))
    reference = spared(PCA, partial(PcaVq, mels, *sizes, offset=OFFSET, scale=SCALE))
    speech = SpeechMeasures(cfg.eval.visqol_files)
    coded = code_recordings(coder, reference, clips, peers, speech, spared)
    rows = [
        row for group, part in groups(coded, cfg.data.band_hz) for row in group_rows(cfg, coder, group, part, spared)
    ]
    reference = None if PCA in spared.failed else reference
    words, heard = spared("wer", partial(error_rates, cfg, run, coder, reference, peers)) or ([], [])
    probed, notes = probe_rows(cfg, run, codec, reference, (training, mels), spared)
    warnings = [*([TOY] if coder.toy else []), PHASE, screen_note(coded, cfg.data.band_hz)]
    page = spared("the page's players and spectrograms", partial(page_of, coded))
    return Evaluation(
        [*rows, *words, *probed],
        cfg.data.source,
        warnings=[*warnings, *speech.notes(), *heard, *peer_notes(coded), *notes, *spared.notes()],
        lead=verdicts(rows),
        extra={"vocoder": cfg.eval.vocoder or "griffin_lim"},
        scores={"test.jsonl": [score_row(item) for item in coded]},
        page=page or Page(notes=NOTES),
    )


def probe_rows(
    cfg: CodecConfig,
    run: RunFolder,
    codec: Codec,
    reference: PcaVq | None,
    training: tuple[list[Recording], list[Tensor]],
    spared: Spared,
) -> tuple[list[MetricRow], list[str]]:
    """Give the rows of the probes and what is to be said of them."""

    def embedded(clips: Sequence[Recording], mels: Sequence[Tensor]) -> list[probes.Embedded]:
        return [probes.embed(codec, reference, clip, mel) for clip, mel in zip(clips, mels, strict=True)]

    def asked() -> list[probes.Task]:
        known, heard = embedded(*training), embedded(*load_mels(cfg, run, "test"))
        return probes.tasks(cfg.data.source, cfg.seed, known, heard)

    def measured(task: probes.Task) -> list[MetricRow]:
        return list(probes.rows(task, cfg.seed, cfg.eval.bootstrap))

    tasks = spared("the linear probes", asked)
    if tasks is None:
        return [], []
    found = [spared(f"the {task.name} probe", partial(measured, task)) for task in tasks]
    return [row for rows in found for row in rows or ()], probes.notes(tasks)


def groups(coded: Sequence[CodedRecording], band_hz: float) -> Iterator[tuple[str, list[CodedRecording]]]:
    """Give the kinds, everything, and what passes the bandwidth screen."""
    yield from by_kind(coded, lambda item: item.recording.kind)
    full_band = [item for item in coded if item.recording.band_hz >= band_hz]
    if full_band:
        yield FULL_BAND, full_band


def screen_note(coded: Sequence[CodedRecording], band_hz: float) -> str:
    """Say how many test recordings are full band."""
    full = sum(item.recording.band_hz >= band_hz for item in coded)
    return (
        f"{full} of {len(coded)} test recordings reach {band_hz / 1000:g} kHz within 60 dB of their strongest "
        f"band; only the group '{FULL_BAND}' says anything about full band"
    )


def peer_notes(coded: Sequence[CodedRecording]) -> list[str]:
    """Say what is not known of the peers."""
    known = {OURS, CEILING, PCA, OPUS, *coded[0].bits}
    return [
        f"the rate of {name} is not known: only its decoded files were given"
        for name in coded[0].waves
        if name not in known
    ]


def group_rows(
    cfg: CodecConfig, coder: Coder, group: str, coded: Sequence[CodedRecording], spared: Attempts = unspared
) -> Iterator[MetricRow]:
    """Give all rows of one group."""

    def mean(name: str, values: Sequence[float], baseline: str | None = None) -> MetricRow:
        unit, replicates = "dB" if name in DB else "", cfg.eval.bootstrap
        return mean_row(name, values, unit=unit, group=group, baseline=baseline, replicates=replicates, seed=cfg.seed)

    for name in dict.fromkeys(name for item in coded for name in item.values):
        # what is measured on some recordings alone stands with the kind they are of
        judged = [item.values[name] for item in coded if name in item.values]
        if len(judged) == len(coded) or group == SPEECH:
            for codec in judged[0]:
                yield mean(name, [values[codec] for values in judged], codec or None)
    if all(PCA in item.values["mel_l1"] for item in coded):
        gains = [item.values["mel_l1"][PCA] - item.values["mel_l1"][OURS] for item in coded]
        yield mean("mel_l1_gain_over_pca_vq", gains)
    use = code_use(np.concatenate([item.tokens.ravel() for item in coded]), coder.codec.quantizer.n_codes)
    yield MetricRow(name="codes_used", value=float(use.used), n=use.tokens, group=group)
    yield percent("codes_used_of_possible", use.share, use.tokens, group=group)
    yield MetricRow(name="perplexity", value=float(use.perplexity), n=use.tokens, group=group)
    for name, value, unit in rates(coder):
        yield MetricRow(name=name, value=value, unit=unit, n=len(coded), group=group)
    for codec, bits_per_s in other_rates(coded, coder.codec.contract.rate_hz, spared).items():
        kbit = bits_per_s / 1000
        yield MetricRow(name="kbit_per_s", value=kbit, unit="kbit/s", n=len(coded), baseline=codec, group=group)


def rates(coder: Coder) -> list[tuple[str, float, str]]:
    """Give the codec's rates: of a one-second clip as papers count it, as it is coded here, and in the long run.

    The papers' count takes whole frames of one second and then the nearest whole columns; here the last column is
    filled up, so a second never has fewer.
    """
    codec = coder.codec
    contract = codec.contract
    column_tokens = codec.rows * codec.quantizer.stages
    quoted = column_tokens * round(contract.rate_hz // contract.hop / codec.step)
    clip = column_tokens * -(-contract.rate_hz // codec.column)
    long_run = column_tokens * contract.rate_hz / codec.column
    return [
        ("tokens_of_1s_clip_as_quoted", float(quoted), ""),
        ("tokens_of_1s_clip", float(clip), ""),
        ("tokens_per_s", long_run, "1/s"),
        ("kbit_per_s", long_run * codec.bits / 1000, "kbit/s"),
        ("kbit_of_1s_clip_as_quoted", quoted * codec.bits / 1000, "kbit"),
    ]


def other_rates(coded: Sequence[CodedRecording], rate_hz: int, spared: Attempts) -> dict[str, float]:
    """Give the bits a second of Opus and of the peers that report bits."""
    waves = [item.recording.wave for item in coded]
    seconds = sum(len(wave) for wave in waves) / rate_hz
    peers = {name: sum(item.bits[name] for item in coded) / seconds for name in coded[0].bits}
    opus = spared("the rate of Opus", partial(opus_bits_per_s, waves, rate_hz)) if OPUS in coded[0].waves else None
    return {**({} if opus is None else {OPUS: opus}), **peers}


def verdicts(rows: Sequence[MetricRow]) -> list[str]:
    """Say in plain words how the codec stands against PCA + VQ and Opus over all recordings."""
    by_name = {(row.name, row.baseline): row for row in rows if row.group == "all"}
    said = []
    gain = by_name.get(("mel_l1_gain_over_pca_vq", None))
    if gain is not None:
        bounds, how = "", "not told apart from"
        if gain.ci95 is not None:
            low, high = gain.ci95
            bounds = f" (95 % interval over files {low:.3f} to {high:.3f})"
            if low > 0:
                how = "better than"
            elif high < 0:
                how = "worse than"
        said.append(
            f"In log-mel L1 the codec is {how} PCA + VQ at the same rate: PCA + VQ's less its own is "
            f"{gain.value or 0:.3f}{bounds}."
        )
    ours, opus = by_name["kbit_per_s", None].value or 0, by_name.get(("kbit_per_s", OPUS))
    rate = f"The codec takes {ours:.2f} kbit/s in the long run"
    if opus is None or not opus.value:
        return [*said, f"{rate}."]
    return [*said, f"{rate}; Opus at its lowest takes {opus.value:.1f}, {opus.value / ours:.0f} times as much."]


def score_row(item: CodedRecording) -> dict[str, object]:
    """Give one recording's numbers for ``scores/test.jsonl``."""
    return {
        "id": item.recording.name,
        "kind": item.recording.kind,
        "bandwidth_hz": item.recording.band_hz,
        "tokens": int(item.tokens.size),
        "values": item.values,
    }
