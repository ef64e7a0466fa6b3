"""Word error rates of English speech in the test, of the original and of what every codec makes of it."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.report.spared import Spared
from auricle.report.words import WER, Spoken, transcriber_or_reason, word_rows
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import load_speech
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.measures import SPEECH, decode_all
from auricle.systems.unisrcodec.peers import Peer

MODEL, LANGUAGE = "whisper-tiny-en", "en"
CONTEXT_S = 15.0  # recordings are at most 10 s long by default; a quarter of the time that 30 s take
LEAST_S = 1.0  # as for the other measures of speech


def error_rates(
    cfg: CodecConfig, run: RunFolder, coder: Coder, reference: PcaVq | None, peers: Sequence[Peer]
) -> tuple[list[MetricRow], list[str]]:
    """Give the rows of the word error rates, and what is to be said of them.

    Args:
        cfg: the run's config.
        run: a prepared run, whose cache keeps the transcripts.
        coder: the codec.
        reference: PCA + VQ; None where it could not be had.
        peers: other codecs.

    Returns:
        No rows where the transcriber is not installed or nothing was asked for; then the note says so.
    """
    if not cfg.eval.wer_files:
        return [], [f"{WER} was left out: eval.wer_files is 0"]
    transcriber = transcriber_or_reason(MODEL, context_s=CONTEXT_S, cache=run.cache / "transcripts")
    if isinstance(transcriber, str):
        return [], [transcriber]
    clips = load_speech(cfg, run, LANGUAGE, LEAST_S, cfg.eval.wer_files)
    if not clips:
        return [], [f"{WER} was left out: no English speech of {LEAST_S:g} s is among the test recordings"]
    spared = Spared()
    decoded = [decode_all(coder, reference, clip, peers, spared).waves for clip in clips]
    kept = [name for name in decoded[0] if name not in spared.failed]
    spoken = [
        Spoken(clip.text, clip.speaker, clip.wave, {name: waves[name] for name in kept})
        for clip, waves in zip(clips, decoded, strict=True)
    ]
    rows, notes = word_rows(
        spoken,
        transcriber.transcribe,
        coder.codec.contract.rate_hz,
        transcriber=MODEL,
        group=SPEECH,
        replicates=cfg.eval.bootstrap,
        seed=cfg.seed,
    )
    return rows, [*notes, *(f"{WER} of {name} is missing: {text}" for name, text in spared.failed.items())]
