"""Tiny models for the tests of the audio language model."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from auricle.alm.model import AudioLM, build_audio_lm
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer

TEXT = [
    "<think> <Frequency Domain> a notch in band 3 <Time Domain> a click in bin 5 </think> <answer>fake</answer>",
    "<think> <Frequency Domain> nothing <Time Domain> nothing </think> <answer>real</answer>",
    "is this real or fake? user assistant system",
]
ENCODER = {
    "n_mels": 16,
    "dim": 16,
    "channels": (4, 8),
    "time_strides": (2, 2),
    "mel_strides": (2, 2),
    "layers": 1,
    "heads": 2,
    "clip_heads": {"band": 6},
    "frame_heads": {"artefact": 2},
}


@pytest.fixture(scope="session")
def text() -> list[str]:
    return TEXT * 4


@pytest.fixture(scope="session")
def tokenizer(text):
    return train_tokenizer(text, 320, ["<think>", "</think>", "<answer>", "</answer>"])


def tiny_model(tokenizer, seed: int = 0) -> AudioLM:
    config = tiny_decoder_config(tokenizer, dim=32, layers=2, heads=2)
    return build_audio_lm(ENCODER, config, tokenizer.convert_tokens_to_ids("<audio>"), seed).eval()


@pytest.fixture
def model(tokenizer) -> AudioLM:
    return tiny_model(tokenizer)
