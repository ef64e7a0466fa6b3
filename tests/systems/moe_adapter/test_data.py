"""`prepare`: one length, rate and level for all clips, made once, found again, checked for leaks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.audio.level import rms_db
from auricle.core.errors import DataError
from auricle.core.run import RunFolder
from auricle.data import fields, manifest
from auricle.data.worlds.leaks import Leak
from auricle.data.worlds.listening import Maker
from auricle.systems.moe_adapter import config, data
from auricle.systems.moe_adapter.plan import plan


def test_what_prepare_says(prepared):
    _, facts = prepared
    json.dumps(facts)
    assert set(facts) == {"train", "dev", "test", "facts", "leaks", "above_chance"}
    assert facts["test"]["items"]["sound count"] == 16
    assert facts["facts"]["items"] == 224
    assert len(facts["leaks"]) == 13
    for found in facts["leaks"].values():
        assert set(found) == {"question only", "options only", "letter only", "metadata"}
        assert {found[name] for name in ("question only", "options only", "letter only")} == {0.25}


def test_every_clip_has_one_length_and_its_level_is_drawn_alike(prepared):
    run, _ = prepared
    cfg = config.smoke().data
    levels: dict[str, list[float]] = {}
    for split in fields.SPLITS:
        own = data.load(run, split)
        assert own.waves.shape == (len(own.ids), 40_960)
        assert own.waves.dtype == np.int16
        assert np.abs(own.waves).max() < 32_700  # nothing is clipped
        assert not np.any(np.all(own.waves[:, :160] == 0, axis=1))  # a floor of noise lies under all of it
        domains = {item.clip: item.domain for item in own.items}
        for name, wave in zip(own.ids, own.waves, strict=True):
            levels.setdefault(domains[name], []).append(rms_db(wave / 32768.0))
    low, high = cfg.level_dbfs
    for found in levels.values():
        assert low - 0.1 < min(found) < max(found) < high + 0.1
        assert np.mean(found) == pytest.approx((low + high) / 2, abs=1.2)


def test_no_clip_has_more_band_than_another(prepared):
    run, _ = prepared
    own = data.load(run, "test")
    power = np.abs(np.fft.rfft(own.waves.astype(np.float64), axis=1)) ** 2
    above = power[:, np.fft.rfftfreq(40_960, 1 / 16_000) > 3_800].sum(axis=1) / power.sum(axis=1)
    assert above.max() < 1e-4


def test_items_and_clips_of_a_loaded_split(prepared):
    run, _ = prepared
    own = data.load(run, "test")
    assert [own.ids[row] for row in own.rows()] == [item.clip for item in own.items]
    assert {domain: len(rows) for domain, rows in data.domains(own.items).items()} == {
        "speech": 40,
        "music": 40,
        "sound": 48,
    }
    cuts = {cut.id: cut for cut in manifest.read(run.manifests / "test.jsonl")}
    for item in own.items:
        custom = cuts[str(item.clip)].custom
        assert custom[fields.AUDIO_TYPE] == item.domain
        assert custom[fields.LICENCE]
        assert custom[fields.AUTHOR]
        assert custom[fields.SYNTHETIC] is not bool(item.facts["recordings"])


def test_a_second_prepare_finds_the_audio_and_another_config_makes_its_own(prepared, tmp_path, monkeypatch):
    run, facts = prepared
    before = {split: data.load(run, split).waves for split in fields.SPLITS}

    def refuse(self, one):
        raise AssertionError("a clip was made again")

    monkeypatch.setattr(Maker, "wave", refuse)
    assert data.prepare(config.smoke(), run) == facts
    for split, waves in before.items():
        np.testing.assert_array_equal(data.load(run, split).waves, waves)
    with pytest.raises(AssertionError, match="made again"):
        data.prepare(
            config.smoke().model_copy(update={"data": config.smoke().data.model_copy(update={"seed": 1})}), run
        )


def test_a_clip_depends_on_its_plan_alone(prepared, found):
    run, _ = prepared
    cfg = config.smoke().data
    own, stored = plan(cfg, found, "dev"), data.load(run, "dev")
    places = {name: place for place, name in enumerate(stored.ids)}
    maker = Maker(cfg.chain)
    for clip in reversed(own.clips[::7]):
        np.testing.assert_array_equal(maker.wave(clip), stored.waves[places[clip.id]])


def test_changed_audio_is_noticed(prepared, tmp_path):
    run, _ = prepared
    with pytest.raises(DataError):
        data.load(RunFolder(tmp_path), "test")  # not prepared
    file = next(run.cache.rglob("dev.flac"))
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:-1000])
        with pytest.raises(DataError, match="has changed since"):
            data.load(run, "dev")
    finally:
        file.write_bytes(kept)


def test_a_leak_that_is_left_in_is_found(prepared):
    """Clips whose level follows the count: the check of level says so, and the others do not."""
    run, _ = prepared
    splits = {name: data.load(run, name) for name in ("train", "test")}
    assert not [leak for found in data.leaks(splits).values() for leak in found if leak.leaks]
    spoiled = {}
    for name, own in splits.items():
        answers = {item.clip: item.text for item in own.items if item.task == "count"}
        gains = {"once": 1.0, "twice": 0.5, "three times": 0.25, "four times": 0.12}
        waves = own.waves.copy()
        for place, clip in enumerate(own.ids):
            if clip in answers:
                level = 300 * gains[str(answers[clip])] / np.sqrt(np.mean(waves[place].astype(float) ** 2))
                waves[place] = np.round(waves[place] * level).astype(np.int16)
        spoiled[name] = data.Split(own.ids, waves, own.items)
    found = {leak.check: leak for leak in data.leaks(spoiled)["sound count"]}
    assert found["metadata"].leaks
    assert found["metadata"].accuracy > 0.6
    assert not found["question only"].leaks
    assert isinstance(found["letter only"], Leak)


def test_facts_are_texts(prepared):
    run, _ = prepared
    assert all(item.clip is None and item.task == "fact" for item in data.load_facts(run))
