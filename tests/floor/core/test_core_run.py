import json
from typing import ClassVar

import pytest

from auricle.core.config import Config
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.run import FINAL, RunFolder, open_run, open_trained, seed_zero


class Settings(Config):
    lr: float = 0.1
    seed: int = 0


def test_a_new_folder_gets_config_and_environment(tmp_path):
    run = open_run(tmp_path / "a" / "b", "toy", "laptop", Settings())
    saved = run.saved_config()
    assert (saved["system"], saved["preset"], saved["config"]) == ("toy", "laptop", {"lr": 0.1, "seed": 0})
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["packages"]["torch"] != "not installed"


def test_the_same_config_goes_on_and_keeps_what_is_there(tmp_path):
    run = open_run(tmp_path, "toy", "laptop", Settings())
    run.mark("prepare", clips=3)
    again = open_run(tmp_path, "toy", "laptop", Settings())
    assert again.done("prepare")
    assert again.facts("prepare") == {"clips": 3}


def test_another_config_is_refused_with_the_difference(tmp_path):
    open_run(tmp_path, "toy", "laptop", Settings())
    with pytest.raises(ConfigError, match=r"lr: there 0.1, asked 0.2.*--overwrite"):
        open_run(tmp_path, "toy", "laptop", Settings(lr=0.2))


def test_overwrite_clears_the_run_and_nothing_else(tmp_path):
    run = open_run(tmp_path, "toy", "laptop", Settings())
    run.mark("train")
    run.checkpoints.mkdir()
    (run.checkpoints / "x").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    run = open_run(tmp_path, "toy", "laptop", Settings(lr=0.2), overwrite=True)
    assert not run.done("train")
    assert not run.checkpoints.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"no config.json"):
        open_run(tmp_path, "toy", "laptop", Settings())


def test_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        open_run(tmp_path / "f", "toy", "laptop", Settings())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"system": "toy"}', "[" * 100_000])
def test_a_damaged_config_is_a_checkpoint_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config.json"):
        RunFolder(tmp_path).saved_config()


def test_seeds_share_a_cache(tmp_path):
    assert RunFolder(tmp_path / "seed-1").cache == RunFolder(tmp_path / "seed-0").cache == tmp_path / "cache"
    assert RunFolder(tmp_path / "mambo").cache == tmp_path / "mambo" / "cache"


class Renamed(Config):
    """What `Settings` became: a setting renamed, and one more."""

    renamed: ClassVar = {"lr": "rate"}
    rate: float = 0.1
    seed: int = 0
    clip: float = 1.0


def test_an_older_run_goes_on_where_new_settings_have_their_defaults(tmp_path):
    open_run(tmp_path, "toy", "laptop", Settings(lr=0.2))
    assert open_run(tmp_path, "toy", "laptop", Renamed(rate=0.2)).path == tmp_path
    with pytest.raises(ConfigError, match=r"clip: there 1.0, asked 2.0"):
        open_run(tmp_path, "toy", "laptop", Renamed(rate=0.2, clip=2.0))
    with pytest.raises(ConfigError, match=r"rate: there 0.2, asked 0.1"):
        open_run(tmp_path, "toy", "laptop", Renamed())


def trained(folder):
    run = open_run(folder, "toy", "smoke", Settings(lr=0.3))
    (run.checkpoints / FINAL).mkdir(parents=True)
    return run


def test_a_trained_run_opens_with_its_config_and_preset(tmp_path):
    trained(tmp_path / "run")
    opened = open_trained(tmp_path / "run", "toy", Settings)
    assert (opened.cfg, opened.preset) == (Settings(lr=0.3), "smoke")
    assert opened.final == tmp_path / "run" / "checkpoints" / "final"
    assert open_trained(tmp_path / "run", "toy", Renamed).cfg == Renamed(rate=0.3)


def test_of_several_seeds_seed_zero_answers(tmp_path):
    trained(tmp_path / "runs" / "seed-0")
    trained(tmp_path / "runs" / "seed-1")
    assert open_trained(tmp_path / "runs", "toy", Settings).run.path == tmp_path / "runs" / "seed-0"
    assert seed_zero(tmp_path / "runs" / "seed-1") == tmp_path / "runs" / "seed-1"


def test_what_is_no_trained_run_of_the_system_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        open_trained(tmp_path / "nothing", "toy", Settings)
    run = open_run(tmp_path / "run", "toy", "smoke", Settings())
    with pytest.raises(CheckpointError, match="is not trained yet; train it with: auricle train toy --run"):
        open_trained(run.path, "toy", Settings)
    trained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="is a run of 'toy', not of 'mambo'"):
        open_trained(tmp_path / "other", "mambo", Settings)


@pytest.mark.parametrize("change", [("lr", 0.05), ("lr", "0.1"), ("seed", 0.5)])
def test_a_config_changed_by_anybody_else_is_refused(tmp_path, change):
    run = open_run(tmp_path, "toy", "laptop", Settings())
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    file.write_text(json.dumps(saved))  # written otherwise, the content is the same
    assert run.saved_config()["config"] == {"lr": 0.1, "seed": 0}
    saved["config"] |= dict([change])
    file.write_text(json.dumps(saved))
    with pytest.raises(CheckpointError, match="checksum is another one"):
        run.saved_config()
    with pytest.raises(CheckpointError, match="checksum is another one"):
        open_run(tmp_path, "toy", "laptop", Settings())
    del saved["checksum"]  # knowingly
    file.write_text(json.dumps(saved))
    assert run.saved_config()["config"] != {"lr": 0.1, "seed": 0}


@pytest.mark.parametrize("text", ["[]", "3", '"train"', '{"train": 3}', '{"train": []}', "{", "[" * 100_000, "null"])
def test_a_damaged_list_of_stages_is_one_clear_error(tmp_path, text):
    (tmp_path / "stages.json").write_text(text)
    for ask in (RunFolder.done, RunFolder.facts, RunFolder.mark):
        with pytest.raises(CheckpointError, match=r"stages\.json.*delete it"):
            ask(RunFolder(tmp_path), "train")
