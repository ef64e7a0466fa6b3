"""Trials by hand, embeddings kept and gone on with, and detectors from outside."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.run import RunFolder
from auricle.data.clips import Clips, scores_in
from auricle.metrics.verification import enrol
from auricle.systems.detections import clip_scores
from auricle.systems.voice_auth.config import smoke
from auricle.systems.voice_auth.detectors import external_detector
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.trials import Cohort, joined, make_trials, models


def fact(name, role, target, group, speaker_group=None, family=""):
    return {
        "id": name,
        "role": role,
        "target": target,
        "target_group": group,
        "speaker_group": speaker_group or group,
        "label": "spoof" if family else "bonafide",
        "family": family,
        "language": "en",
        "pair": name,
        "split": "test",
    }


FACTS = [
    fact("a-e1", "enrol", "a", "g1"),
    fact("a-e2", "enrol", "a", "g1"),
    fact("b-e1", "enrol", "b", "g1"),
    fact("c-e1", "enrol", "c", "g2"),
    fact("a-t", "test", "a", "g1"),
    fact("c-t", "test", "c", "g2"),
    fact("c-s", "spoof", "c", "g2", "g1", "world"),
]


@pytest.fixture
def clips():
    draws = np.random.default_rng(0)
    waves = [np.round(3000 * draws.standard_normal(8000)).astype(np.int16) for _ in FACTS]
    return Clips(waves, [dict(one) for one in FACTS], 16000)


@pytest.fixture
def embeddings():
    rows = np.random.default_rng(1).standard_normal((len(FACTS), 4))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_every_clip_is_tried_against_its_own_voice_and_the_voices_of_other_groups(clips, embeddings):
    trials = make_trials(clips, embeddings, seen=("world",))
    rows = {
        (test, kind, target): score
        for test, kind, target, score in zip(trials.test, trials.kind, trials.target, trials.score, strict=True)
    }
    # a's clip is not held against b, who may be the same person; c's clip is tried against both
    assert sorted(rows) == [
        ("a-t", "target", "g1"),
        ("a-t", "zero_effort", "g2"),
        ("c-s", "spoof", "g2"),
        ("c-t", "target", "g2"),
        ("c-t", "zero_effort", "g1"),
    ]
    assert len(trials) == 6
    assert rows["a-t", "target", "g1"] == pytest.approx(float(enrol(embeddings[:2]) @ embeddings[4]))
    assert rows["c-s", "spoof", "g2"] == pytest.approx(float(embeddings[3] @ embeddings[6]))
    assert [d for d, kind in zip(trials.domain, trials.kind, strict=True) if kind == "spoof"] == ["in"]


def test_one_enrolment_utterance_takes_the_first(clips, embeddings):
    assert models(clips, embeddings, 1)["a"].vector == pytest.approx(embeddings[0])


def test_a_voice_without_enrolment_is_named(clips, embeddings):
    with pytest.raises(DataError, match="'c' has no enrolment"):
        models(clips.where(clips.values("id") != "c-e1"), embeddings[[0, 1, 2, 4, 5, 6]])


def test_as_norm_leaves_both_speakers_out_of_the_cohort(clips, embeddings):
    own = models(clips, embeddings)
    groups = np.array(["g1", "g2", "g3", "g3", "g4"])
    cohort = np.random.default_rng(2).standard_normal((5, 4))
    cohort /= np.linalg.norm(cohort, axis=1, keepdims=True)
    trials = make_trials(clips, embeddings, own, cohort=Cohort(cohort, groups, 2))
    at = next(i for i, (t, k) in enumerate(zip(trials.test, trials.kind, strict=True)) if (t, k) == ("a-t", "target"))
    sides = []
    for side in (own["a"].vector, embeddings[4]):
        near = np.sort(cohort[1:] @ side)[-2:]  # all but g1
        sides.append((float(own["a"].vector @ embeddings[4]) - near.mean()) / near.std())
    assert trials.score[at] == pytest.approx(np.mean(sides))
    with pytest.raises(DataError, match="3 utterances of others"):
        make_trials(clips, embeddings, own, cohort=Cohort(cohort, groups, 4))


def test_conditions_are_joined(clips, embeddings):
    own = models(clips, embeddings)
    parts = [make_trials(clips, embeddings, own, condition=name) for name in ("clean", "gsm")]
    both = joined(parts)
    assert len(both) == 12
    assert both.condition.present() == ["clean", "gsm"]
    assert len(set(both.test)) == 6  # a clip under two conditions is two clips to a detector


def test_embeddings_are_kept_and_only_what_is_missing_is_made(clips, tmp_path, verifier, monkeypatch):
    run = RunFolder(tmp_path)
    first = Embedder(smoke(), run).of(clips.where(np.arange(7) < 3))
    calls = []
    embed = verifier.embed
    monkeypatch.setattr(verifier, "embed", lambda waves, rates: calls.append(len(waves)) or embed(waves, rates))
    again = Embedder(smoke(), run).of(clips)
    assert calls == [4]
    assert np.array_equal(again[:3], first)
    # found by its samples: another clip under the same name is embedded, a known one under another name is not
    louder = Clips([2 * wave for wave in clips.waves[:2]], clips.facts[:2], 16000)
    assert not np.array_equal(Embedder(smoke(), run).of(louder), first[:2])
    assert calls == [4, 2]
    renamed = Clips(clips.waves[:2], [{**fact, "id": "new"} for fact in clips.facts[:2]], 16000)
    assert np.array_equal(Embedder(smoke(), run).of(renamed), first[:2])
    assert calls == [4, 2]
    other = override(smoke(), ["verifier.spec=voicefilter"])
    assert not Embedder(other, run).file.exists()  # those of other verifiers never mix with these


def test_damaged_embeddings_are_named(tmp_path, verifier):
    file = Embedder(smoke(), RunFolder(tmp_path)).file
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="delete it"):
        Embedder(smoke(), RunFolder(tmp_path))


def test_any_object_that_scores_waves_is_a_detector(clips):
    class Loudness:
        def scores(self, waves, rates_hz):
            return [float(np.abs(wave).max()) for wave in waves]

    found = clip_scores(Loudness(), clips)
    assert found.shape == (7,)
    assert found[2] == pytest.approx(np.abs(clips.wave(2)).max())


def test_scores_from_a_file(clips, tmp_path):
    file = tmp_path / "scores.txt"
    file.write_text("".join(f"{one['id']} {place}.5\n" for place, one in enumerate(FACTS)))
    assert scores_in(file, clips).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    file.write_text("a-e1 0.5\n")
    with pytest.raises(DataError, match="no score for 6 of 7 clips, such as a-e2"):
        scores_in(file, clips)
    for text, reason in (("a-e1 x\n", "line 1"), ("a 1\na 2\n", "line 2.*already"), ("a nan\n", "line 1")):
        file.write_text(text)
        with pytest.raises(DataError, match=reason):
            scores_in(file, clips)


def test_a_folder_without_a_detector_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        external_detector(tmp_path)
    (tmp_path / "config.json").write_text('{"system": "voice_auth", "preset": "smoke", "config": {}}')
    with pytest.raises(CheckpointError, match="is not trained yet"):
        external_detector(tmp_path)


def test_a_login_would_have_to_audit_itself(finished):
    with pytest.raises(ConfigError, match=r"detector\.run=.* is a run of voice_auth; give a run of a detection system"):
        external_detector(finished("voice_auth"))
