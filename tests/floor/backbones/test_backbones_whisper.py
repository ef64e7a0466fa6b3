"""Whisper's encoder as a front end: any length, in any company, every layer, kept by content."""

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from auricle.backbones import whisper_features
from auricle.backbones.tiny import save_tiny_whisper, tiny_whisper_architecture, tiny_whisper_encoder
from auricle.backbones.whisper import WhisperEncoder, WhisperMel, load_whisper, load_whisper_encoder
from auricle.backbones.whisper_features import WhisperFeatures
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, DataError, MissingExtra

LENGTHS = (8000, 4321, 5999, 1600)


def noise(samples, seed=0):
    return 0.2 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def padded(fill=0.0, extra=0):
    wave = torch.full((len(LENGTHS), max(LENGTHS) + extra), fill)
    for row, size in enumerate(LENGTHS):
        wave[row, :size] = noise(size, row)
    return wave, torch.tensor(LENGTHS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(place, seed=3)
    return str(place)


def test_frames_are_those_of_transformers():
    import transformers

    for n_mels in (80, 128):
        wave = noise(160_000)
        extractor = transformers.WhisperFeatureExtractor(n_mels)
        wanted = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt").input_features[0]
        full = torch.zeros(480_000)
        full[:160_000] = wave
        torch.testing.assert_close(WhisperMel(n_mels)(full).T, wanted, rtol=0, atol=1e-4)


def test_a_window_of_30_s_gives_what_transformers_gives(folder):
    model = load_whisper(folder)
    encoder = load_whisper_encoder(folder)
    wave = noise(480_000)
    with torch.no_grad():
        mel = encoder.mel(wave).T[None]
        wanted = model.get_encoder()(mel, output_hidden_states=True)
        states, mask = encoder.states(wave[None])
    assert mask.shape == (1, 1500)
    assert len(states) == len(wanted.hidden_states) == 4
    for ours, theirs in zip(states[:-1], wanted.hidden_states[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(states[-1], wanted.last_hidden_state, rtol=0, atol=1e-5)
    for layer in range(4):
        inner = load_whisper_encoder(folder, layer=layer)
        assert len(inner.model.layers) == layer
        with torch.no_grad():
            torch.testing.assert_close(inner(wave[None])[0], states[layer], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", [None, 0, 2, "weighted"])
def test_padding_and_batch_mates_never_change_a_clip(layer):
    encoder = tiny_whisper_encoder(seed=1, layer=layer)
    with torch.no_grad():
        together, mask = encoder(*padded())
        junk, junk_mask = encoder(*padded(fill=9.0, extra=3000))
        torch.testing.assert_close(junk, together, rtol=0, atol=1e-5)
        assert torch.equal(junk_mask, mask)
        for row, size in enumerate(LENGTHS):
            alone, alone_mask = encoder(noise(size, row)[None])
            assert bool(alone_mask.all())
            assert alone.shape[1] == encoder.frames(size) == -(-(size // 160) // 2) == int(mask[row].sum())
            torch.testing.assert_close(together[row : row + 1, : alone.shape[1]], alone, rtol=0, atol=1e-5)
            assert bool((together[row, alone.shape[1] :] == 0).all())


def test_a_clip_above_30_s_goes_through_in_windows():
    encoder = tiny_whisper_encoder(seed=1)
    wave = noise(480_000 + 8000)
    with torch.no_grad():
        found, mask = encoder(torch.stack([wave, torch.zeros_like(wave)]), torch.tensor([len(wave), 1600]))
        assert found.shape == (2, 1525, 32)
        assert mask.sum(1).tolist() == [1525, 5]
        mel = encoder.mel(wave)
        states, counts = encoder._run([mel[:3000], mel[3000:]])
    assert counts == [1500, 25]
    torch.testing.assert_close(found[0, :1500], states[-1][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0, 1500:], states[-1][1, :25], rtol=0, atol=1e-5)


def test_freezing_and_the_learnt_mixture():
    frozen = tiny_whisper_encoder(seed=1, layer="weighted").train()
    assert not frozen.model.training
    frozen(noise(4000)[None])[0].sum().backward()
    assert frozen.mix.grad is not None
    assert all(parameter.grad is None for parameter in frozen.model.parameters())
    free = tiny_whisper_encoder(seed=1, freeze=False)
    free(noise(4000)[None])[0].square().sum().backward()
    assert free.model.conv1.weight.grad is not None
    again = tiny_whisper_encoder(seed=1)
    assert torch.equal(again.model.conv1.weight, free.model.conv1.weight)


def test_what_cannot_be_built_or_read_is_refused(folder, tmp_path):
    values = tiny_whisper_architecture()
    with pytest.raises(ConfigError, match="no layer 4"):
        WhisperEncoder(values, layer=4)
    with pytest.raises(ConfigError, match="without GELU"):
        WhisperEncoder({**values, "activation_function": "relu"})
    with pytest.raises(ConfigError, match="cannot be built"):
        WhisperEncoder({**values, "encoder_attention_heads": 5})
    with pytest.raises(ConfigError, match="differs in more"):
        WhisperEncoder({**values, "more": 1})
    encoder = tiny_whisper_encoder(seed=0)
    with pytest.raises(DataError, match="at least 400"):
        encoder(torch.zeros(1, 399))
    with pytest.raises(DataError, match=r"give \(B, N\) floats"):
        encoder(torch.zeros(400))
    with pytest.raises(DataError, match="within N"):
        encoder(torch.zeros(1, 400), torch.tensor([500]))
    with pytest.raises(ConfigError, match="no folder 'whisper-tiny'"):
        load_whisper_encoder("whisper-tiny")
    with pytest.raises(ConfigError, match="pinned revision"):
        load_whisper_encoder("openai/whisper-tiny")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="type 'bert'; give a Whisper model"):
        load_whisper_encoder(str(tmp_path))


def test_only_whole_safetensors_are_read(tmp_path):
    from safetensors.torch import load_file, save_file

    save_tiny_whisper(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    del weights["model.encoder.conv1.bias"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"do not fit: model\.encoder\.conv1\.bias"):
        load_whisper(str(tmp_path))
    file.unlink()
    with pytest.raises(CheckpointError, match="no Whisper model in safetensors"):
        load_whisper(str(tmp_path))


def test_without_the_weights_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    with pytest.raises(MissingExtra, match="auricle models add whisper-tiny-en"):
        load_whisper_encoder("whisper-tiny-en")


def test_features_are_kept_by_content(folder, tmp_path, monkeypatch):
    waves = [noise(size, row).numpy() for row, size in enumerate(LENGTHS)]
    rates = [16_000] * len(waves)
    plain = WhisperFeatures(folder, batch=3)(waves, rates)
    make = WhisperFeatures(folder, batch=3, cache=tmp_path)
    assert (make.layers, make.dim) == (4, 32)
    first = make(waves, rates)
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 4
    for ours, other, size in zip(first, plain, LENGTHS, strict=True):
        assert ours.shape == (4, make.encoder.frames(size), 32)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, other, rtol=2e-3, atol=1e-4)
    with monkeypatch.context() as changed:
        changed.setattr(WhisperFeatures, "_made", lambda self, waves: pytest.fail("made again"))
        again = make(waves[::-1], rates)
    for ours, other in zip(again, first[::-1], strict=True):
        np.testing.assert_array_equal(ours, other)
    files[0].write_bytes(files[0].read_bytes()[:100])
    for ours, other in zip(make(waves, rates), first, strict=True):
        np.testing.assert_allclose(ours, other, rtol=2e-3, atol=1e-4)
    lower = WhisperFeatures(folder, layers=1, cache=tmp_path)(waves, rates)
    assert len(list(tmp_path.rglob("*.npy"))) == 8  # other layers are another result
    for ours, other in zip(lower, first, strict=True):
        np.testing.assert_allclose(ours, other[:2], rtol=2e-3, atol=1e-4)


def test_another_model_is_another_key(folder, tmp_path):
    save_tiny_whisper(tmp_path, seed=4)
    assert whisper_features.weights_key(folder) != whisper_features.weights_key(str(tmp_path))
    wave = noise(400).numpy()
    assert whisper_features.wave_key(wave, 16_000) != whisper_features.wave_key(wave, 8_000)


@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_the_real_encoder_gives_the_same_alone_and_in_company():
    from auricle.data import embedded

    clips = [clip for clip in embedded.clips("speech", "en") if clip.rate_hz == 16_000][:3]
    waves = [torch.from_numpy(clip.read().mono()) for clip in clips]
    encoder = load_whisper_encoder("whisper-tiny-en", layer=2)
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    with torch.no_grad():
        together, mask = encoder(batch, torch.tensor([len(wave) for wave in waves]))
        for row, wave in enumerate(waves):
            alone = encoder(wave[None])[0][0]
            gap = (together[row, mask[row]] - alone).abs().max() / alone.abs().max()
            assert float(gap) < 1e-5
