"""Counterfactuals: a text that hears follows, one that does not is found out."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.core.run import RunFolder
from auricle.systems.ft_grpo import counterfactual, data
from auricle.systems.ft_grpo.config import DataConfig, FtGrpoConfig
from auricle.systems.ft_grpo.rationale import NONE, Evidence, write

CFG = FtGrpoConfig(data=DataConfig(train=16, dev=16, test=48, weak=0, hard=0, types=("speech", "sound")))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("world"))
    run.manifests.mkdir()
    data.prepare(CFG, run)
    return counterfactual.build(CFG.data, data.load(run, "test"), 16)


def oracle(cases):
    """Give the right text of every clip: the fake, the moved, the removed."""
    texts = []
    for case in cases:
        was = case.item.truth
        moved = (
            Evidence("fake", was.frequency, case.place, was.time, was.bin)
            if case.moved.domain == "frequency"
            else Evidence("fake", was.frequency, was.band, was.time, case.place)
        )
        texts += [write(was), write(moved), write(Evidence("real", NONE, None, NONE))]
    return texts


def test_cases_are_of_both_types_and_move_far_enough(cases):
    assert len(cases) == 16
    assert {case.item.type for case in cases} == {"speech", "sound"}
    assert {case.moved.domain for case in cases} == {"frequency", "time"}
    for case in cases:
        assert case.moved in case.item.artefacts
        assert abs(case.place - case.moved.place) >= counterfactual.LEAST_MOVE[case.moved.domain]
        assert case.waves.shape == (3, len(case.item.wave))
        assert case.waves.dtype == np.int16
        assert np.array_equal(case.waves[0], case.item.wave)


def test_only_the_artefact_differs(cases):
    """Without it, the clip is the fake but for the artefact: away from a time artefact the two are the same sound."""
    for case in cases:
        if len(case.item.artefacts) > 1 or case.moved.kind not in ("silence", "repeat"):
            continue
        fake, removed = case.waves[0].astype(float), case.waves[2].astype(float)
        near = slice(max(0, int((case.moved.start_s - 0.1) * 16000)), int((case.moved.end_s + 0.1) * 16000))
        keep = np.ones(len(fake), bool)
        keep[near] = False
        assert np.corrcoef(fake[keep], removed[keep])[0, 1] > 0.95
        assert not np.array_equal(fake, removed)


def test_a_text_that_follows_scores_one_and_others_do_not(cases):
    right = counterfactual.score(cases, lambda waves: oracle(cases), n=100, seed=0)
    for name in ("follows_frequency", "follows_time", "moved_hit_frequency", "moved_hit_time", "flips", "removed_real"):
        assert right[name].value == 1.0
    assert right["stuck_frequency"].value == right["stuck_time"].value == 0.0
    # the same text whatever is heard
    stuck = counterfactual.score(
        cases, lambda waves: [write(case.item.truth) for case in cases for _ in range(3)], n=100, seed=0
    )
    assert stuck["stuck_frequency"].value == stuck["stuck_time"].value == 1.0
    assert stuck["follows_frequency"].value == stuck["follows_time"].value == stuck["flips"].value == 0.0
    # always real: nothing flips, since it was never called fake
    real = write(Evidence("real", NONE, None, NONE))
    always = counterfactual.score(cases, lambda waves: [real] * len(waves), n=100, seed=0)
    assert (always["removed_real"].value, always["flips"].value) == (1.0, 0.0)


def test_what_cannot_be_asked_is_refused(cases):
    with pytest.raises(DataError, match="one a clip"):
        counterfactual.score(cases, lambda waves: ["real"], n=100, seed=0)
    with pytest.raises(DataError, match="no cases"):
        counterfactual.score([], lambda waves: [], n=100, seed=0)
    with pytest.raises(DataError, match="no fake"):
        counterfactual.build(CFG.data, [], 4)
