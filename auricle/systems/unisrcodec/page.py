"""The page of a run: original, vocoder ceiling and decoded side by side, with spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auricle.audio.vocoder_mel import MelContract
from auricle.core.files import read_jsonl
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.report.html import render
from auricle.report.players import Player
from auricle.report.plots import Plot
from auricle.report.spectrogram import Spectrogram, draw
from auricle.systems.unisrcodec.config import CodecConfig

if TYPE_CHECKING:
    from auricle.systems.unisrcodec.evaluate import Heard

PLAYED_S = 2.5
EACH = 2  # recordings of a kind
SIDES = (("", "decoded"), ("vocoder_ceiling", "vocoder ceiling"), ("pca_vq", "PCA + VQ"), ("opus", "Opus, lowest rate"))
NOTES = (
    "Every mel goes through the same vocoder. The vocoder ceiling is the original mel through it: what lies between "
    "original and ceiling is the vocoder's loss, what lies between ceiling and decoded is the codec's.",
    "PCA + VQ has one token for each patch of the mel and a codebook of the same size, so exactly the codec's rate. "
    "Opus takes about twelve times as many bits or more; see the rates.",
    "mel_l1 is the L1 between natural-log mels of 128 bands. Intervals resample recordings.",
    "stoi, visqol and pesq judge speech alone and stand under speech; a row's n says on how many recordings. Other "
    "codecs stand under their own names, with the bits of their own codes.",
    "A codebook's use is counted against what that many tokens could show if all codes were alike.",
)


def write(run: RunFolder, cfg: CodecConfig, report: Report, heard: Sequence[Heard]) -> None:
    """Write ``report.html``.

    Args:
        run: where to.
        cfg: the run's config, folded into the page.
        report: the numbers.
        heard: the test recordings.
    """
    rate = MelContract().rate_hz
    size = round(PLAYED_S * rate)
    players: list[Player] = []
    figures: list[tuple[str, list[Plot]]] = []
    for one in shown(heard):
        name = one.recording.name
        titled = dict(SIDES)
        waves = {"original": one.recording.wave} | {
            titled.get(whose, whose): one.waves[whose] for whose in (*titled, *one.waves)
        }
        for title, wave in waves.items():
            players.append(Player(title, wave[:size], rate, name, f"{one.recording.kind}: {name}"))
        drawn = [waves["original"], waves["vocoder ceiling"], waves["decoded"]]
        titles = ("original", "vocoder ceiling", "decoded")
        plots = [
            draw(Spectrogram(f"{title}: {name}", wave[:size], rate)) for title, wave in zip(titles, drawn, strict=True)
        ]
        if not any(title == one.recording.kind for title, _ in figures):
            figures.append((one.recording.kind, plots))
    log = run.path / "metrics.jsonl"
    render(
        report,
        run.path / "report.html",
        headline="mel_l1",
        training=list(read_jsonl(log)) if log.exists() else [],
        players=players,
        notes=NOTES,
        config=cfg.model_dump(mode="json"),
        lead=list(report.extra["verdict"]),
        figures=figures,
    )


def shown(heard: Sequence[Heard]) -> list[Heard]:
    """Choose the first recordings of each kind that are a second long at least, or the first ones."""
    chosen: list[Heard] = []
    for kind in dict.fromkeys(one.recording.kind for one in heard):
        own = [one for one in heard if one.recording.kind == kind]
        chosen += sorted(own, key=lambda one: len(one.recording.wave) < MelContract().rate_hz)[:EACH]
    return chosen
