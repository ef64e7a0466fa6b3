"""The plan: no clip has two uses, nobody attacks himself, and everything is drawn the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.config import override
from auricle.core.errors import ConfigError, DataError
from auricle.core.run import open_run
from auricle.data.spoof import FAMILIES
from auricle.systems.voice_auth import data
from auricle.systems.voice_auth.clips import SPOOF
from auricle.systems.voice_auth.config import DataConfig, VoiceAuthConfig, laptop, smoke
from auricle.systems.voice_auth.data import build
from auricle.systems.voice_auth.plan import attack_of, plan


@pytest.fixture(scope="module")
def planned():
    return plan(laptop().data)


def test_no_clip_of_a_voice_has_two_uses(planned):
    for voice in planned.voices.values():
        uses = [*voice.enrol, *voice.tests, *voice.material]
        assert len(set(uses)) == len(uses)
        assert (len(voice.enrol), len(voice.tests)) == (5, 10)
        assert voice.material


def test_there_are_many_voices_and_at_least_four_families_against_each(planned):
    assert len(planned.voices) >= 20
    assert len({voice.group for voice in planned.voices.values()}) >= 15
    for name in planned.voices:
        assert len({task.family for task in planned.tasks if task.voice == name and task.role == SPOOF}) >= 4


def test_an_attacker_is_of_another_group_and_of_the_same_split(planned):
    seen = set()
    for task in planned.tasks:
        if task.role != SPOOF:
            continue
        target, source = planned.voices[task.voice], planned.voices[task.speaker]
        assert target.split == source.split
        if task.attack == "copy":
            assert source is target
            assert task.clip in target.tests  # never what it was enrolled with
        else:
            assert source.group != target.group
        seen.add(task.attack)
    assert seen == {"copy", "conversion", "blind", "tts"}


def test_groups_are_in_one_split_and_every_split_has_one(planned):
    by_group = {}
    for voice in planned.voices.values():
        by_group.setdefault(voice.group, set()).add(voice.split)
    assert all(len(splits) == 1 for splits in by_group.values())
    assert set().union(*by_group.values()) == {"train", "dev", "test"}


def test_names_of_files_are_unique_and_say_what_is_synthetic(planned):
    names = [task.id for task in planned.tasks]
    assert len(set(names)) == len(names)
    assert all(("synthetic" in task.id) == (task.role == SPOOF) for task in planned.tasks)


def test_the_same_plan_twice_and_another_with_another_seed():
    assert plan(smoke().data) == plan(smoke().data)
    assert plan(smoke().data) != plan(override(smoke().data, ["seed=1"]))


def test_what_an_attacker_has():
    kinds = {name: attack_of(name) for name in FAMILIES}
    assert kinds["world"] == kinds["lpc_noise"] == "copy"
    assert kinds["neighbour"] == kinds["world_conversion"] == "conversion"
    assert kinds["psola"] == kinds["formant"] == "blind"
    assert kinds["hibari"] == "tts"


def test_a_voice_with_too_few_clips_is_left_out_by_name():
    found = plan(override(laptop().data, ["tests=30"]))
    assert any(reason.startswith("en-c:") and "36 are needed" in reason for reason in found.left_out)
    assert "en-c" not in found.voices


def test_too_few_voices_are_refused_with_their_names():
    with pytest.raises(DataError, match=r"left out: en-.*are needed"):
        plan(override(laptop().data, ["tests=300"]))


def test_wrong_sources_and_families_are_refused(tmp_path):
    for setting, reason in (
        ("data.source=mine.jsonl", "--scores FILE"),
        ('data.seen=["vocoder"]', "world_conversion"),
    ):
        cfg = override(smoke(), [setting])
        run = open_run(tmp_path / str(reason[:4]), "voice_auth", "smoke", cfg)
        with pytest.raises(ConfigError, match=reason):
            data.prepare(cfg, run)
    with pytest.raises(ValueError, match="both seen and unseen: world"):
        DataConfig(seen=("world",), unseen=("world",))
    with pytest.raises(ValueError, match="two detectors"):
        VoiceAuthConfig.model_validate({"detector": {"run": "a", "scores": "b"}})


def test_a_file_is_made_once_and_the_same_again(tmp_path):
    cfg = smoke().data
    found = plan(cfg)
    task = next(task for task in found.tasks if task.family == "lpc_pulse")
    rows = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        rows.append(build(task, found.voices, cfg, str(tmp_path / folder)))
    assert rows[0] == rows[1]
    assert rows[0]["label"] == "spoof"
    assert rows[0]["synthetic"] is True
    first, second = ((tmp_path / folder / f"{task.id}.flac").read_bytes() for folder in ("a", "b"))
    assert first == second
    stamp = (tmp_path / "a" / f"{task.id}.flac").stat().st_mtime_ns
    assert build(task, found.voices, cfg, str(tmp_path / "a")) == rows[0]
    assert (tmp_path / "a" / f"{task.id}.flac").stat().st_mtime_ns == stamp


def test_a_clip_that_cannot_be_made_says_why(tmp_path):
    cfg = override(smoke().data, ["max_clip_s=1.0", "min_clip_s=0.8"])
    found = plan(cfg)
    task = next(task for task in found.tasks if task.role == "test")
    broken = override(cfg, ["band_hz=8000.0", 'channels=["carrier pigeon"]'])
    said = build(task, found.voices, broken, str(tmp_path))
    assert isinstance(said, str)
    assert said.startswith(task.id)
    assert "carrier pigeon" in said
    assert not np.any([path.suffix == ".json" for path in tmp_path.iterdir()])
