"""The four-type world: balanced, split apart, without shortcuts, and with places that the log-mel shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import MonoCut
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from auricle.audio.filterbank import hz_to_mel, mel_to_hz
from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.run import RunFolder
from auricle.data import fields, manifest
from auricle.data.worlds.artefacts import BAND_EDGES_HZ, BIN_S
from auricle.metrics.evidence import best_constant
from auricle.systems.ft_grpo import data
from auricle.systems.ft_grpo.config import TYPES, DataConfig, FtGrpoConfig, laptop, paper, smoke
from auricle.systems.ft_grpo.features import FRAMES, MELS, SAMPLES, log_mel, narrowed
from auricle.systems.ft_grpo.model import need_model
from auricle.systems.ft_grpo.rationale import NONE, Evidence, read, write
from auricle.systems.ft_grpo.world import World

CFG = FtGrpoConfig(data=DataConfig(train=192, dev=16, test=128, weak=16, hard=8))


def prepared(folder: Path, cfg: FtGrpoConfig) -> tuple[RunFolder, dict]:
    run = RunFolder(folder)
    run.manifests.mkdir(parents=True)
    return run, data.prepare(cfg, run)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("world"), CFG)


@pytest.fixture(scope="module")
def items(made):
    return {name: data.load(made[0], name) for name in data.sets(made[0])}


def test_sets_are_balanced_and_valid(made, items):
    run, facts = made
    assert data.sets(run) == ["train", "dev", "test", "skewed", "weak", "hard"]
    for name in ("train", "dev", "test", "weak"):
        assert facts[name]["labels"] == {"bonafide": len(items[name]) // 2, "spoof": len(items[name]) // 2}
        assert Counter((item.type, item.label) for item in items[name]) == Counter(
            {(kind, label): len(items[name]) // 8 for kind in TYPES for label in ("real", "fake")}
        )
    assert [len(items[name]) for name in ("train", "dev", "test", "weak", "hard")] == [192, 16, 128, 16, 8]
    fake = np.mean([item.label == "fake" for item in items["skewed"]])
    assert fake == pytest.approx(0.85, abs=0.01)
    assert {item.id for item in items["skewed"]} < {item.id for item in items["test"]}
    cuts = [
        cut for name in data.sets(run) if name != "skewed" for cut in manifest.read(run.manifests / f"{name}.jsonl")
    ]
    assert manifest.validate(cuts) == []
    assert all(cut.custom[fields.LICENCE] and cut.custom[fields.AUTHOR] for cut in cuts)


def test_no_group_and_no_recording_is_in_two_splits(made):
    for field in (fields.SPEAKER_GROUP, fields.CLIP):
        where: dict[str, set[str]] = {}
        for name in data.sets(made[0]):
            for cut in manifest.read(made[0].manifests / f"{name}.jsonl"):
                where.setdefault(cut.custom[field], set()).add(cut.custom[fields.SPLIT])
        assert all(len(splits) == 1 for splits in where.values())
        assert len(where) > 20


def test_the_truth_is_in_the_clips(made, items):
    for item in items["train"] + items["test"]:
        assert item.wave.dtype == np.int16
        assert item.wave.shape == (SAMPLES,)
        assert (item.label == "fake") == bool(item.artefacts)
        assert read(write(item.truth)) == item.truth
    fakes = [item for item in items["train"] if item.label == "fake"]
    assert np.mean([item.truth.time != NONE for item in fakes]) == pytest.approx(0.65, abs=0.12)
    assert all(one.strength >= 0.5 for item in fakes for one in item.artefacts)
    weak = [one.strength for item in items["weak"] for one in item.artefacts]
    assert max(weak) <= 0.4
    hard = [item for item in items["hard"] if item.label == "fake"]
    assert all(item.artefacts is None and item.truth == Evidence("fake") for item in hard)
    cuts = manifest.read(made[0].manifests / "hard.jsonl")
    generators = {cut.custom[fields.GENERATOR].split("-")[0] for cut in cuts if fields.GENERATOR in cut.custom}
    assert generators
    assert generators <= {"world", "griffin_lim", "lpc_pulse"}


def test_nothing_but_the_sound_tells_the_label(items):
    """Length, level, peak and offset by logistic regression, and the place in the file, the id and the codec alone."""

    def table(name: str) -> tuple[np.ndarray, np.ndarray]:
        waves = [item.samples for item in items[name]]
        rows = [[len(w), np.log10(w.std()), np.log10(np.abs(w).max()), w.mean()] for w in waves]
        return np.array(rows), np.array([item.label == "real" for item in items[name]])

    (x, y), (x_test, y_test) = table("train"), table("test")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    assert abs(roc_auc_score(y_test, model.decision_function(x_test)) - 0.5) < 0.15
    letters = np.array([item.id.endswith("a") for item in items["train"]])
    assert abs(np.corrcoef(letters, y)[0, 1]) < 0.25
    turns = [items["train"][place].label == "real" for place in range(0, len(y), 2)]
    assert 0.3 < np.mean(turns) < 0.7


def test_a_pair_shares_everything_but_the_artefact(made):
    cuts = list(manifest.read(made[0].manifests / "test.jsonl"))
    mine = (fields.LABEL, fields.ARTEFACTS, fields.GENERATOR, fields.FAMILY, fields.SYNTHETIC)
    for one, other in zip(cuts[::2], cuts[1::2], strict=True):
        assert {k: v for k, v in one.custom.items() if k not in mine} == {
            k: v for k, v in other.custom.items() if k not in mine
        }


def test_places_can_be_found_by_plain_signal_processing(items):
    """The world can be learned: two arg-maxima over the log-mel find bands and bins far above the majority."""
    edges = mel_to_hz(np.linspace(hz_to_mel(60, "slaney"), hz_to_mel(3900, "slaney"), MELS + 2), "slaney")
    band_of = np.searchsorted(BAND_EDGES_HZ, edges[1:-1]) - 1
    mel = {name: log_mel(np.stack([i.wave for i in items[name]])).numpy() for name in ("train", "test")}

    def profile(frames: np.ndarray) -> np.ndarray:
        changes = np.abs(np.diff(frames, axis=1)).mean(1)
        return np.stack([frames.mean(1), changes, frames.std(1)], -1)  # (N, mels, 3)

    normal = {}
    for kind in TYPES:
        rows = profile(mel["train"][[i.type == kind and i.label == "real" for i in items["train"]]])
        normal[kind] = rows.mean(0), rows.std(0)
    bands, bins = [], []
    for item, frames in zip(items["test"], mel["test"], strict=True):
        for one in item.artefacts or ():
            if one.domain == "time":
                step = np.abs(np.median(np.diff(frames, axis=0), axis=1)).argmax()  # greatest jump of all bands at once
                bins.append((one.place, min(int((step + 0.5) * 0.01 / BIN_S), 7)))
            else:
                mean, std = normal[item.type]
                odd = (profile(frames[None])[0] - mean) / std
                levels = np.array([odd[band_of == band].mean(0) for band in range(6)])
                edges_of = np.abs(np.diff(levels, axis=0, prepend=levels[:1], append=levels[-1:])).sum(1)
                bands.append((one.place, int((edges_of[:-1] + edges_of[1:]).argmax())))  # unlike both its neighbours
    for found, size, least in ((bands, 6, 0.45), (bins, 8, 0.5)):
        true, said = np.array(found).T
        majority = np.mean(true == best_constant(true, size))
        assert len(found) > 30
        assert np.mean(true == said) > max(least, majority + 0.15)


def test_the_same_config_gives_the_same_clips_and_uses_what_is_there(made, items, tmp_path):
    small = FtGrpoConfig(data=DataConfig(train=16, dev=16, test=16, weak=0, hard=0, types=("sound", "music")))
    run, facts = prepared(tmp_path / "a", small)
    assert data.sets(run) == ["train", "dev", "test", "skewed"]
    again, _ = prepared(tmp_path / "b", small)
    one, other = data.load(run, "test"), data.load(again, "test")
    assert [item.id for item in one] == [item.id for item in other]
    assert all(np.array_equal(a.wave, b.wave) and a.artefacts == b.artefacts for a, b in zip(one, other, strict=True))
    before = {path: path.stat().st_mtime_ns for path in run.cache.rglob("*.flac")}
    assert data.prepare(small, run) == facts
    assert {path: path.stat().st_mtime_ns for path in run.cache.rglob("*.flac")} == before


def test_an_excerpt_is_found_again_and_made_again(items):
    world = World(CFG.data)
    item = next(item for item in items["test"] if item.type == "speech" and item.label == "fake")
    excerpt = world.named("test", {item.pair})[item.pair]
    changed, artefacts = world.spoiled(excerpt, world.clean(excerpt), CFG.data.strength)
    assert artefacts == item.artefacts
    assert np.array_equal(world.carried(excerpt, changed, "fake"), item.wave)
    with pytest.raises(DataError, match="no excerpt of the set test"):
        world.named("test", {"test-noise-00000"})


def test_features_do_not_depend_on_the_level():
    wave = np.random.default_rng(0).standard_normal((2, SAMPLES)).astype(np.float32) * 0.05
    mel = log_mel(wave)
    assert mel.shape == (2, FRAMES, MELS)
    assert np.allclose(mel, log_mel(wave * 5), atol=1e-4)
    assert np.allclose(log_mel(np.round(wave * 32768).astype(np.int16)), mel, atol=0.02)
    assert float(mel.mean()) == pytest.approx(0, abs=1e-4)


def test_a_manifest_of_ones_own_has_verdicts_and_no_places(made, tmp_path):
    cuts = list(manifest.read(made[0].manifests / "test.jsonl"))[:8]
    for cut in cuts:
        for name in (fields.ARTEFACTS, fields.AUDIO_TYPE, fields.SPLIT, fields.CHANNEL):
            cut.custom.pop(name, None)
    manifest.write(cuts, tmp_path / "own.jsonl")
    cfg = FtGrpoConfig(data=DataConfig(source=str(tmp_path / "own.jsonl")))
    run, facts = prepared(tmp_path / "run", cfg)
    assert facts["split"] == "by voice"
    found = [item for name in fields.SPLITS for item in data.load(run, name)]
    assert len(found) == 8
    assert [item.truth for item in found] == [Evidence(item.label) for item in found]
    assert {len(item.wave) for item in found} == {SAMPLES}
    manifest.write([cut for cut in cuts if cut.custom[fields.LABEL] == "bonafide"], tmp_path / "own.jsonl")
    with pytest.raises(DataError, match="bonafide and spoof are both needed"):
        prepared(tmp_path / "one", cfg)
    with pytest.raises(ConfigError, match="neither a corpus"):
        prepared(tmp_path / "none", FtGrpoConfig(data=DataConfig(source="nowhere.jsonl")))


def test_spoiled_rationales_contradict_the_label(items):
    said = data.spoil_rationales(items["train"], 0.12, seed=0)
    wrong = [(one, item) for one, item in zip(said, items["train"], strict=True) if one != item.truth]
    assert len(wrong) / len(said) == pytest.approx(0.12, abs=0.06)
    for one, item in wrong:
        assert one.label == item.label
        assert ((one.frequency, one.time) == (NONE, NONE)) == (item.label == "fake")
    assert data.spoil_rationales(items["train"], 0.0, seed=0) == [item.truth for item in items["train"]]


@pytest.mark.parametrize("damage", ["other", "cut", "gone"])
def test_audio_that_is_not_what_the_manifest_was_made_of_is_refused(damage, tmp_path):
    cfg = FtGrpoConfig(data=DataConfig(types=("music",), train=16, dev=16, test=16, weak=0, hard=0))
    run, _ = prepared(tmp_path, cfg)
    (audio,) = run.path.rglob("dev.flac")
    if damage == "gone":
        audio.unlink()
    elif damage == "cut":
        audio.write_bytes(audio.read_bytes()[:-5000])
    else:
        audio.write_bytes((audio.parent / "test.flac").read_bytes())
    with pytest.raises(DataError, match=r"dev\.flac"):
        data.load(run, "dev")
    assert len(data.load(run, "test")) == 16


def test_the_channel_and_the_segment_of_a_users_cut_are_heard(tmp_path):
    """Two people on the two channels of a call: each cut is of its own."""
    draws = np.random.default_rng(0)
    left, right = (0.1 * draws.standard_normal(96_000).astype(np.float32) for _ in range(2))
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], 1), 16_000, subtype="FLOAT")
    run = RunFolder(tmp_path / "run")
    run.manifests.mkdir(parents=True)
    whole = manifest.cut("call", tmp_path / "call.wav", {"label": "bonafide", "channel": "x", "audio_type": "speech"})
    recording = whole.recording
    cuts = [
        MonoCut(f"{channel}-{start}", start, 1.5, channel, recording=recording, custom=dict(whole.custom))
        for channel in (0, 1)
        for start in (0.0, 3.0)
    ]
    manifest.write(cuts, run.manifests / "test.jsonl")
    found = [item.samples for item in data.load(run, "test")]
    for samples, (channel, start) in zip(found, [(0, 0), (0, 48_000), (1, 0), (1, 48_000)], strict=True):
        own = narrowed((left, right)[channel][start : start + SAMPLES])
        assert np.corrcoef(samples, own)[0, 1] > 0.999


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["model.dim=65"], ConfigError, "multiple of"),
        (["model.dim=96", "model.heads=5"], ConfigError, "multiple of|divide"),
        (["model.channels=[4]"], ConfigError, "as long as each other"),
        (["model.decoder=nowhere"], ConfigError, "there is no decoder"),
        (["model.decoder=."], CheckpointError, "holds no causal LM"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_any_data_are_made(settings, error, message, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "World", lambda *_: pytest.fail("data were made first"))
    with pytest.raises(error, match=message) as told:
        data.prepare(override(laptop(), settings), RunFolder(tmp_path))
    assert len(str(told.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_presets_can_be(tmp_path):
    for preset in (smoke(), laptop()):
        need_model(preset)
    with pytest.raises(CheckpointError, match=r"Qwen2\.5-Omni-3B holds no model"):
        need_model(paper())
