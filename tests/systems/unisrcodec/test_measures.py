"""What is measured beside distances: STOI, ViSQOL, PESQ, other codecs on the same files, linear probes."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch

from auricle.audio.resample import resample
from auricle.backbones.codecs import kind_of, load_codec
from auricle.core import extras
from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError, DataError, MissingExtra
from auricle.core.run import open_run
from auricle.core.seed import rng
from auricle.data import embedded
from auricle.metrics import speech as measures
from auricle.metrics.bootstrap import mean_bootstrap
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.report.speech_measures import SpeechMeasures
from auricle.systems.unisrcodec import probes
from auricle.systems.unisrcodec.config import CodecConfig, EvalConfig, smoke
from auricle.systems.unisrcodec.data import Recording, prepare
from auricle.systems.unisrcodec.evaluate import group_rows, peer_notes
from auricle.systems.unisrcodec.infer import coder_of
from auricle.systems.unisrcodec.measures import by_kind, by_metric, code_all
from auricle.systems.unisrcodec.peers import LOG_MEL, MAJORITY, OURS, PCA, load_peers
from auricle.systems.unisrcodec.train import Training, train

RATE = 44_100


@pytest.fixture(scope="module")
def voice():
    """A second and a half of speech at 16 kHz, and noise of the same level."""
    clip = next(clip for clip in embedded.clips("speech") if 1.4 < clip.duration_s < 1.8)
    audio = clip.read()
    wave = resample(audio.mono(), audio.rate_hz, 16_000).astype(np.float64)
    return wave, np.random.default_rng(0).standard_normal(len(wave)) * wave.std()


def recording(name, kind, wave):
    return Recording(name, kind, 8000.0, wave.astype(np.float32))


# --- speech -----------------------------------------------------------------------------------------------------------


def test_stoi_is_one_for_the_clip_itself_and_falls_with_noise(voice):
    wave, noise = voice
    values = [measures.stoi(wave + level * noise, wave) for level in (0, 0.3, 1, 3)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.7
    assert measures.stoi(0.1 * wave, wave) == pytest.approx(1, abs=1e-4)  # level does not count


def test_visqol_is_at_its_top_for_the_clip_itself_and_falls_with_noise(voice):
    pytest.importorskip("visqol")
    wave, noise = voice
    values = [measures.visqol(wave + level * noise, wave) for level in (0, 0.1, 1)]
    assert values[0] > 4.7
    assert 5 >= values[0] > values[1] + 0.5 > values[1] > values[2] + 0.5
    assert values[2] >= 1


def test_pesq_falls_with_noise(voice):
    pytest.importorskip("pesq")
    wave, noise = voice
    assert measures.pesq(wave, wave) == pytest.approx(4.644, abs=1e-3)
    assert measures.pesq(wave + noise, wave) < 2


def test_what_holds_no_speech_is_refused_and_not_given_a_number(voice):
    wave, _ = voice
    with pytest.raises(DataError, match=r"0\.4 s of speech"):
        measures.stoi(wave[:4000], wave[:4000])
    for measure in (measures.stoi, measures.visqol, measures.pesq):
        with pytest.raises(DataError, match="same length"):
            measure(wave[1:], wave)


def test_a_missing_package_is_named_on_stderr_and_in_the_report(voice, monkeypatch, capsys):
    find = extras.importlib.util.find_spec
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None if name == "visqol" else find(name))
    with pytest.raises(MissingExtra, match=r"auricle\[codec\]"):
        measures._visqol.__wrapped__()
    judge = SpeechMeasures(visqol_files=3)
    clip = recording("a", "speech", resample(voice[0], 16_000, RATE))
    assert "visqol" not in judge(clip.wave, {OURS: clip.wave}, RATE)
    said = capsys.readouterr().err
    assert "visqol was left out" in said
    assert "auricle[codec]" in said
    assert any("visqol was left out" in note for note in judge.notes())


def counting(name):
    calls = []

    def call(made, real):
        calls.append(len(real))
        if not np.any(made):
            raise DataError("nothing")
        return float(len(made))

    return dataclasses.replace(measures.MEASURES[0], name=name, call=call), calls


def test_only_speech_of_a_second_is_judged_and_all_of_it_or_nothing():
    (every, _), (slow, calls) = counting("stoi"), counting("visqol")
    judge = SpeechMeasures(2, [every, slow])
    long, short = np.ones(RATE), np.ones(RATE - 1)
    assert judge(short, {OURS: short}, RATE) == {}
    assert judge(long, {OURS: long, "x": 0 * long}, RATE) == {}
    for _ in range(3):
        found = judge(long, {OURS: long, "x": long}, RATE)
        assert found["stoi"] == {OURS: 16_000.0, "x": 16_000.0}
    assert "visqol" not in found  # two were enough
    assert set(calls) == {16_000}
    first, second = judge.notes()
    assert "stoi is of pystoi" in first
    assert "on 3 speech recordings; 2 had too little" in first
    assert "on 2 speech recordings" in second


# --- peers ------------------------------------------------------------------------------------------------------------


def tiny_model(kind):
    transformers = pytest.importorskip("transformers")
    if kind == "dac":
        config = transformers.DacConfig(
            encoder_hidden_size=4,
            decoder_hidden_size=16,
            downsampling_ratios=[2, 4],
            n_codebooks=3,
            codebook_size=16,
            codebook_dim=4,
            sampling_rate=8000,
        )
        return transformers.DacModel(config)
    if kind == "encodec":
        config = transformers.EncodecConfig(
            target_bandwidths=[4.0, 8.0],
            sampling_rate=8000,
            hidden_size=8,
            num_filters=2,
            upsampling_ratios=[4, 2],
            num_lstm_layers=1,
            codebook_size=16,
            codebook_dim=8,
        )
        return transformers.EncodecModel(config)
    config = transformers.MimiConfig(
        sampling_rate=8000,
        hidden_size=16,
        num_filters=2,
        upsampling_ratios=[4, 2],
        codebook_size=16,
        codebook_dim=8,
        num_quantizers=4,
        num_hidden_layers=1,
        intermediate_size=16,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vector_quantization_hidden_dimension=8,
        upsample_groups=16,
        frame_rate=500,
    )
    return transformers.MimiModel(config)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("peers")
    for kind in ("dac", "encodec", "mimi"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            tiny_model(kind).save_pretrained(root / kind)
    return root


@pytest.mark.parametrize(
    ("kind", "stages", "bits_per_s"),
    # frames a second times codebooks times 4 bits
    [("dac", None, 1000 * 3 * 4), ("dac", 1, 1000 * 4), ("encodec", None, 1000 * 4), ("encodec", 2, 1000 * 2 * 4)],
)
def test_a_codec_of_a_folder_gives_waves_and_its_true_bits(folders, kind, stages, bits_per_s):
    codec = load_codec(folders / kind, stages)
    wave = 0.1 * rng(0, "wave").standard_normal(RATE + 7).astype(np.float32)
    made, bits = codec.code(wave, RATE)
    assert made.shape == wave.shape
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert bits == pytest.approx(bits_per_s * len(wave) / RATE, rel=0.01)
    assert bits == codec.code(wave, RATE)[1]


def test_mimi_counts_its_codebooks(folders):
    wave = 0.1 * rng(0, "wave").standard_normal(8000).astype(np.float32)
    (made, whole), (_, half) = (load_codec(folders / "mimi", stages).code(wave, 8000) for stages in (None, 2))
    assert made.shape == wave.shape
    assert whole == 2 * half > 0


def test_levels_and_overlaps_of_chunks_are_counted_too(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.EncodecConfig(
        target_bandwidths=[4.0],
        sampling_rate=8000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        hidden_size=8,
        num_filters=2,
        upsampling_ratios=[4, 2],
        num_lstm_layers=1,
        codebook_size=16,
        codebook_dim=8,
        norm_type="time_group_norm",
        use_causal_conv=False,
    )
    transformers.EncodecModel(config).save_pretrained(tmp_path)
    wave = 0.1 * rng(0, "wave").standard_normal(20_000).astype(np.float32)
    made, bits = load_codec(tmp_path).code(wave, 8000)
    assert made.shape == wave.shape
    # chunks begin every 7,920 samples: two of 8,000 and one of 4,160, a frame of 8 samples, 4 bits; a level for each
    assert bits == 4 * (1000 + 1000 + 520) + 3 * 32


def test_what_is_decoded_comes_from_the_codes_alone(folders):
    from transformers import DacModel

    model = DacModel.from_pretrained(folders / "dac").eval()
    wave = 0.1 * rng(0, "wave").standard_normal(4000).astype(np.float32)
    with torch.no_grad():
        wanted = model(torch.from_numpy(wave)[None, None]).audio_values[0].numpy()
    made, _ = load_codec(folders / "dac").code(wave, 8000)
    assert np.allclose(made[: len(wanted)], wanted, atol=1e-5)


def test_a_folder_that_is_no_codec_is_refused(folders, tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        kind_of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="'bert'; codecs that are read: dac, encodec, mimi"):
        load_codec(tmp_path)
    (tmp_path / "config.json").write_text((folders / "dac" / "config.json").read_text())
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_codec(tmp_path)
    with pytest.raises(ConfigError, match="4 codebooks a frame; it can with 1, 2, 3"):
        load_codec(folders / "dac", 4)


def test_weights_that_are_missing_or_left_over_are_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text((folders / "dac" / "config.json").read_text())
    state = load_file(folders / "dac" / "model.safetensors")
    save_file({**state, "extra.weight": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"do not belong, such as extra\.weight"):
        load_codec(tmp_path)
    name = sorted(state)[0]
    save_file({key: state[key] for key in state if key != name}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks weights"):
        load_codec(tmp_path)


@pytest.fixture(scope="module")
def small():
    """An untrained codec, its reference and two recordings."""
    cfg = smoke()
    coder = coder_of(Training(cfg).codec.eval(), cfg, "smoke")
    draws = rng(0, "mels")
    mels = [torch.from_numpy(draws.normal(-5, 2, (64, 128)).astype(np.float32)) for _ in range(4)]
    clips = [recording(name, "speech", 0.1 * draws.standard_normal(RATE // 2)) for name in ("a", "b")]
    return coder, PcaVq(mels, 16, 16, 4, 0), clips


def test_a_missing_peer_stops_before_training(tmp_path):
    cfg = override(smoke(), [f"eval.peers=mine={tmp_path}"])
    run = open_run(tmp_path / "run", "unisrcodec", "smoke", cfg)
    prepare(cfg, run)
    with pytest.raises(DataError, match="no decoded file for"):
        train(cfg, run)
    assert not run.checkpoints.exists() or not any(run.checkpoints.iterdir())


def test_peers_stand_in_the_rows_under_their_own_names(small, folders, tmp_path):
    coder, reference, clips = small
    for clip, suffix in zip(clips, (".wav", ".flac"), strict=True):
        # another rate, a little short: as decoders give them
        soundfile.write(tmp_path / f"{clip.name}{suffix}", resample(clip.wave, RATE, 16_000)[:-300], 16_000)
    entries = (str(folders / "dac"), f"dac1={folders / 'dac'}@1", f"mine={tmp_path}")
    peers = load_peers(entries, ["a", "b"])
    assert [peer.name for peer in peers] == ["dac", "dac1", "mine"]
    coded = [code_all(coder, reference, clip, peers) for clip in clips]
    rows = {(row.name, row.baseline): row for row in group_rows(coder.cfg, coder, "all", coded)}
    for name in ("dac", "dac1", "mine", "opus"):
        assert rows["mel_distance_44", name].n == 2
    # a decoded file that is the original up to 8 kHz
    assert rows["si_sdr", "mine"].value > rows["si_sdr", "dac"].value + 10
    assert rows["mel_distance_16", "mine"].value < 0.5 * rows["mel_distance_16", "dac"].value
    assert rows["kbit_per_s", "dac"].value == pytest.approx(12, rel=0.01)
    assert rows["kbit_per_s", "dac1"].value == pytest.approx(4, rel=0.01)
    assert ("kbit_per_s", "mine") not in rows
    assert peer_notes(coded) == ["the rate of mine is not known: only its decoded files were given"]


def test_only_recordings_of_speech_go_to_the_measures_of_speech(small):
    coder, reference, (clip, _) = small
    judge = SpeechMeasures(0, [counting("stoi")[0]])
    judged = [
        "stoi" in code_all(coder, reference, recording("c", kind, np.tile(clip.wave, 2)), speech=judge).values
        for kind in ("speech", "music")
    ]
    assert judged == [True, False]


def test_decoded_files_that_are_missing_short_or_no_audio_are_named(small, tmp_path):
    clips = small[2]
    soundfile.write(tmp_path / "a.wav", clips[0].wave[:8000], RATE)
    with pytest.raises(DataError, match=r"2 of 3 test recordings: b, c; name them ID\.wav"):
        load_peers([f"mine={tmp_path}"], ["a", "b", "c"])
    (peer,) = load_peers([str(tmp_path)], ["a"])
    assert peer.name == tmp_path.name
    with pytest.raises(DataError, match=r"lasts 0\.18 s and the recording 0\.50 s"):
        peer.code(clips[0], RATE)
    with pytest.raises(DataError, match=r"has no decoded file of b; add .*/b\.wav or \.flac"):
        peer.code(clips[1], RATE)
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(DataError, match=r"'mine'.*a\.wav"):
        load_peers([f"mine={tmp_path}"], ["a"])[0].code(clips[0], RATE)


def test_entries_that_say_nothing_are_refused(folders, tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        load_peers([str(tmp_path / "none")], [])
    with pytest.raises(ConfigError, match="'dac' is taken"):
        load_peers([str(folders / "dac"), str(folders / "dac")], [])
    with pytest.raises(ConfigError, match="'opus' is taken"):
        load_peers([f"opus={tmp_path}"], [])
    with pytest.raises(ConfigError, match="and so is no codec"):
        load_peers([f"x={tmp_path}@2"], [])
    with pytest.raises(ConfigError, match="names no folder"):
        load_peers([""], [])
    assert CodecConfig(eval=EvalConfig(peers="dac/")).eval.peers == ("dac/",)


def test_numbers_are_turned_from_codecs_to_metrics_and_grouped_by_kind():
    turned = by_metric({OURS: {"a": 1.0, "b": 2.0}, "opus": {"a": 3.0, "b": 4.0}})
    assert turned == {"a": {OURS: 1.0, "opus": 3.0}, "b": {OURS: 2.0, "opus": 4.0}}
    grouped = list(by_kind(["bb", "a", "cc"], lambda text: f"of {len(text)}"))
    assert grouped == [("of 2", ["bb", "cc"]), ("of 1", ["a"]), ("all", ["bb", "a", "cc"])]


# --- probes -----------------------------------------------------------------------------------------------------------


def embedded_as(labels, shift, seed):
    """Make recordings whose codec vectors lie `shift` apart by class and whose PCA + VQ vectors are noise."""
    draws = np.random.default_rng(seed)
    made = []
    for place, label in enumerate(labels):
        vectors = {OURS: draws.standard_normal(6), PCA: draws.standard_normal(6), LOG_MEL: draws.standard_normal(6)}
        vectors[OURS][int(label)] += shift
        made.append((probes.Embedded(f"{seed}-{place}", "sound", vectors), label))
    return made


def test_a_probe_beats_the_majority_where_there_is_something_to_find_and_not_elsewhere():
    task = probes.Task("sound", embedded_as("012" * 40, 6.0, 0), embedded_as("0122" * 50, 6.0, 1))
    rows = {row.baseline: row for row in probes.rows(task, 0, 200)}
    assert set(rows) == {None, PCA, LOG_MEL, MAJORITY}
    assert rows[None].name == "probe_sound_accuracy"
    assert rows[None].group == "probe: sound"
    assert rows[None].n == 200
    assert rows[None].value > 95
    assert rows[None].ci95[0] > rows[MAJORITY].ci95[1]
    assert rows[MAJORITY].value == 25  # the most frequent class of the fit, first by name where they are alike
    for noise in (PCA, LOG_MEL):
        assert rows[noise].ci95[0] < 100 / 3 < rows[noise].ci95[1]


def test_voices_are_halved_and_rare_classes_left_out():
    pairs = embedded_as("0" * 5 + "1" * 4 + "2" * 3, 0.0, 0)
    fit, test = probes.halves(pairs, 0)
    assert sorted(label for _, label in fit) == ["0"] * 3 + ["1"] * 2
    assert sorted(label for _, label in test) == ["0"] * 2 + ["1"] * 2
    assert not {one.name for one, _ in fit} & {one.name for one, _ in test}
    fit, test = probes.shared_classes(embedded_as("0001", 0.0, 0), embedded_as("0112", 0.0, 1))
    assert [label for _, label in fit] == ["0"] * 3
    assert [label for _, label in test] == ["0"]


def test_a_question_with_one_class_gives_no_row_and_is_named():
    task = probes.Task("speaker", embedded_as("000", 0.0, 0), embedded_as("0", 0.0, 1))
    assert list(probes.rows(task, 0, 100)) == []
    assert any("probe_speaker_accuracy was not measured" in note for note in probes.notes([task]))


def test_the_embedding_is_the_mean_of_what_the_tokens_stand_for(small):
    coder, reference, clips = small
    mel = torch.from_numpy(rng(1, "mel").normal(-5, 2, (48, 128)).astype(np.float32))
    found = probes.embed(coder.codec, reference, clips[0], mel).vectors
    with torch.no_grad():
        latent = coder.codec(mel[None]).quantised.latent[0]  # (3, 8, D)
    assert np.allclose(found[OURS], latent.mean(dim=0).numpy().ravel(), atol=1e-5)
    assert found[PCA].shape == (8 * 4,)
    assert np.allclose(found[LOG_MEL], mel.mean(dim=0).numpy(), atol=1e-5)


def test_the_corpus_knows_the_classes():
    clips = {kind: embedded.clips(kind)[:6] for kind in embedded.KINDS}
    ones = [probes.Embedded(clip.id, kind, {OURS: np.zeros(2)}) for kind, own in clips.items() for clip in own]
    kind, _, speaker = probes.tasks("embedded", 0, ones, ones)
    assert {label for _, label in kind.fit} == set(embedded.KINDS)
    assert {label for _, label in speaker.fit} == {clips["speech"][0].speaker}


def test_the_interval_of_a_mean_holds_it():
    low, high = mean_bootstrap([1.0, 2.0, 3.0, 4.0, 5.0], 200, seed=0)
    assert 1 <= low < 3 < high <= 5
    assert mean_bootstrap([1.0, 2.0, 3.0, 4.0], 200, seed=0) is None
