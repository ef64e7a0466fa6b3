"""`small`: the detector on Whisper's first layers, here on a tiny build of the same class."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("transformers")

from auricle.backbones.tiny import save_tiny_whisper
from auricle.core import extras
from auricle.core.config import override
from auricle.core.errors import ConfigError
from auricle.core.run import RunFolder, open_run
from auricle.data import embedded
from auricle.systems.mambo.config import laptop, small
from auricle.systems.mambo.data import prepare
from auricle.systems.mambo.infer import load
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.train import train
from auricle.train.checkpoint import read_meta
from auricle.train.pairs import PairedBatches

TINY = [
    "model.frontend_dim=32",
    "model.d_model=16",
    "model.d_state=8",
    "model.head_dim=8",
    "data.clips_per_voice=4",
    "data.max_clip_s=1.5",
    'data.seen=["griffin_lim", "lpc_pulse"]',
    'data.unseen=["lpc_noise"]',
    'data.held_out=["harmonic"]',
    "data.spoofs_per_clip=1",
    "data.test_share=1.0",
    "train.max_steps=6",
    "train.eval_every=3",
    "train.save_every=3",
    "train.batch=4",
    "eval.average=1",
]


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    place = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(place, seed=3)
    return place


def tiny(whisper):
    return override(small(), [*TINY, f"model.encoder={whisper}"])


@pytest.fixture(scope="module")
def trained(smoke_run, whisper, tmp_path_factory):
    """A tiny run on the clips of the finished smoke run."""
    cfg = tiny(whisper)
    run = open_run(tmp_path_factory.mktemp("small") / "run", "mambo", "small", cfg)
    shutil.copytree(smoke_run / "manifests", run.manifests, dirs_exist_ok=True)
    shutil.copytree(smoke_run / "cache", run.cache, dirs_exist_ok=True)
    train(cfg, run)
    return run


def test_the_preset_differs_from_laptop_in_front_end_and_recipe_only():
    cfg = small()
    assert cfg.data == laptop().data
    assert cfg.eval == laptop().eval
    changed = {key for key, value in cfg.model.model_dump().items() if value != laptop().model.model_dump()[key]}
    assert changed == {"frontend", "frontend_dim", "encoder", "encoder_layer", "encoder_freeze"}
    assert (cfg.model.topology, cfg.model.mixer, cfg.model.encoder) == ("mambo3", "hydra", "whisper-tiny-en")


def test_it_trains_answers_and_keeps_whisper_out_of_its_checkpoint(trained, whisper):
    assert (trained.checkpoints / "final" / "model.safetensors").stat().st_size < 300_000
    assert len(list((trained.cache / "whisper").rglob("*.npy"))) > 20
    detector = load(trained.path)
    clip = next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2).read()
    assert np.isfinite(detector.score(clip.mono(), clip.rate_hz))
    assert detector.toy
    assert read_meta(trained.checkpoints / "final")["calibration"]


def test_the_same_run_comes_to_the_same_weights_with_and_without_kept_features(trained, smoke_run, whisper, tmp_path):
    cfg = tiny(whisper)
    run = open_run(tmp_path / "run", "mambo", "small", cfg)
    shutil.copytree(smoke_run / "manifests", run.manifests, dirs_exist_ok=True)
    shutil.copytree(smoke_run / "cache", run.cache, dirs_exist_ok=True)
    shutil.copytree(trained.cache, run.cache, dirs_exist_ok=True)
    train(cfg, run)
    first, second = (load(folder).network.state_dict() for folder in (trained.path, run.path))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-3, atol=1e-4)


def test_another_whisper_in_its_place_is_refused(auricle, trained, whisper, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    other = tmp_path / "other"
    save_tiny_whisper(other, seed=9)
    run = tmp_path / "run"
    shutil.copytree(trained.path, run, ignore=shutil.ignore_patterns("cache"))
    saved = json.loads((run / "config.json").read_text().replace(str(whisper), str(other)))
    (run / "config.json").write_text(json.dumps(saved))
    done = auricle("infer", "mambo", "--run", run, tmp_path / "a.wav", check=False)
    assert done.returncode != 0
    assert not done.stdout


def test_missing_weights_stop_prepare_before_anything_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr("auricle.backbones.whisper.converted_folder", lambda name: tmp_path / "nowhere")
    with pytest.raises(extras.MissingWeights, match="auricle models add whisper-tiny-en"):
        prepare(small(), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("lacking", ["model.encoder=null", "model.encoder_layer=null", "model.encoder_freeze=false"])
def test_what_the_front_end_needs_is_said(lacking):
    with pytest.raises(ConfigError, match="frontend=whisper needs encoder"):
        override(small(), [lacking])


def test_a_whisper_of_another_width_is_refused(whisper):
    with pytest.raises(ConfigError, match="32 wide, not 384"):
        Network(override(small(), [f"model.encoder={whisper}"])).encoder.fetch()


def test_windows_begin_on_the_grid(smoke_run):
    from auricle.data.clips import load_clips
    from auricle.systems.mambo import data

    clips = load_clips(data.load(RunFolder(smoke_run), "train"), 16000)
    batches = PairedBatches(clips, length=8000, batch=8, hop=160, splice=0.0, seed=0, grid=4000)
    wave = next(clips.wave(index) for index in range(len(clips)) if len(clips.waves[index]) > 17000)
    index = next(index for index in range(len(clips)) if np.array_equal(clips.wave(index), wave))
    allowed = [wave[start : start + 8000] for start in range(0, len(wave) - 8000 + 1, 4000)]
    for position in np.linspace(0, 0.999, 23):
        assert any(np.array_equal(batches._window(index, position), piece) for piece in allowed)
    assert np.array_equal(batches._window(index, 0.999), allowed[-1])
