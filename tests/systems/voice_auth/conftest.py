"""A deterministic verifier that needs no weights, for tests alone: long-term mel spectra without their mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.audio.resample import resample
from auricle.audio.spectral import LogMel


class SpectrumVerifier:
    """Mean and spread of log mel bands, at unit length: enough to tell many voices apart."""

    name, dim, rate_hz = "spectrum", 80, 16000

    def __init__(self):
        self.mel = LogMel(16000, n_mels=40, high_hz=3800.0)

    def embed(self, waves, rates_hz):
        rows = []
        for wave, rate_hz in zip(waves, rates_hz, strict=True):
            at = np.asarray(resample(np.asarray(wave, np.float32), rate_hz, 16000), np.float32)
            mel = self.mel(torch.from_numpy(at)[None])[0].numpy()
            row = np.concatenate([mel.mean(0) - mel.mean(), mel.std(0) - mel.std()])
            rows.append(row / np.linalg.norm(row))
        return np.stack(rows).astype(np.float32)


@pytest.fixture(scope="session")
def spectrum_verifier():
    """The verifier itself."""
    return SpectrumVerifier()


@pytest.fixture
def verifier(monkeypatch):
    """Every verifier that is asked for is one of these, made for this test."""
    made = SpectrumVerifier()
    for place in ("embeddings", "infer", "checks"):
        monkeypatch.setattr(f"auricle.systems.voice_auth.{place}.load_verifier", lambda spec: made)
    return made
