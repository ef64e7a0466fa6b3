"""What cannot work, and what would be ignored, is refused in one line before anything is built."""

import json

import pytest

from auricle.backbones.tiny import save_tiny
from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.run import open_run
from auricle.systems.mambo import data
from auricle.systems.mambo.config import paper, smoke
from auricle.systems.pipeline import resolve


@pytest.fixture
def refused(tmp_path):
    def prepare(cfg):
        run = open_run(tmp_path / "run", "mambo", "smoke", cfg)
        with pytest.raises((ConfigError, CheckpointError)) as caught:
            data.prepare(cfg, run)
        assert not run.cache.exists(), "something was built before it was refused"
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return prepare


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.d_model=65", "model.head_dim=130"], "d_model=65, heads=4"),
        (["model.head_dim=7"], "multiple of head_dim, got 7"),
        (["model.mixer=mamba"], "mixer 'mamba' has no setting head_dim"),
        (['data.channels=["mp4"]'], "no channel mp4; channels: none, mu_law"),
        (['data.seen=["world", "magic"]'], "no spoof family magic"),
        (["data.seen=[]"], "data.seen is empty"),
        (["data.foreign_channels=[]"], "data.foreign_channels is empty"),
        (["model.frontend=ssl"], "needs a speech encoder: give model.encoder=FOLDER"),
    ],
)
def test_sizes_channels_and_families_are_checked_first(refused, settings, message):
    assert message in refused(override(smoke(), settings))


def test_the_paper_preset_says_that_it_needs_data(refused):
    assert "--preset paper is for labelled clips of yours: give --data MANIFEST" in refused(paper())


def test_the_command_says_it_in_one_line_and_leaves_no_folder(auricle, tmp_path):
    done = auricle("run", "mambo", "--preset", "paper", "--run", "r", check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "give --data MANIFEST" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


def on_encoder(folder, **settings):
    save_tiny("xls_r", folder, seed=1)
    asked = {"encoder": str(folder), "frontend_dim": 32, "d_model": 16, "d_state": 8, "head_dim": 8, **settings}
    return override(
        paper(), ["data.source=mine.jsonl", *(f"model.{key}={json.dumps(one)}" for key, one in asked.items())]
    )


def test_an_encoder_without_weights_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "split_manifest", lambda source, draw: ({}, "by clip"))
    cfg = on_encoder(tmp_path / "encoder")
    for file in (tmp_path / "encoder").glob("*.safetensors"):
        file.unlink()
    assert f"the weights of {tmp_path / 'encoder'} cannot be read" in refused(cfg)


def test_an_encoder_with_other_weights_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "split_manifest", lambda source, draw: ({}, "by clip"))
    cfg = on_encoder(tmp_path / "encoder")
    save_tiny("wavlm_large", tmp_path / "encoder", seed=1)
    assert "is not the encoder this model was configured for" in refused(cfg)


def test_an_encoder_is_no_setting_of_a_spectral_front_end(tmp_path):
    save_tiny("xls_r", tmp_path, seed=1)
    with pytest.raises(
        ConfigError, match=r"model.encoder=.*decide nothing: model.frontend=lfcc .* set model.frontend=ssl"
    ):
        resolve("mambo", "smoke", settings=[f"model.encoder={tmp_path}"])
    resolve("mambo", "smoke", settings=[f"model.encoder={tmp_path}", "model.frontend=ssl", "model.frontend_dim=32"])
    resolve("mambo", "paper", settings=["model.frontend=lfcc", "model.frontend_dim=60"])  # the preset's own encoder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model.topology=mambo1", "model.heads=8"], "model.heads=8 would decide nothing"),
        (["model.topology=mambo2", "model.ffn_hidden=8"], "model.ffn_hidden=8 would decide nothing"),
        (["model.topology=transformer", "model.mixer=gdn"], "model.mixer=gdn would decide nothing"),
        (["train.gamma=3"], r"train.gamma=3.0 would decide nothing: train.loss=wce"),
        (["eval.average=9"], "eval.average=9 would decide nothing: train.keep_best=3"),
        (["eval.controls=false", "eval.control_steps=5"], "eval.control_steps=5 would decide nothing"),
        (["data.source=mine.jsonl", "data.test_share=0.5"], "data.test_share=0.5 would decide nothing"),
        (["data.source=mine.jsonl", 'data.channels=["gsm"]'], "data.channels=.* would decide nothing"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve("mambo", "smoke", settings=settings)


def test_settings_that_count_are_taken():
    resolve(
        "mambo",
        "smoke",
        settings=[
            "model.topology=mambo1",
            "model.mixer=gdn",
            "model.d_state=null",
            "model.head_dim=null",
            "model.heads=8",
        ],
    )
    resolve("mambo", "smoke", settings=["train.loss=focal", "train.gamma=3"])
