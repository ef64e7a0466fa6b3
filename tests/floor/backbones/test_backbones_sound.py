"""aiSFX: the figures of the package's own code, any sound, wrong files."""

import os

import numpy as np
import pytest
import torch

from auricle.backbones import sound
from auricle.backbones.sound import LIBRARIES, AisfxNetwork, SoundEncoder, blocks
from auricle.core import extras
from auricle.core.errors import AudioError, CheckpointError, ConfigError, MissingExtra
from auricle.data import embedded

needs = pytest.mark.skipif(extras.weights_path("aisfx") is None, reason="needs auricle models add aisfx")


def table():
    return {name: (np.int64(place), size) for place, (name, size) in enumerate(LIBRARIES.items())}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A random network as the package stores its own."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("sound") / "checkpoint.pth"
    torch.save((AisfxNetwork().state_dict(), table()), path)
    return path


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def test_a_file_as_the_package_has_it_fills_the_network(file):
    encoder = SoundEncoder(file)
    assert torch.equal(encoder.network.fc[8][4].bias, torch.load(file, weights_only=False)[0]["fc.8.4.bias"])
    waves, rates = [noise(8000), noise(50_000, 1), noise(200_000, 2)], [16_000, 22_050, 44_100]
    together = encoder.embed(waves, rates)
    assert together.shape == (3, encoder.dim) == (3, 512)
    np.testing.assert_array_equal(together[1:2], encoder.embed(waves[1:2], rates[1:2]))
    scores = encoder.scores(waves, rates, "ucsMixed")
    assert scores.shape == (3, 69)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert encoder.embed([], []).shape == (0, 512)
    assert encoder.scores([], [], "prosfx").shape == (0, 78)


def test_volume_does_not_matter(file):
    wave = noise(50_000)
    encoder = SoundEncoder(file)
    np.testing.assert_allclose(encoder.frames(wave), encoder.frames(wave / 100), atol=1e-5)


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (99, 1), (100, 1), (149, 1), (150, 2), (264, 4)])
def test_blocks_are_those_of_the_package(frames, count):
    given = torch.arange(frames * 96.0).reshape(frames, 96) + 1
    found = blocks(given)
    assert found.shape == (count, 100, 96)
    for number, block in enumerate(found):
        own = given[50 * number : 50 * number + 100]
        assert torch.equal(block[: len(own)], own)
        assert not block[len(own) :].any()


def test_wrong_use_is_refused(file):
    encoder = SoundEncoder(file)
    with pytest.raises(ConfigError, match="no library 'esc50'; there are prosfx"):
        encoder.scores([noise(8000)], [16_000], "esc50")
    with pytest.raises(AudioError, match="digital silence"):
        encoder.embed([np.zeros(8000, np.float32)], [16_000])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lacking", r"no weights of aiSFX: .*fc\.0\.0\.bias"),
        ("libraries", "holds other libraries than aisfx"),
        ("dict", "cannot be read"),
        ("text", "cannot be read"),
        ("code", "cannot be read"),
        ("none", "does not exist"),
    ],
)
def test_a_wrong_file_is_refused(file, tmp_path, content, message):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    state, path = AisfxNetwork().state_dict(), tmp_path / "checkpoint.pth"
    held = (state, table())
    if content == "lacking":
        state.pop("fc.0.0.bias")
    elif content == "libraries":
        held = (state, {"other": (np.int64(0), 3)})
    elif content == "dict":
        held = state
    elif content == "code":
        held = (state, Code())
    if content == "text":
        path.write_bytes(b"these are no weights")
    elif content != "none":
        torch.save(held, path)
    with pytest.raises(CheckpointError, match=f"{message}.*auricle models add aisfx"):
        SoundEncoder(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(extras.weights_path("aisfx") is not None, reason="the weights are installed")
def test_without_the_weights_the_command_is_named():
    with pytest.raises(MissingExtra, match="auricle models add aisfx"):
        SoundEncoder()


def test_features_are_those_of_the_package_on_librosa(file):
    librosa = pytest.importorskip("librosa")
    wave = noise(60_000)
    wave[:30_000] *= np.linspace(0, 1, 30_000, dtype=np.float32)
    spectrum = librosa.feature.melspectrogram(
        y=wave / np.abs(wave).max(),
        sr=44_100,
        n_fft=2048,
        n_mels=96,
        norm=1.0,
        fmin=0.0,
        fmax=22_050.0,
        htk=True,
        power=2.0,
        hop_length=1024,
        win_length=2048,
    )
    wanted = np.log10(spectrum * 10_000 + 1).T / sound.GREATEST
    np.testing.assert_allclose(SoundEncoder(file).frames(wave).numpy(), wanted, atol=5e-5)


@needs
def test_the_network_gives_the_figures_of_the_original():
    encoder = SoundEncoder()
    frames = torch.from_numpy(np.random.default_rng(0).random((1, 100, 96)).astype(np.float32))
    with torch.inference_mode():
        embedding = encoder.network(frames)[0]
        logits = encoder.network.fc[2](embedding)
    # the package's CrossNet on the same weights and frames
    np.testing.assert_allclose(embedding[:4], [7.10560846, 8.79602337, 7.98634195, 9.13052273], rtol=1e-4)
    np.testing.assert_allclose(embedding.mean(), 5.76986933, rtol=1e-4)
    np.testing.assert_allclose(logits[:4], [19.71655273, -86.09297180, 12.14806843, -79.31073761], rtol=1e-3)


@needs
def test_a_recording_gives_what_the_package_gives():
    clip = embedded.clip("glass-break-09")
    found = SoundEncoder().embed([clip.read().mono()], [clip.rate_hz])[0]
    # the package's librosa features, its blocks and its network; the mean over blocks
    np.testing.assert_allclose(found[:4], [0.75467491, 1.04481113, 1.36736763, 0.87466121], atol=1e-3)
    np.testing.assert_allclose(found.mean(), 1.17050529, atol=1e-3)
