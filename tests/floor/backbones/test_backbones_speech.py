"""Speech encoders: invariance, layers, freezing, reading from disk without a socket, refusals."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from auricle.backbones import architecture as arch
from auricle.backbones.speech import SpeechEncoder, load_speech_encoder, normalised
from auricle.backbones.tiny import TINY_KINDS, save_tiny, tiny_architecture, tiny_speech_encoder
from auricle.core.errors import CheckpointError, ConfigError, DataError, MissingExtra
from auricle.train import load_model, save_model

LENGTHS = (8000, 4321, 5999, 400)


def noise(samples, seed=0):
    # loud, with DC: what the normalisation has to take away
    return 0.3 + 0.2 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def padded(fill=0.0, extra=0):
    wave = torch.full((len(LENGTHS), max(LENGTHS) + extra), fill)
    for row, size in enumerate(LENGTHS):
        wave[row, :size] = noise(size, row)
    return wave, torch.tensor(LENGTHS)


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    gap = float((a - b).abs().max())
    assert gap <= tolerance * max(1.0, float(b.abs().max())), gap


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("encoders")
    for kind in TINY_KINDS:
        save_tiny(kind, base / kind, seed=3)
    return base


@pytest.mark.filterwarnings("ignore:Support for mismatched")  # Transformers' WavLM, on torch's attention
@pytest.mark.parametrize("kind", TINY_KINDS)
@pytest.mark.parametrize("layer", [None, 2, "weighted"])
def test_padding_and_batch_mates_never_change_a_clip(kind, layer):
    encoder = tiny_speech_encoder(kind, seed=1, layer=layer).eval()
    wave, lengths = padded()
    with torch.no_grad():
        together, mask = encoder(wave, lengths)
        junk, junk_mask = encoder(*padded(fill=9.0, extra=3000))
        close(junk, together)
        assert torch.equal(junk_mask, mask)
        for row, size in enumerate(LENGTHS):
            alone, alone_mask = encoder(wave[row : row + 1, :size])
            assert bool(alone_mask.all())
            assert alone.shape[1] == (size - 400) // 320 + 1 == int(mask[row].sum())
            close(together[row : row + 1, : alone.shape[1]], alone)
            assert bool((together[row, alone.shape[1] :] == 0).all())


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_it_gives_what_transformers_gives(kind, folders):
    import transformers

    encoder = load_speech_encoder(str(folders / kind)).eval()
    model = transformers.AutoModel.from_pretrained(folders / kind, local_files_only=True).eval()
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folders / kind, local_files_only=True)
    wave = noise(6000)
    values = prepare(wave.numpy(), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        output = model(values, output_hidden_states=True)
        close(encoder(wave[None])[0], output.last_hidden_state)
        for layer in range(3):
            inner = load_speech_encoder(str(folders / kind), layer=layer).eval()
            close(inner(wave[None])[0], output.hidden_states[layer])
        top = load_speech_encoder(str(folders / kind), layer=3).eval()
        close(top(wave[None])[0], output.last_hidden_state)
        mixed = load_speech_encoder(str(folders / kind), layer="weighted").eval()
        mixed.mix.copy_(torch.tensor([0.0, np.log(2.0), 0.0, np.log(4.0)]))
        states = [*output.hidden_states[:3], output.last_hidden_state]
        close(mixed(wave[None])[0], sum(w / 8 * s for w, s in zip((1, 2, 1, 4), states, strict=True)))


@pytest.mark.parametrize("floor", [1e-7, 1e-5, 0.5])
def test_normalisation_is_of_each_clip_over_its_valid_samples(floor):
    wave, _ = padded(fill=5.0)
    out = normalised(wave, LENGTHS) if floor == 1e-7 else normalised(wave, LENGTHS, floor)
    for row, size in enumerate(LENGTHS):
        own = wave[row, :size].double().numpy()
        expected = (own - own.mean()) / np.sqrt(own.var() + floor)
        assert np.abs(out[row, :size].numpy() - expected).max() < 1e-5
        assert bool((out[row, size:] == 0).all())


def test_a_checkpoint_trained_without_normalisation_is_used_without(folders, tmp_path):
    save_tiny("xls_r", tmp_path, seed=3)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    raw, usual = load_speech_encoder(str(tmp_path)).eval(), load_speech_encoder(str(folders / "xls_r")).eval()
    wave = noise(4000)[None]
    with torch.no_grad():
        close(raw(normalised(wave, [4000]))[0], usual(wave)[0])
        assert (raw(wave)[0] - usual(wave)[0]).abs().max() > 1e-3


def test_frame_count_formula_against_the_convolutions():
    encoder = tiny_speech_encoder("xls_r", seed=0).eval()
    assert arch.least_samples(encoder.values) == 400
    assert arch.frames(66800, arch.XLS_R_300M) == 208  # the paper's shape
    for samples in (400, 719, 720, 721, 16000, 16079, 16080):
        assert encoder.frames(samples) == (samples - 400) // 320 + 1
        with torch.no_grad():
            assert encoder(noise(samples)[None])[0].shape == (1, encoder.frames(samples), 32)
    assert encoder.frames(399) == 0


def test_xls_r_300m_has_the_published_size():
    with torch.device("meta"):
        encoder = SpeechEncoder(arch.XLS_R_300M)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 315_438_720
    # the vector of masked pre-training belongs to the published number and is never trained here
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 315_438_720 - 1024


@pytest.mark.parametrize("kind", TINY_KINDS)
@pytest.mark.parametrize("layer", [None, 0, 2, "weighted"])
def test_every_trainable_weight_gets_a_gradient(kind, layer):
    # data-parallel training refuses a parameter without one
    encoder = tiny_speech_encoder(kind, seed=0, layer=layer).train()
    wave = torch.stack([noise(4000, 0), noise(4000, 1)])
    encoder(wave)[0].square().mean().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert [n for n, p in encoder.named_parameters() if not p.requires_grad] == ["model.masked_spec_embed"]


def test_a_frozen_encoder_stays_in_eval_mode_and_its_mixture_learns():
    encoder = tiny_speech_encoder("wavlm_base", seed=0, layer="weighted", freeze=True)
    encoder.train()
    assert encoder.training
    assert not any(module.training for module in encoder.model.modules())
    encoder(noise(4000)[None])[0].square().mean().backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is not None] == ["mix"]
    assert encoder.mix.grad.abs().sum() > 0


def test_training_mode_draws_nothing(folders):
    encoder = load_speech_encoder(str(folders / "hubert_large"))
    wave = noise(4000)[None]
    with torch.no_grad():
        assert torch.equal(encoder.train()(wave)[0], encoder.eval()(wave)[0])


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator(folders):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    built = tiny_speech_encoder("xls_r", seed=3)
    loaded = load_speech_encoder(str(folders / "xls_r"))
    assert torch.equal(torch.rand(1), expected)
    for (name, a), b in zip(built.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b), name
    other = tiny_speech_encoder("xls_r", seed=4)
    assert not torch.equal(next(iter(other.parameters())), next(iter(built.parameters())))


def test_a_checkpoint_needs_the_architecture_only(folders, tmp_path):
    first = load_speech_encoder(str(folders / "wavlm_large"), layer=2).eval()
    save_model(tmp_path / "saved", first, {})
    again = SpeechEncoder(
        json.loads(json.dumps(first.values)), layer=2, pretrained=(str(tmp_path / "gone"), None)
    ).eval()
    load_model(tmp_path / "saved", again)
    wave = noise(4000)[None]
    with torch.no_grad():
        assert torch.equal(again(wave)[0], first(wave)[0])


def test_pretrained_weights_come_before_the_first_use(folders):
    folder = str(folders / "xls_r")
    encoder = SpeechEncoder(arch.architecture(folder), pretrained=(folder, None)).eval()
    assert all(bool(parameter.isnan().all()) for parameter in encoder.parameters())
    with torch.no_grad():
        assert torch.equal(encoder(noise(4000)[None])[0], load_speech_encoder(folder).eval()(noise(4000)[None])[0])


def test_without_weights_it_neither_runs_nor_is_saved(folders, tmp_path):
    encoder = SpeechEncoder(tiny_architecture("xls_r"))
    with pytest.raises(CheckpointError, match="no weights"):
        encoder(noise(4000)[None])
    with pytest.raises(CheckpointError, match="NaN"):
        save_model(tmp_path / "saved", encoder, {})
    gone = SpeechEncoder(tiny_architecture("xls_r"), pretrained=(str(tmp_path / "gone"), None))
    with pytest.raises(ConfigError, match="there is no folder"):
        gone(noise(4000)[None])
    other = SpeechEncoder(tiny_architecture("xls_r"), pretrained=(str(folders / "wavlm_base"), None))
    with pytest.raises(CheckpointError, match=r"not the encoder this model was configured for.*model_type"):
        other(noise(4000)[None])
    half = SpeechEncoder(tiny_architecture("xls_r"))
    torch.nn.init.ones_(half.model.encoder.layer_norm.weight)
    with pytest.raises(CheckpointError, match="only a part of its weights"):
        half(noise(4000)[None])


def test_a_folder_never_opens_a_socket(folders, monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_speech_encoder(str(folders / "xls_r")).dim == 32


def test_loading_says_nothing(folders, capfd):
    load_speech_encoder(str(folders / "xls_r"))
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_with_heads_and_without_mask_is_read(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    save_tiny("xls_r", tmp_path, seed=3)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["masked_spec_embed"]
    # as in files of wav2vec 2.0 with its heads
    weights = {f"wav2vec2.{name}": tensor for name, tensor in weights.items()} | {"lm_head.weight": torch.zeros(2, 32)}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    ours, full = load_speech_encoder(str(tmp_path)), load_speech_encoder(str(folders / "xls_r"))
    assert bool((ours.model.masked_spec_embed == 0).all())
    with torch.no_grad():
        assert torch.equal(ours.eval()(noise(4000)[None])[0], full.eval()(noise(4000)[None])[0])


def test_missing_and_damaged_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    save_tiny("hubert_base", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = "encoder.layers.1.attention.q_proj.weight"
    save_file({k: v for k, v in weights.items() if k != name}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=f"lacks weights.*{name}"):
        load_speech_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_speech_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_speech_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        load_speech_encoder(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json does not exist"):
        load_speech_encoder(str(tmp_path))


@pytest.mark.parametrize("revision", [None, "main", "1a640f3", "1A640F32AC3E39899438A2931F9924C02F080A54"])
def test_a_hub_id_needs_a_pinned_revision(revision):
    with pytest.raises(ConfigError, match=r"pinned revision.*40 hex digits"):
        load_speech_encoder("facebook/wav2vec2-xls-r-300m", revision)


def test_an_encoder_that_is_not_here_and_cannot_be_downloaded_is_an_error():
    with pytest.raises(CheckpointError, match=r"cannot be (read|had).*give its folder"):
        load_speech_encoder("nobody/no-such-encoder", arch.XLS_R_300M_REVISION)


def test_a_hub_id_is_read_at_its_revision(tmp_path):
    # what the Hub's client leaves on disk after a download
    commits = ["1" * 40, "2" * 40]
    for commit in commits:
        save_tiny("xls_r", tmp_path / "hub" / "models--some--encoder" / "snapshots" / commit, seed=int(commit[0]))
    code = (
        "import sys; from auricle.backbones.speech import load_speech_encoder as load; "
        "print([float(next(load('some/encoder', commit).parameters()).double().sum()) for commit in sys.argv[1:]])"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-c", code, *commits]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = [next(tiny_speech_encoder("xls_r", seed).parameters()) for seed in (1, 2)]
    assert json.loads(done.stdout) == [float(parameter.double().sum()) for parameter in expected]


@pytest.mark.parametrize("name", ["no/such/folder", "./nothing", "/nothing", "", "wav2vec2"])
def test_a_name_that_is_neither_is_refused(name):
    with pytest.raises(ConfigError, match="there is no folder"):
        load_speech_encoder(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "whisper"}, "type 'whisper'; encoders"),
        ({"add_adapter": True}, "shortens the frames"),
        ({"conv_pos_batch_norm": True}, "batch mates"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": "wide"}, "hidden_size is 'wide'"),
        ({"conv_dim": [16]}, "differ in length"),
        ({"conv_stride": 5}, "must be lists"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm is 'batch'"),
        ({"num_attention_heads": 5}, "cannot be built"),
        ({"hidden_act": "no_such"}, "cannot be built"),
    ],
)
def test_architectures_that_cannot_be_are_refused(change, message, tmp_path):
    save_tiny("xls_r", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ConfigError, match=message):
        load_speech_encoder(str(tmp_path))


@pytest.mark.parametrize("layer", [-1, 4, True, "last", 1.5])
def test_layers_that_are_not_there_are_refused(layer):
    with pytest.raises(ConfigError, match=r"there is no layer.*0 to 3, 'weighted'"):
        tiny_speech_encoder("xls_r", seed=0, layer=layer)


def test_inputs_that_cannot_be_are_refused():
    encoder = tiny_speech_encoder("xls_r", seed=0)
    with pytest.raises(DataError, match="399 samples; this speech encoder needs at least 400"):
        encoder(noise(399)[None])
    with pytest.raises(DataError, match="399 samples"):
        encoder(noise(800)[None], torch.tensor([399]))
    with pytest.raises(DataError, match="within N"):
        encoder(noise(800)[None], torch.tensor([801]))
    with pytest.raises(DataError, match="within N"):
        encoder(noise(800)[None], torch.tensor([800, 800]))
    with pytest.raises(DataError, match=r"give \(B, N\) floats"):
        encoder(noise(800))
    with pytest.raises(DataError, match=r"give \(B, N\) floats"):
        encoder(torch.zeros(1, 800, dtype=torch.int16))


def test_an_unknown_tiny_kind_is_refused():
    with pytest.raises(ConfigError, match=r"'whisper'; kinds: wav2vec2_base, xls_r"):
        save_tiny("whisper", "nowhere")


def test_without_transformers_the_extra_is_named(monkeypatch):
    from auricle.core import extras

    monkeypatch.setattr(extras, "available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[hf\]"):
        tiny_speech_encoder("xls_r", seed=0)


def test_the_room_does_not_import_transformers():
    code = "import sys, auricle.backbones.speech, auricle.backbones.tiny; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
