"""The codec as a whole: token files, tiles, losses, the reference, distances, the screen."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio.channel import opus_bits_per_s
from auricle.audio.distance import mel_distance, stft_distance
from auricle.audio.tiles import mel_tiles, wave_tiles
from auricle.audio.token_files import Tokens, dumps, loads, read, write
from auricle.audio.vocoder_mel import MelContract
from auricle.core.answers import Refused
from auricle.core.config import override, parse
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.core.request import Request
from auricle.metrics.waveform import si_sdr
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.systems.screen import save_plot, screen
from auricle.systems.unisrcodec.config import CodecConfig, ModelConfig, laptop, smoke
from auricle.systems.unisrcodec.data import Cuts, log_mel
from auricle.systems.unisrcodec.evaluate import rates
from auricle.systems.unisrcodec.files import Written, decode_files, encode_files
from auricle.systems.unisrcodec.infer import coder_of, infer, load, vocoder_for
from auricle.systems.unisrcodec.model import sub_band_loss
from auricle.systems.unisrcodec.tiles import decode_tiles, encode_tiles
from auricle.systems.unisrcodec.train import FIRST_CUTS, Training, end_to_end


def coder(**changes):
    cfg = override(smoke(), [f"model.{name}={value}" for name, value in changes.items()])
    return coder_of(Training(cfg).codec.eval(), cfg, "smoke")


@pytest.fixture(scope="module")
def tiny():
    return coder()


def noise(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


# --- token files ------------------------------------------------------------------------------------------------------


def some_tokens(seed=0, columns=5, bits=13, shape=(8,)):
    draws = np.random.default_rng(seed)
    return Tokens(draws.integers(0, 1 << bits, (columns, *shape)), 40_000, 44_100, 512, 16, bits, "ab" * 16)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(0, 9), st.integers(1, 16), st.sampled_from([(8,), (16,), (8, 3)]))
def test_indices_survive_the_file(seed, columns, bits, shape):
    tokens = some_tokens(seed, columns, bits, shape)
    back = loads(dumps(tokens))
    assert np.array_equal(back.indices, tokens.indices)
    assert replace(back, indices=0) == replace(tokens, indices=0)


def test_the_file_is_as_small_as_its_bits(tmp_path):
    tokens = some_tokens(columns=100)
    size = write(tmp_path / "a.ausr", tokens)
    assert size == (tmp_path / "a.ausr").stat().st_size == 45 + 8 + 100 * 8 * 13 // 8
    assert np.array_equal(read(tmp_path / "a.ausr").indices, tokens.indices)


def test_a_cut_flipped_foreign_or_missing_file_is_refused(tmp_path):
    data = dumps(some_tokens())
    for length in (3, 10, 40, len(data) - 1):
        with pytest.raises(DataError, match=r"cut short|no token file"):
            loads(data[:length])
    with pytest.raises(DataError, match="behind its end"):
        loads(data + b"x")
    for place in range(5, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 4
        with pytest.raises(DataError):
            loads(bytes(flipped))
    with pytest.raises(DataError, match="version 9"):
        loads(data[:4] + b"\x09" + data[5:])
    with pytest.raises(DataError, match="does not begin"):
        loads(b"RIFF" + data[4:])
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.ausr")
    with pytest.raises(DataError, match="13 bits"):
        dumps(Tokens(np.full((1, 8), 8192), 1, 44_100, 512, 16, 13, "ab" * 16))


# --- encode and decode ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 768, 769, 5000, 8192, 8193])
def test_every_length_works_and_comes_back(tiny, samples):
    tokens = tiny.encode_blocks([noise(samples)])
    assert tokens.indices.shape == (-(-samples // 8192), 8)
    assert tiny.decode(tokens).shape == (samples,)


def test_tiles_give_what_the_whole_gives(tiny):
    codec, wave = tiny.codec, noise(460_000)
    with torch.no_grad():
        mel = log_mel(codec.mel, wave, codec.step)
        whole = codec.encode(mel[None])[0]
        blocks = [wave[:7], wave[7:100_000], wave[100_000:]]
        assert torch.equal(torch.cat(list(mel_tiles(codec.mel, blocks, codec.step, 4))), mel)
        assert torch.equal(torch.cat(list(encode_tiles(codec, blocks, tile=4))), whole)
        wanted = codec.decode(whole[None])[0]
        made = torch.cat(list(decode_tiles(codec, whole.split(5), tile=4)))
    assert (made - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_waveform_tiles_keep_length_and_blend(tiny):
    class Ramp(torch.nn.Module):
        def forward(self, mel):
            return mel[:, :, :1].repeat_interleave(512, dim=1)[..., 0]

    mel = torch.arange(16 * 30, dtype=torch.float32)[:, None]
    wave = np.concatenate(list(wave_tiles(Ramp(), mel.split(48), 16, 512, tile=4)))
    assert np.allclose(wave, np.repeat(np.arange(16 * 30), 512), rtol=1e-5)


def test_the_forward_pass_and_the_file_agree_to_the_bit(tiny):
    wave = noise(30_000)
    with torch.no_grad():
        out = tiny.codec(log_mel(tiny.codec.mel, wave, tiny.codec.step)[None])
        again = tiny.codec.decode(torch.from_numpy(loads(dumps(tiny.encode_blocks([wave]))).indices)[None])
    assert torch.equal(out.mel, again)


def test_the_order_is_column_by_column_and_changes_nothing(tiny):
    z = torch.randn(1, 3, 8, tiny.codec.encoder.layers[-1].out_channels)  # (B, T', F', D)
    forward = tiny.codec.quantizer(z)
    swapped = tiny.codec.quantizer(z.transpose(1, 2))
    assert torch.equal(swapped.latent.transpose(1, 2), forward.latent)
    assert torch.equal(swapped.indices.transpose(1, 2), forward.indices)


def test_tokens_of_another_codec_are_refused(tiny):
    tokens = tiny.encode_blocks([noise(5000)])
    with pytest.raises(DataError, match="of the codec"):
        coder(codes=128).decode(tokens)
    with pytest.raises(AudioError):
        tiny.encode_blocks([])
    with pytest.raises(AudioError):
        tiny.encode(np.full(44_100, np.nan, np.float32), 44_100)


@pytest.mark.parametrize(("variant", "quoted", "long_run", "kbit"), [("B", 40, 43.07, 0.52), ("L", 176, 172.27, 2.288)])
def test_the_quoted_rates_are_recovered(variant, quoted, long_run, kbit):
    found = {name: value for name, value, _ in rates(coder(variant=variant, codes=8192))}
    assert found["tokens_of_1s_clip_as_quoted"] == quoted
    assert found["tokens_per_s"] == pytest.approx(long_run, abs=0.01)
    assert found["kbit_of_1s_clip_as_quoted"] == pytest.approx(kbit)


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_halves_are_weighed():
    made, real = torch.zeros(1, 4, 128), torch.zeros(1, 4, 128)
    made[..., :64] = 1.0
    made[..., 64:] = 3.0
    assert float(sub_band_loss(made, real, 2.0, 1.0)) == pytest.approx(2 * 1 + 3)


def test_the_discriminator_learns_and_the_codec_is_not_its_teacher():
    training = Training(override(smoke(), ["train.adversarial_after=0"]))
    mel = torch.randn(2, 32, 128) - 4
    losses = training(mel)
    judge = list(training.discriminator.parameters())
    from_fooling = torch.autograd.grad(losses["fool"] + losses["feature"], judge, retain_graph=True, allow_unused=True)
    assert all(grad is None for grad in from_fooling)
    codec = list(training.codec.parameters())
    assert all(
        grad is None
        for grad in torch.autograd.grad(losses["discriminator"], codec, retain_graph=True, allow_unused=True)
    )
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in training.parameters())


def test_the_average_follows_the_weights_and_starts_quickly():
    training = Training(smoke())
    bias = training.codec.encoder.layers[0].bias
    with torch.no_grad():
        bias.fill_(1.0)
    before = training.averaged()["encoder.layers.0.bias"].clone()
    training.train()(torch.zeros(1, 32, 128))
    after = training.averaged()["encoder.layers.0.bias"]
    assert torch.allclose(after, before + 0.9 * (1.0 - before))  # first decay is 1/10
    training.eval()(torch.zeros(1, 32, 128))
    assert torch.equal(training.averaged()["encoder.layers.0.bias"], after)


def test_cuts_repeat_and_favour_no_kind():
    mels = [torch.full((200, 4), 1.0), torch.full((20, 4), 2.0), torch.full((8, 4), 3.0)]
    cuts = Cuts(mels, ["music", "speech", "speech"], 16, 8, seed=3)
    first, again = list(cuts(0)), list(cuts(0))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert first[0].shape == (8, 16, 4)
    drawn = torch.cat([batch[:, 0, 0] for epoch in range(100) for batch in cuts(epoch)])
    assert float((drawn == 1.0).float().mean()) == pytest.approx(0.5, abs=0.08)


def test_a_config_from_before_the_shared_recipe_is_read_as_it_was_trained():
    saved = laptop().model_dump(mode="json")
    new = ("accumulate", "clip_norm", "keep_best", "patience", "mixed_precision", "tensorboard", "final_lr_fraction")
    for name in new:
        del saved["train"][name]
    assert parse(CodecConfig, saved) == laptop()
    loop = laptop().train.loop()
    assert loop["final_lr_fraction"] == 0.01  # what the training loop was told
    assert (loop["clip_norm"], loop["accumulate"], loop["mixed_precision"]) == (1.0, 1, "no")  # what it did by itself


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of 16"):
        override(CodecConfig(), ["train.frames=24"])
    with pytest.raises(ValueError, match="multiples of groups"):
        ModelConfig(channels=(10, 20, 40), groups=8)
    assert laptop().model.step == 16


def test_training_without_a_discriminator_has_none():
    assert Training(laptop()).discriminator is None


def test_a_vocoder_must_be_a_published_one_of_this_mel(tmp_path, tiny):
    cfg = override(tiny.cfg, [f"eval.vocoder={tmp_path}"])
    with pytest.raises(CheckpointError, match="has no"):
        vocoder_for(cfg, tiny.codec)
    with pytest.raises((CheckpointError, ConfigError)):
        load(tmp_path)


# --- what stands beside it --------------------------------------------------------------------------------------------


def test_pca_vq_rebuilds_what_lies_in_its_codebook():
    torch.manual_seed(0)
    prototypes = torch.randn(4, 16, 16) * 3
    mel = torch.cat([torch.cat([prototypes[(c + r) % 4] for r in range(8)], dim=1) for c in range(12)])
    reference = PcaVq([mel[:96]], 16, 48, 16, seed=0)
    assert (reference.rebuild(mel) - mel).abs().mean() < 0.2 * mel.abs().mean()
    assert reference.rebuild(mel).shape == mel.shape


def test_opus_at_its_lowest_is_about_twelve_times_our_rate():
    assert 3000 < opus_bits_per_s([noise(44_100 * 4)], MelContract().rate_hz) < 12_000


def test_distances_are_zero_at_home_and_grow():
    wave = noise(20_000)
    louder, other = wave * 2, noise(20_000, seed=1)
    assert mel_distance(wave, wave, 44_100) == pytest.approx(0, abs=1e-7)  # two rows of one FFT may differ in a bit
    assert stft_distance(wave, wave) == pytest.approx(0, abs=1e-7)
    assert mel_distance(louder, wave, 44_100) == pytest.approx(np.log10(2), abs=0.02)
    assert stft_distance(other, wave) > 0.1
    with pytest.raises(AudioError, match="same length"):
        mel_distance(wave[:-1], wave, 44_100)


def test_si_sdr_by_hand():
    time = np.arange(1000) * 2 * np.pi / 100
    real, rest = np.sin(time), np.cos(time)
    assert si_sdr(3 * (real + 0.1 * rest), real) == pytest.approx(20.0)
    assert si_sdr(rest, real) < -100
    assert si_sdr(2 * real, real) > 150
    with pytest.raises(DataError):
        si_sdr(real, np.ones(1000))
    with pytest.raises(DataError):
        si_sdr(real[:-1], real)


def test_the_screen_tells_full_band_from_upsampled(tmp_path):
    from auricle.audio.resample import resample

    soundfile.write(tmp_path / "full.wav", noise(44_100), 44_100)
    soundfile.write(tmp_path / "narrow.wav", resample(noise(16_000), 16_000, 44_100), 44_100)
    (tmp_path / "bad.wav").write_text("no")
    rows = {row.input.rpartition("/")[2]: row for row in screen([tmp_path])}
    assert rows["full.wav"].passes
    assert not rows["narrow.wav"].passes
    assert 7_000 < rows["narrow.wav"].bandwidth_hz < 9_500
    assert isinstance(rows["bad.wav"], Refused)
    save_plot([rows["full.wav"], rows["narrow.wav"]], 20_000.0, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_rows_to_begin_with_are_cut_from_all_recordings():
    mels = [torch.arange(4.0)[:, None].expand(4, 3), 4 + torch.arange(5.0)[:, None].expand(5, 3)]
    assert torch.equal(end_to_end(mels, 4)[:, :, 0], torch.arange(8.0).view(2, 4))
    assert end_to_end(mels[:1], 8)[0, :, 0].tolist() == [0, 1, 2, 3] * 2
    many = end_to_end([torch.arange(4.0 * FIRST_CUTS)[:, None]], 2)
    assert len(many) == FIRST_CUTS
    assert many[-1, 0, 0] == 4 * FIRST_CUTS - 4


def test_folders_go_to_tokens_and_back_and_nothing_is_written_over(tiny, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", noise(20_000, seed=ord(name)), 44_100)
    (tmp_path / "a" / "notes.wav").write_text("not audio")
    done = list(encode_files(tiny, [tmp_path / "a", tmp_path / "b", tmp_path / "none.wav"], tmp_path / "t", True))
    assert [isinstance(result, Written) for result in done] == [False, True, False, False]
    assert done[0].error.count("notes.wav") == 1
    assert "has just been written from" in done[2].error
    assert done[3] == Refused(str(tmp_path / "none.wav"), f"{tmp_path / 'none.wav'} does not exist")
    first = read(tmp_path / "t" / "x.wav.ausr")
    assert np.array_equal(first.indices, np.load(tmp_path / "t" / "x.wav.npy"))
    wave = soundfile.read(tmp_path / "a" / "x.wav", dtype="float32")[0]
    assert np.array_equal(first.indices, tiny.encode(wave, 44_100).indices)
    (tmp_path / "t" / "cut.ausr").write_bytes(b"AUSR")
    back = list(decode_files(tiny, [tmp_path / "t", tmp_path / "b"], tmp_path / "d"))
    assert [isinstance(result, Written) for result in back] == [False, True, False]
    assert soundfile.info(tmp_path / "d" / "x.wav").frames == 20_000
    assert "without token files" in back[2].error


def test_a_request_gets_its_tokens_or_a_reason(tiny, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(20_000), 44_100)
    (tmp_path / "b.wav").write_text("not audio")
    names = ("a.wav", "b.wav", "a.wav")
    first, second, third = infer(tiny, [Request(audio=tmp_path / name) for name in names])
    assert isinstance(second, Refused)
    assert (second.input, set(second.as_dict())) == (str(tmp_path / "b.wav"), {"input", "error"})
    assert first.as_dict() == third.as_dict()
    answer = first.as_dict()
    assert answer["tokens"] == 8 * answer["columns"] == np.size(answer["indices"])
    assert answer["warnings"][0].startswith("laptop-model")
    published = replace(tiny, preset="paper")
    assert not any("laptop" in text for text in next(infer(published, [Request(audio=tmp_path / "a.wav")])).warnings)
