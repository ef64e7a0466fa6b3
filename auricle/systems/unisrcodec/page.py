"""The page of a run: original, vocoder ceiling and decoded side by side, with spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.audio.vocoder_mel import MelContract
from auricle.report.evaluation import Page
from auricle.report.players import Player
from auricle.report.plots import Plot
from auricle.report.spectrogram import Spectrogram, draw
from auricle.systems.unisrcodec.measures import CodedRecording, by_kind
from auricle.systems.unisrcodec.peers import CEILING, OPUS, OURS, PCA

PLAYED_S = 2.5
EACH = 2  # recordings of a kind
ORIGINAL = "original"
TITLES = {OURS: "decoded", CEILING: "vocoder ceiling", PCA: "PCA + VQ", OPUS: "Opus, lowest rate"}
DRAWN = (ORIGINAL, TITLES[CEILING], TITLES[OURS])
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


def page_of(coded: Sequence[CodedRecording]) -> Page:
    """Give players of some recordings of each kind by every codec, and spectrograms of one a kind."""
    rate_hz = MelContract().rate_hz
    players: list[Player] = []
    figures: dict[str, list[Plot]] = {}
    *kinds, _ = by_kind(coded, lambda item: item.recording.kind)
    for kind, items in kinds:
        # recordings that are a second long come first
        for item in sorted(items, key=lambda item: len(item.recording.wave) < rate_hz)[:EACH]:
            name = item.recording.name
            waves = {ORIGINAL: item.recording.wave}
            waves |= {
                TITLES.get(codec, codec): item.waves[codec] for codec in (*TITLES, *item.waves) if codec in item.waves
            }
            clips = {title: wave[: round(PLAYED_S * rate_hz)] for title, wave in waves.items()}
            players += [Player(title, wave, rate_hz, name, f"{kind}: {name}") for title, wave in clips.items()]
            if kind not in figures:
                figures[kind] = [draw(Spectrogram(f"{title}: {name}", clips[title], rate_hz)) for title in DRAWN]
    return Page(notes=NOTES, players=players, figures=list(figures.items()))
