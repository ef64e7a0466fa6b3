"""Fixed band-pass filters: the published ones, a tone is loudest in its own band, and nothing of them is saved."""

from __future__ import annotations

import math

import pytest
import torch

from auricle.core.errors import ConfigError, DataError
from auricle.nn.sinc import SincBands, sinc_filters
from tests import released_aasist as release


def test_they_are_the_published_filters():
    wave = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    wanted = release.bands(wave[0].double(), 70)
    assert torch.allclose(SincBands()(wave)[0].T.double(), wanted, atol=2e-6)
    assert SincBands()(wave).shape == (1, 872, 70)


def test_a_tone_is_loudest_in_its_own_band():
    bands = SincBands(20, 129)
    mels = torch.linspace(0, 2595 * math.log10(1 + 8000 / 700), 21)
    for band in (6, 12, 18):
        middle_hz = 700 * (10 ** (float(mels[band : band + 2].mean()) / 2595) - 1)
        tone = torch.sin(2 * math.pi * middle_hz / 16000 * torch.arange(4000))
        assert int(bands(tone[None]).mean(1).argmax()) == band


def test_a_hop_keeps_the_largest_magnitude():
    wave = torch.randn(2, 900)
    whole, pooled = SincBands(8, 21)(wave), SincBands(8, 21, hop=100)(wave)
    assert pooled.shape == (2, 8, 8)
    assert torch.equal(pooled[:, 0], whole[:, :100].amax(1))


def test_nothing_is_learned_or_saved():
    bands = SincBands()
    assert not bands.state_dict()
    assert not list(bands.parameters())


def test_wrong_sizes_are_named():
    with pytest.raises(ConfigError, match="odd number of taps"):
        sinc_filters(70, 128, 16000)
    with pytest.raises(ConfigError, match="0 filters"):
        sinc_filters(0, 129, 16000)
    with pytest.raises(DataError, match="100 samples; these filters need 129"):
        SincBands()(torch.zeros(1, 100))
