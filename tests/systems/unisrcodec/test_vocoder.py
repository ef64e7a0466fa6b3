"""The trainable vocoder: its place in time, its reach, what it learns, its runs, and its use by a codec."""

import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from auricle.audio.distance import mel_distance
from auricle.audio.tiles import wave_tiles
from auricle.audio.transform import stft
from auricle.audio.vocoder_mel import GriffinLimVocoder, MelContract, VocoderMel
from auricle.cli.main import app
from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.files import read_json, write_json
from auricle.core.report import Report
from auricle.core.run import FINAL, RunFolder, open_run
from auricle.systems.unisrcodec.config import smoke as codec_smoke
from auricle.systems.unisrcodec.infer import coder_of, load, vocoder_for
from auricle.systems.unisrcodec.train import Training
from auricle.systems.unisrcodec.vocoder import SPEC
from auricle.systems.unisrcodec.vocoder import train as training
from auricle.systems.unisrcodec.vocoder.config import VocoderModel, laptop, smoke
from auricle.systems.unisrcodec.vocoder.evaluate import tone_kept
from auricle.systems.unisrcodec.vocoder.load import about
from auricle.systems.unisrcodec.vocoder.load import load as load_vocoder
from auricle.systems.unisrcodec.vocoder.network import Vocoder
from auricle.systems.unisrcodec.vocoder.run import resolve, run_all
from auricle.systems.unisrcodec.vocoder.train import MultiScaleMelLoss, dev_metrics
from auricle.train.checkpoint import save_model

HOP = 512


def some_mel(frames, seed=0, batch=1):
    """Log-mels that move as real ones do: around -5, between the floor and 1."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, frames, 128, generator=generator) * 2 - 5).clamp(-11, 1)


def fresh(**sizes):
    torch.manual_seed(0)
    return Vocoder(VocoderModel(**{"dim": 16, "blocks": 2, **sizes})).eval()


def near(made, wanted):
    return float((made - wanted).abs().max()) <= 1e-5 * max(1.0, float(wanted.abs().max()))


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 33])
def test_every_frame_gives_a_hop(frames):
    with torch.no_grad():
        made = fresh()(some_mel(frames, batch=2))
    assert made.shape == (2, frames * HOP)
    assert made.isfinite().all()
    assert made.shape == GriffinLimVocoder(iterations=1)(some_mel(frames, batch=2)).shape


def test_a_frame_lies_half_a_hop_off_the_usual_place(monkeypatch):
    """The spectra of the very frames that the mel is taken of come back as the wave."""
    torch.manual_seed(0)
    wave = torch.randn(1, 20 * HOP)
    vocoder = fresh()
    padded = torch.nn.functional.pad(wave[:, None], (vocoder.cut, vocoder.cut), mode="reflect")[:, 0]
    monkeypatch.setattr(vocoder, "spectrum", lambda mel: stft(padded, 2048, HOP, center=False))
    assert near(vocoder(VocoderMel()(wave)), wave)


def test_what_is_out_of_reach_changes_nothing():
    vocoder, mel, other = fresh(), some_mel(60), some_mel(60, seed=1)
    reach = vocoder.reach
    mixed = torch.cat([mel[:, :40], other[:, 40:]], dim=1)
    with torch.no_grad():
        one, two = vocoder(mel), vocoder(mixed)
    kept = (40 - reach) * HOP
    assert near(two[:, :kept], one[:, :kept])
    assert not near(two[:, : kept + (reach + 1) * HOP], one[:, : kept + (reach + 1) * HOP])


def test_batch_mates_change_nothing():
    vocoder, mel = fresh(), some_mel(20, batch=3)
    with torch.no_grad():
        assert near(vocoder(mel)[1:2], vocoder(mel[1:2]))


def test_tiles_of_the_laptop_sizes_give_the_whole():
    torch.manual_seed(0)
    vocoder = Vocoder(laptop().model).eval()
    assert vocoder.reach <= 16  # a column of variant B, which is what a tile has beyond the part that is blended
    mel = some_mel(16 * 9)
    with torch.no_grad():
        whole = vocoder(mel)[0]
    tiles = torch.from_numpy(np.concatenate(list(wave_tiles(vocoder, torch.split(mel[0], 48), 16, HOP, tile=3))))
    assert near(tiles, whole)


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match="odd"):
        Vocoder(VocoderModel(kernel=4))


def test_the_loss_is_the_distance_that_is_reported():
    torch.manual_seed(0)
    one, two = torch.randn(1, 8000) * 0.1, torch.randn(1, 8000) * 0.3
    wanted = mel_distance(one[0].numpy(), two[0].numpy(), 44_100) * np.log(10)
    assert float(MultiScaleMelLoss(44_100)(one, two)) == pytest.approx(wanted, rel=1e-5)


def test_a_tone_counts_as_kept_where_it_is():
    class Sine(torch.nn.Module):
        def __init__(self, tone_hz):
            super().__init__()
            self.tone_hz = tone_hz

        def forward(self, mel):
            return torch.sin(2 * torch.pi * self.tone_hz * torch.arange(mel.shape[1] * HOP) / 44_100)[None]

    assert tone_kept(Sine(440.0), 440.0) > 99.9
    assert tone_kept(Sine(480.0), 440.0) < 0.1


def test_one_clip_can_be_learned():
    """A vocoder that sees one clip alone comes nearer to it than Griffin-Lim, which knows only its mel."""
    time = torch.arange(24 * HOP) / 44_100
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * sum((2 * torch.pi * 220 * k * time).sin() / k for k in range(1, 9)) * (1 + (12 * time).sin()) / 2
    wave = (wave + 0.003 * torch.randn(wave.shape, generator=generator))[None]
    mel, distance = VocoderMel()(wave), MultiScaleMelLoss(44_100)
    vocoder = fresh(dim=48, blocks=2)
    optimizer = torch.optim.AdamW(vocoder.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = distance(vocoder(mel), wave)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert losses[-1] < float(distance(GriffinLimVocoder()(mel), wave))


# --- its runs ---------------------------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(app, ["codec", "vocoder", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocoder") / "run"
    done = command("--preset", "smoke", "--run", folder)
    assert done.exit_code == 0, done.output
    (folder.parent / "stdout.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def codec_run(tmp_path_factory):
    """A codec of the smoke sizes that nobody trained."""
    cfg = codec_smoke()
    found = open_run(tmp_path_factory.mktemp("codec") / "run", "unisrcodec", "smoke", cfg)
    save_model(found.checkpoints / FINAL, Training(cfg).codec, {})
    return found.path


def using(folder):
    return override(codec_smoke(), [f"eval.vocoder={folder}"])


def test_the_command_trains_and_measures(run):
    report = Report.load(run / "report.json")
    rows = {(row.name, row.group, row.baseline): row for row in report.metrics}
    for name in ("mel_distance_44", "mel_distance_16", "speed", "tone_kept"):
        for whose in (None, "griffin_lim"):
            assert rows[name, "all", whose].value > 0
    for rate in (44, 16):
        gap = rows[f"mel_distance_{rate}", "all", "griffin_lim"].value - rows[f"mel_distance_{rate}", "all", None].value
        gain = rows[f"gain_over_griffin_lim_{rate}", "all", None]
        assert gain.value == pytest.approx(gap)
        assert gain.ci95[0] <= gain.value <= gain.ci95[1]
    assert report.toy
    assert "TOY" in (run.parent / "stdout.txt").read_text()
    assert "dev_mel_distance" in (run / "metrics.jsonl").read_text()


def test_a_finished_run_is_not_done_again(run):
    before = (run / "metrics.jsonl").read_bytes()
    again = command("--run", run)
    assert again.exit_code == 0, again.output
    assert again.stdout == (run.parent / "stdout.txt").read_text()
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_killed_training_goes_on_to_the_same_weights(run, tmp_path, monkeypatch):
    def dies(dev, model, step):
        if step == 8:
            raise KeyboardInterrupt
        return dev_metrics(dev, model, step)

    half = tmp_path / "half"
    with monkeypatch.context() as patch:
        patch.setattr(training, "dev_metrics", dies)
        with pytest.raises(KeyboardInterrupt):
            run_all(half, "smoke")
    assert (half / "checkpoints" / "state-000004").is_dir()
    assert not (half / "checkpoints" / "final").exists()
    assert command("--run", half).exit_code == 0
    mel = some_mel(8)
    with torch.no_grad():
        assert torch.equal(load_vocoder(half)[0](mel), load_vocoder(run)[0](mel))


def test_what_was_saved_is_what_is_loaded(tmp_path):
    cfg = smoke()
    found = open_run(tmp_path / "run", SPEC.name, "smoke", cfg)
    vocoder, mel = Vocoder(cfg.model).eval(), some_mel(8)
    with pytest.raises(CheckpointError, match="not trained yet; train it with: auricle codec vocoder --run"):
        load_vocoder(found.path)
    save_model(found.checkpoints / FINAL, vocoder, about(vocoder.contract))
    back, contract = load_vocoder(found.path)
    assert contract == vocoder.contract
    with torch.no_grad():
        assert torch.equal(back(mel), vocoder(mel))


def test_other_settings_are_refused(run, codec_run):
    for arguments, said in (
        ((*("--preset", "smoke", "--run", run), "seed=1"), "another config"),
        ((*("--preset", "smoke", "--run", run), "model.dimm=8"), "did you mean 'model.dim'"),
        (("--preset", "paper", "--run", run), "smoke, laptop"),
        (("--run", codec_run), "not of 'unisrcodec_vocoder'"),
        (("--preset", "smoke", "--run", run.parent / "new", "--data", "nowhere"), "embedded"),
        (("--preset", "smoke", "--run", run.parent / "new", "--codec", run), "not of 'unisrcodec'"),
    ):
        done = command(*arguments)
        assert done.exit_code != 0
        assert said in str(done.exception), done.exception


def test_it_learns_from_what_a_codec_decodes(codec_run, tmp_path):
    report = run_all(tmp_path / "run", "smoke", codec_run, settings=["train.max_steps=2"])
    groups = {row.group for row in report.metrics}
    assert {"all", "decoded all"} <= groups
    assert RunFolder(tmp_path / "run").saved_config()["config"]["codec"] == str(codec_run)


def test_a_codecs_recordings_are_the_vocoders_too(codec_run):
    assert resolve("laptop", codec_run, None, []).data == codec_smoke().data  # not the laptop's
    with pytest.raises(ConfigError, match="leave out --data"):
        resolve("smoke", codec_run, None, ["data.split=1"])


# --- its use by a codec -----------------------------------------------------------------------------------------------


def test_a_codec_decodes_with_it(run, codec_run, tmp_path):
    mine = tmp_path / "codec"
    shutil.copytree(codec_run, mine)
    saved = read_json(mine / "config.json")
    saved["config"]["eval"]["vocoder"] = str(run)
    del saved["checksum"]  # changed knowingly
    write_json(mine / "config.json", saved)
    coder = load(mine)
    assert isinstance(coder.vocoder, Vocoder)
    wave = (0.1 * np.random.default_rng(0).standard_normal(30_000)).astype(np.float32)
    made = coder.decode(coder.encode(wave, 44_100))
    assert made.shape == wave.shape
    assert np.isfinite(made).all()


def test_another_mel_or_another_folder_is_refused(run, codec_run, tmp_path):
    codec = Training(codec_smoke()).codec.eval()
    assert isinstance(coder_of(codec, using(run), "smoke").vocoder, Vocoder)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    vocoder = Vocoder(smoke().model, MelContract(rate_hz=22_050))
    save_model(other / "checkpoints" / FINAL, vocoder, about(vocoder.contract))
    with pytest.raises(ConfigError, match="rate_hz is 44100 there and 22050 here"):
        vocoder_for(using(other), codec)
    save_model(other / "checkpoints" / FINAL, vocoder, {})
    with pytest.raises(CheckpointError, match="which mel"):
        vocoder_for(using(other), codec)
    for folder in (codec_run, tmp_path / "nothing"):
        with pytest.raises(CheckpointError, match="no run of `auricle codec vocoder`"):
            vocoder_for(using(folder), codec)
