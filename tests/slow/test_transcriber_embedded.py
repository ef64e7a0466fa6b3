"""Whisper tiny.en on twenty embedded English recordings: how many words are wrong, printed with its interval."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from auricle.backbones.transcriber import Transcriber
from auricle.core import extras
from auricle.core.seed import rng
from auricle.data import embedded
from auricle.metrics.asr import NORMALISER, word_error_rate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en"),
]
CLIPS, LEAST_WORDS, SEED = 20, 4, 0


def chosen() -> list[embedded.Clip]:
    """Twenty sentences drawn once: two of each speaker group, in so far as it has any."""
    groups: dict[str, list[embedded.Clip]] = {}
    for clip in embedded.clips("speech", "en"):
        if len(clip.text.split()) >= LEAST_WORDS:
            groups.setdefault(clip.speaker_group, []).append(clip)
    draws = {name: rng(SEED, "wer", name).permutation(len(groups[name])) for name in sorted(groups)}
    turns = [groups[name][draws[name][turn]] for turn in range(CLIPS) for name in draws if turn < len(draws[name])]
    return turns[:CLIPS]


def test_the_words_of_twenty_recordings(capsys):
    clips = chosen()
    assert len(clips) == CLIPS
    heard = Transcriber().transcribe([clip.read().mono() for clip in clips], [clip.rate_hz for clip in clips])
    found = word_error_rate(
        [clip.text for clip in clips], [one.text for one in heard], [clip.speaker_group for clip in clips], seed=SEED
    )
    with capsys.disabled():
        for clip, one in zip(clips, heard, strict=True):
            print(f"{clip.id}: {clip.text!r} -> {one.text!r}")
        low, high = (100 * bound for bound in found.ci95)
        speakers = len({clip.speaker_group for clip in clips})
        print(
            f"WER {100 * found.rate:.1f} % [{low:.1f}, {high:.1f}] over {found.over}; n = {found.utterances} "
            f"recordings, {found.units} words, {speakers} speakers; normaliser {NORMALISER}"
        )
    assert found.rate < 0.25
    for clip, one in zip(clips, heard, strict=True):
        ends = np.array([word.end_s for word in one.words])
        assert (np.diff(ends) >= 0).all()
        assert ends[-1] <= clip.duration_s + 0.01
