"""`--data rec`: the large corpus goes the way of the embedded one. Here it is a small one of embedded recordings."""

import dataclasses
import shutil
from collections import Counter, defaultdict

import pytest

from auricle.core.config import override
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import write_jsonl
from auricle.core.run import open_run
from auricle.data import corpora, embedded, fields, manifest, rec
from auricle.data.building import audio_folder
from auricle.systems.mambo import data
from auricle.systems.mambo.build import CONTROLS
from auricle.systems.mambo.config import smoke
from auricle.systems.mambo.controls import run_all
from auricle.systems.mambo.rows import Beside


def rename(clip, group, speaker, language="da"):
    values = dataclasses.asdict(clip) | {"speaker": speaker, "speaker_group": group, "language": language}
    return values | {"text": "", "prompt": "", "source_path": f"usr/share/{clip.id}.ogg", "source_rate_hz": 44100}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Six voices of four clips; a letter and a volunteer of one language; a clip of nobody known."""
    folder = tmp_path_factory.mktemp("cache")
    by_group = defaultdict(list)
    for clip in embedded.clips("speech"):
        if clip.duration_s > 1.2:
            by_group[clip.speaker_group].append(clip)
    chosen = [by_group[group][:4] for group in sorted(by_group) if len(by_group[group]) >= 4][:6]
    names = ["a1", "a2", "p1", "p2", "k-fr", "t-fr"]
    rows = [
        rename(clip, name, f"voice-{name}", "fr" if name.endswith("fr") else "da")
        for name, clips in zip(names, chosen, strict=True)
        for clip in clips
    ]
    rows[0] |= {"speaker": "", "speaker_group": ""}
    for row in rows:
        target = folder / "rec" / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(embedded.folder() / row["path"], target)
    write_jsonl(folder / "rec" / "clips.jsonl", rows)
    (folder / "rec" / ".completed").write_text("")
    return folder


@pytest.fixture
def cfg(cache, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(cache))
    base = smoke()
    return base.model_copy(update={"data": base.data.model_copy(update={"source": "rec", "workers": 1})})


def test_voices_are_split_and_nobody_known_is_left_out(cfg):
    tasks, _ = data.plan(cfg.data)
    splits = defaultdict(set)
    for task in tasks:
        splits[task.group].add(task.split)
    assert set(splits) == {"a1", "a2", "p1", "p2", "k-fr", "t-fr"}
    assert all(len(found) == 1 for found in splits.values())
    assert splits["k-fr"] == splits["t-fr"]  # who may be one person is never in two splits
    assert Counter(task.group for task in tasks)["a1"] == 3  # four less the one without a speaker
    assert set().union(*splits.values()) == set(fields.SPLITS)


def test_it_is_prepared_like_the_embedded_corpus(cfg, tmp_path):
    run = open_run(tmp_path / "run", "mambo", "smoke", cfg)
    facts = data.prepare(cfg, run)
    assert sum(facts["voices"].values()) == 6
    for split in fields.SPLITS:
        cuts = list(manifest.read(run.manifests / f"{split}.jsonl"))
        assert {cut.custom[fields.LABEL] for cut in cuts} == {"bonafide", "spoof"}
        assert {cut.custom[fields.CODING] for cut in cuts} == {"ogg"}  # the package's, not the cache's
    controls = list(manifest.read(run.manifests / "controls.jsonl"))
    assert {cut.custom[fields.FAMILY] for cut in controls} == set(CONTROLS)


def test_both_corpora_never_share_prepared_audio(cfg, tmp_path):
    run = open_run(tmp_path / "run", "mambo", "smoke", cfg)
    data.prepare(cfg, run)
    other = override(cfg, ["data.source=embedded"])
    mine, theirs = (audio_folder(run, config.data.model_dump(mode="json")) for config in (cfg, other))
    assert mine != theirs
    assert mine.is_dir()
    assert not theirs.exists()


def test_leak_checks_are_not_for_a_users_manifest_only(cfg):
    beside = Beside()
    assert run_all(override(cfg, ["data.source=mine.jsonl"]), None, None, None, None, None, beside) == []
    assert not beside.leak
    assert "a manifest of yours has none" in beside.notes[0]


def test_what_is_neither_a_corpus_nor_a_manifest_is_refused(cfg, tmp_path, monkeypatch):
    wrong = override(cfg, ["data.source=big"])
    with pytest.raises(ConfigError, match=r"neither a corpus \(embedded, rec\) nor a manifest"):
        data.prepare(wrong, open_run(tmp_path / "run", "mambo", "smoke", wrong))
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="auricle data build --profile rec"):
        data.plan(cfg.data)


def test_corpora_have_names():
    assert corpora.corpus("rec") is rec
    assert corpora.corpus("embedded") is embedded
    with pytest.raises(ConfigError, match="embedded or rec"):
        corpora.corpus("tiny")
