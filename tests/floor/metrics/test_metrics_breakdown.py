"""Breakdown tables by hand, and cell by cell against the metric itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng
from auricle.metrics.breakdown import POOLED, Factor, asv_breakdown, breakdown, min_tdcf_breakdown
from auricle.metrics.detection import auc, eer
from auricle.metrics.tandem import AsvErrors, asv_errors, min_tdcf

# four bona fide, two of each codec; four spoofs of two attacks
SCORES = [4.0, 3.0, 2.0, 1.0, 0.0, 0.5, 2.5, 5.0]
LABELS = [1, 1, 1, 1, 0, 0, 0, 0]
CODECS = ["alaw", "alaw", "opus", "opus", "alaw", "opus", "alaw", "opus"]
ATTACKS = [None, "-", None, "-", "A07", "A07", "A08", "A08"]
ATTACK, CODEC = Factor("attack", ATTACKS, "spoof"), Factor("codec", CODECS)


@pytest.fixture(scope="module")
def trials() -> dict[str, np.ndarray]:
    draw = rng(0, "breakdown")
    labels = draw.integers(0, 2, 400)
    return {
        "labels": labels,
        "scores": draw.standard_normal(400) + labels,
        "codec": draw.choice(["none", "alaw", "gsm"], 400),
        "attack": np.where(labels == 1, "-", draw.choice(["A07", "A08"], 400)),
    }


def test_by_hand():
    made = breakdown(SCORES, LABELS, ATTACK, CODEC)
    assert made.rows == ("A07", "A08", POOLED)
    assert made.columns == ("alaw", "opus", POOLED)
    # A08 in opus: 2 and 1 against 5; A08 in alaw: 4 and 3 against 2.5; pooled over codecs: 4 3 2 1 against 2.5 5
    assert made.cell("A07", "alaw") == 0.0
    assert made.cell("A08", "alaw") == 0.0
    assert made.cell("A08", "opus") == pytest.approx(eer([2, 1], [5]).eer, abs=1e-12)
    assert made.cell("A08") == pytest.approx(0.5, abs=1e-12)
    assert made.cell() == pytest.approx(eer(SCORES[:4], SCORES[4:]).eer, abs=1e-12)
    assert made.bonafide.tolist() == [[2, 2, 4]] * 3
    assert made.spoof.tolist() == [[1, 1, 2], [1, 1, 2], [2, 2, 4]]


def test_every_cell_is_the_metric_of_its_trials(trials):
    row = Factor("attack", trials["attack"].tolist(), "spoof", ("A08", "A07"))
    column = Factor("codec", trials["codec"].tolist(), "both", ("none", "alaw", "gsm"))
    made = breakdown(trials["scores"], trials["labels"], row, column, "auc", auc)
    assert made.rows == ("A08", "A07", POOLED)
    for i, attack in enumerate(made.rows):
        for j, codec in enumerate(made.columns):
            in_codec = (trials["codec"] == codec) | (codec == POOLED)
            real = trials["scores"][(trials["labels"] == 1) & in_codec]
            fake = trials["scores"][
                (trials["labels"] == 0) & in_codec & ((trials["attack"] == attack) | (attack == POOLED))
            ]
            assert made.values[i, j] == auc(real, fake)
            assert (made.bonafide[i, j], made.spoof[i, j]) == (real.size, fake.size)


def test_one_factor_and_factors_of_the_bona_fide():
    made = breakdown(SCORES, LABELS, CODEC)
    assert made.columns == (POOLED,)
    assert made.cell("alaw") == 0.0
    distance = Factor("distance", ["near", "far", "near", "far", None, None, None, None], "bonafide")
    by_distance = breakdown(SCORES, LABELS, distance)
    assert by_distance.bonafide[:, 0].tolist() == [2, 2, 4]
    assert by_distance.spoof[:, 0].tolist() == [4, 4, 4]
    assert by_distance.cell("near") == eer([4, 2], SCORES[4:]).eer


def test_a_cell_without_both_classes_is_empty_not_zero():
    codec = Factor("codec", CODECS, "both", ("alaw", "opus", "gsm"))
    made = breakdown(SCORES, LABELS, ATTACK, codec)
    assert np.isnan(made.cell("A07", "gsm"))
    assert made.table()[1] == ["A07", "0.00", "0.00", "-", "0.00"]
    missing = next(r for r in made.records() if (r["row"], r["column"]) == ("A07", "gsm"))
    assert missing == {"metric": "eer", "row": "A07", "column": "gsm", "value": None, "bonafide": 0, "spoof": 0}
    json.dumps(made.records(), allow_nan=False)


def test_the_printed_table():
    made = breakdown(SCORES, LABELS, ATTACK, CODEC)
    assert made.table()[0] == ["attack \\ codec", "alaw", "opus", POOLED]
    assert made.table()[2][0] == "A08"
    assert made.table()[2][3] == "50.00"
    assert made.table(scale=1, digits=3)[2][3] == "0.500"
    assert breakdown(SCORES, LABELS, ATTACK).table()[0] == ["attack", POOLED]


def test_tandem_costs_use_the_verifiers_errors_of_the_same_cell(trials):
    draw = rng(1, "asv")
    kinds = draw.choice(["target", "nontarget", "spoof"], 600)
    scores = draw.standard_normal(600) + 3.0 * (kinds == "target") + 2.0 * (kinds == "spoof")
    codec = draw.choice(["none", "alaw"], 600)
    attack = np.where(kinds == "spoof", draw.choice(["A07", "A08"], 600), None)
    levels = ("none", "alaw", "gsm")
    asv = asv_breakdown(
        scores,
        kinds.tolist(),
        Factor("attack", attack.tolist(), "spoof"),
        Factor("codec", codec.tolist(), "both", levels),
    )
    # no verifier trial of gsm
    assert set(asv) == {(a, c) for a in ("A07", "A08", POOLED) for c in ("none", "alaw", POOLED)}
    mine = (codec == "alaw") & ((kinds != "spoof") | (attack == "A07"))
    parts = [scores[mine & (kinds == kind)] for kind in ("target", "nontarget", "spoof")]
    assert asv["A07", "alaw"] == asv_errors(*parts)

    row = Factor("attack", trials["attack"].tolist(), "spoof")
    column = Factor("codec", trials["codec"].tolist(), "both", levels)
    for version in (2021, 2019):
        made = min_tdcf_breakdown(trials["scores"], trials["labels"], row, column, asv, version)
        assert np.isnan(made.cell("A07", "gsm"))
        real = trials["scores"][(trials["labels"] == 1) & (trials["codec"] == "alaw")]
        fake = trials["scores"][(trials["attack"] == "A07") & (trials["codec"] == "alaw")]
        assert made.cell("A07", "alaw") == pytest.approx(min_tdcf(real, fake, asv["A07", "alaw"], version), abs=1e-12)
        assert 0 < made.cell() <= 1


def test_what_cannot_be_broken_down_is_refused():
    with pytest.raises(DataError, match="7 values of codec"):
        breakdown(SCORES, LABELS, Factor("codec", CODECS[:-1]))
    with pytest.raises(ConfigError, match="'Pooled' is taken"):
        breakdown(SCORES, LABELS, Factor("codec", CODECS, "both", ("alaw", POOLED)))
    with pytest.raises(ConfigError, match="must differ"):
        breakdown(SCORES, LABELS, Factor("codec", CODECS, "both", ("alaw", "alaw")))
    with pytest.raises(ConfigError, match="not to 'fake'"):
        breakdown(SCORES, LABELS, Factor("codec", CODECS, "fake"))
    with pytest.raises(DataError, match="no spoof trials"):
        breakdown([1.0, 2.0], [1, 1], Factor("codec", ["a", "b"]))
    with pytest.raises(DataError, match="NaN or Inf"):
        breakdown([1.0, float("nan")], [1, 0], Factor("codec", ["a", "b"]))
    with pytest.raises(ConfigError, match="no level 'A99'"):
        breakdown(SCORES, LABELS, ATTACK).cell("A99")
    with pytest.raises(DataError, match="not 'impostor'"):
        asv_breakdown([1.0, 2.0], ["target", "impostor"], Factor("codec", ["a", "b"]))
    with pytest.raises(DataError, match="2 verifier scores and 1 kinds"):
        asv_breakdown([1.0, 2.0], ["target"], Factor("codec", ["a", "b"]))
    with pytest.raises(ConfigError, match="none of the cells"):
        min_tdcf_breakdown(SCORES, LABELS, ATTACK, CODEC, {("X", "Y"): AsvErrors(0.1, 0.1, 0.5)})
    with pytest.raises(DataError, match="Pooled, Pooled"):
        min_tdcf_breakdown(SCORES, LABELS, ATTACK, CODEC, {(POOLED, POOLED): AsvErrors(1.0, 1.0, 0.5)})
