"""The first layers of a frozen Whisper as a front end: standardised, mixed, kept by content, and never saved."""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from auricle.backbones.tiny import save_tiny_whisper
from auricle.backbones.whisper_features import WhisperFeatures
from auricle.backbones.whisper_front import WhisperFront
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError

LENGTHS = (8000, 4321, 5999)


def noise(samples, seed=0):
    return 0.2 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(place, seed=3)
    return str(place)


def front(folder, layers=2):
    return WhisperFront(folder, None, layers, 32)


def test_frames_are_the_standardised_mixture_of_input_and_first_layers(folder):
    made = front(folder)
    waves = torch.stack([noise(8000, 1), noise(8000, 2)])
    made.fit_scale([waves])
    with torch.no_grad():
        made.mix.copy_(torch.tensor([0.3, -0.2, 0.9]))
        features, mask = made(waves)
    levelled = [(wave * 0.05 / wave.square().mean().sqrt()).numpy() for wave in waves]
    states = np.stack(WhisperFeatures(folder, layers=2)(levelled, [16000, 16000]))  # (B, L, T, D)
    mean, spread = states.mean((0, 2)), states.std((0, 2))
    standard = (states - mean[None, :, None]) / np.maximum(spread, 1e-3)[None, :, None]
    shares = np.exp([0.3, -0.2, 0.9]) / np.exp([0.3, -0.2, 0.9]).sum()
    np.testing.assert_allclose(features.numpy(), np.einsum("l,bltd->btd", shares, standard), atol=2e-3)
    assert mask.all()


def test_level_padding_and_company_change_nothing(folder):
    made = front(folder)
    wave = torch.full((3, 9000), 0.7)
    for row, size in enumerate(LENGTHS):
        wave[row, :size] = noise(size, row)
    together, mask = made(wave, torch.tensor(LENGTHS))
    for row, size in enumerate(LENGTHS):
        alone, _ = made(3 * wave[row : row + 1, :size])
        assert int(mask[row].sum()) == alone.shape[1]
        torch.testing.assert_close(together[row, mask[row]], alone[0], rtol=0, atol=5e-3)
        assert not together[row, ~mask[row]].any()


def test_only_the_mixture_is_trained_and_whisper_is_not_in_the_state(folder):
    made = front(folder)
    made(noise(4000)[None])[0].sum().backward()
    assert [name for name, _ in made.named_parameters()] == ["mix"]
    assert made.mix.grad is not None
    assert set(made.state_dict()) == {"mix", "mean", "spread", "source"}


def test_features_are_kept_by_content(folder, tmp_path, monkeypatch):
    made = front(folder)
    made.cache = tmp_path
    first = made(noise(4000)[None])[0]
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    monkeypatch.setattr(WhisperFeatures, "_made", lambda self, waves: pytest.fail("made again"))
    assert torch.equal(made(noise(4000)[None])[0], first)


def test_another_whisper_than_the_trained_one_is_refused(folder, tmp_path):
    trained = front(folder)
    trained.fit_scale([noise(4000)[None]])
    save_tiny_whisper(tmp_path, seed=4)
    other = front(str(tmp_path))
    other.load_state_dict(trained.state_dict())
    with pytest.raises(CheckpointError, match="not the one that this network was trained on"):
        other(noise(4000)[None])
    same = front(folder)
    same.load_state_dict(trained.state_dict())
    torch.testing.assert_close(same(noise(4000)[None])[0], trained(noise(4000)[None])[0])


def test_missing_weights_are_named_with_the_command(monkeypatch):
    made = WhisperFront("whisper-tiny-en", None, 2, 384)
    monkeypatch.setattr(extras, "converted_folder", lambda name: extras.Path("nowhere"))
    monkeypatch.setattr("auricle.backbones.whisper.converted_folder", lambda name: extras.Path("nowhere"))
    with pytest.raises(extras.MissingWeights, match="auricle models add whisper-tiny-en"):
        made.fetch()


def test_a_wrong_width_and_a_wrong_number_of_layers_are_refused(folder):
    with pytest.raises(ConfigError, match="32 wide, not 16"):
        WhisperFront(folder, None, 2, 16).fetch()
    with pytest.raises(ConfigError, match="no layer 9"):
        WhisperFront(folder, None, 9, 32).fetch()
    with pytest.raises(ConfigError, match="-1 layers"):
        WhisperFront(folder, None, -1, 32)


def test_fetching_leaves_the_generators_of_a_run_alone(folder):
    before = torch.get_rng_state()
    front(folder).fetch()
    assert torch.equal(before, torch.get_rng_state())
