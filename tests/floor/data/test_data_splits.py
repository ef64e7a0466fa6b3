"""Splits of a user's manifest: whole voices, both classes in each of them, refused only where that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import DataError
from auricle.data import fields, manifest
from auricle.data.labelled import need_both_classes, split_manifest
from auricle.data.splits import split_classes, split_groups

REAL, FAKE = frozenset({"bonafide"}), frozenset({"spoof"})
SPLITS = {"train", "dev", "test"}


@settings(max_examples=150, deadline=None)
@given(real=st.integers(0, 12), both=st.integers(0, 5), fake=st.integers(0, 12), draw=st.integers(0, 50))
def test_both_classes_are_in_each_split_wherever_that_can_be(real, both, fake, draw):
    classes = {f"r{n}": REAL for n in range(real)} | {f"f{n}": FAKE for n in range(fake)}
    classes |= {f"b{n}": REAL | FAKE for n in range(both)}
    if min(real + both, fake + both) < 3:
        if real + both and fake + both:
            with pytest.raises(DataError, match="at least 3 are needed to have it in train, dev and test"):
                split_classes(classes, draw)
        return
    assigned = split_classes(classes, draw)
    assert set(assigned) == set(classes)
    for label in ("bonafide", "spoof"):
        assert {assigned[group] for group, held in classes.items() if label in held} == SPLITS
    assert split_classes(classes, draw) == assigned


def test_voices_of_both_classes_are_drawn_as_ever():
    voices = {f"g{n}": REAL | FAKE for n in range(15)}
    for draw in range(5):
        assert split_classes(voices, draw) == split_groups(dict.fromkeys(voices, "own"), draw)


def test_the_message_names_the_class_and_how_many_voices_it_has():
    with pytest.raises(DataError, match=r"^spoof is in 2 speaker group\(s\); at least 3"):
        split_classes({f"r{n}": REAL for n in range(9)} | {"f1": FAKE, "f2": FAKE}, 0)


@pytest.fixture
def corpus(tmp_path):
    """Real and fake speakers apart, as a CSV of one's own has them: 30 real clips of 6 voices, 12 fakes of 3."""

    def make(voices):
        rows = []
        for voice, (label, count) in voices.items():
            for n in range(count):
                path = tmp_path / f"{voice}-{n}.wav"
                soundfile.write(path, np.random.default_rng(n).normal(0, 0.1, 4000), 16_000)
                rows.append(f"{path.name},{label},{voice}")
        (tmp_path / "files.csv").write_text("path,label,speaker\n" + "\n".join(rows) + "\n")
        manifest.from_csv(tmp_path / "files.csv", tmp_path / "m.jsonl")
        return str(tmp_path / "m.jsonl")

    return make


def test_speakers_apart_by_class_are_split_with_both_classes(corpus):
    voices = {f"r{n}": ("real", 5) for n in range(6)} | {f"f{n}": ("fake", 4) for n in range(3)}
    for draw in range(4):
        sets, how = split_manifest(corpus(voices), draw)
        assert how == "by voice"
        for name, cuts in sets.items():
            need_both_classes(name, cuts)
        where = [{cut.custom[fields.SPEAKER] for cut in cuts} for cuts in sets.values()]
        assert not where[0] & where[1] | where[0] & where[2] | where[1] & where[2]


def test_too_few_fake_voices_are_refused_before_anything_else(corpus):
    voices = {f"r{n}": ("real", 2) for n in range(6)} | {"tts": ("fake", 8)}
    with pytest.raises(DataError, match=r"spoof is in 1 speaker group\(s\).*give more voices of it, or a split column"):
        split_manifest(corpus(voices), 0)
