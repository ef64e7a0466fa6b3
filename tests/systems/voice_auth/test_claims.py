"""The claims: that they run, and that each follows its rule on numbers made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auricle.claims.claim import Cell, Measured
from auricle.claims.results import load
from auricle.claims.runner import run_claims
from auricle.systems.voice_auth.claims import CLAIMS, arms, training, use, verifier
from auricle.systems.voice_auth.claims.training import V3, V4, V5
from auricle.systems.voice_auth.claims.use import V6, V7, V10
from auricle.systems.voice_auth.claims.verifier import V1, V9

SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parents[3] / "docs" / "results" / "voice_auth.json"
TRAINED = {"parameters", "steps"}
WITH_EER = TRAINED | {"eer", "eer_draws"}
# what a cell of the quick budget holds, by claim and arm
KEYS = {
    ("V1", "copy"): {"impostor_trials", "attacks"}
    | {f"{name}_{far}" for name in ("bypass", "low", "high", "frr", "far", "claimable") for far in ("1", "0.1")},
    ("V3", "speaker_split"): WITH_EER,
    ("V4", "left_out"): TRAINED | {"in_domain", "out_of_domain", "ratio", "ratio_draws"},
    ("V5", "english"): TRAINED
    | {f"{cell}{draws}" for cell in ("a_g1", "a_g2", "b_g1", "b_g2") for draws in ("", "_draws")},
    ("V6", "rawboost3"): TRAINED
    | {"clean", "white_10_db", "pink_10_db", "babble_10_db", "mu_law", "gsm", "noisy", "noisy_draws"},
    ("V7", "tandem"): TRAINED
    | {"far", "frr", "frr_alone", "a_dcf", "a_dcf_alone"}
    | {
        f"{name}_{part}{draws}"
        for name in ("alone", "tandem")
        for part in ("seen", "unseen")
        for draws in ("", "_draws")
    },
    ("V9", "mp3_to_other"): {"factor", "low", "high", "frr", "impostor_trials", "claimable"},
    ("V10", "chain"): WITH_EER,
}


@pytest.mark.claims  # two minutes
def test_quick_claims_run_from_end_to_end(tmp_path, spectrum_verifier, monkeypatch):
    for place in ("embeddings", "checks"):
        monkeypatch.setattr(f"auricle.systems.voice_auth.{place}.load_verifier", lambda spec: spectrum_verifier)
    entries, _ = run_claims(CLAIMS, "quick", tmp_path / "claims", tmp_path / "results.json")
    assert {entry.verdict for entry in entries} == {"no verdict"}
    assert all(entry.parts and entry.effect is not None for entry in entries)
    for (claim, arm), keys in KEYS.items():
        cell = json.loads((tmp_path / "claims" / "quick" / claim / f"{arm}-seed-1.json").read_text())
        assert set(cell["numbers"]) == keys, claim
        assert cell["settings"]["arm"] == arm
        assert cell["settings"]["config"]["seed"] == 1


def test_the_claims_are_those_of_the_paper():
    assert [claim.id for claim in CLAIMS] == ["V1", "V3", "V4", "V5", "V6", "V7", "V10", "V9"]
    assert [claim.id for claim in CLAIMS if claim.headline] == ["V1"]
    assert all(claim.cuts for claim in CLAIMS)
    assert {claim.id for claim in CLAIMS} == {claim for claim, _ in KEYS}
    assert [len(claim.seeds("full")) for claim in CLAIMS] == [5, 3, 3, 3, 3, 3, 3, 3]


def test_settings_differ_by_seed_and_budget(tmp_path):
    cells = [Cell("plain", seed, budget, tmp_path, tmp_path) for budget in ("quick", "full") for seed in (0, 1)]
    digests = {json.dumps(arms.settings(cell)["config"].model_dump(mode="json"), sort_keys=True) for cell in cells}
    assert len(digests) == 4
    full = arms.config("full", 2, augment="rawboost", rawboost=5)
    assert (full.seed, full.train.augment, full.train.rawboost, full.data.split) == (2, "rawboost", 5, 1)
    assert full.train.max_steps == 150


def around(value, spread=0.01):
    """Draws over speakers near a value, the same number every time."""
    return (value + spread * np.sin(np.arange(40))).tolist()


def cells(**numbers):
    """One arm: each number near the value that is given in every seed, draws as they are."""
    return {
        seed: {
            name: value if isinstance(value, list) else value * (1 + 0.001 * seed) for name, value in numbers.items()
        }
        for seed in SEEDS
    }


def spread(**numbers):
    """One arm: each number with draws over speakers around it."""
    return cells(**numbers, **{f"{name}_draws": around(value) for name, value in numbers.items()})


def decided(claim, **by_arm):
    return claim.decide(Measured(by_arm, SEEDS))


@pytest.mark.parametrize(
    ("inside", "outside", "verdict"), [(3.0, 30.0, "confirmed"), (5.0, 6.0, "refuted"), (20.0, 40.0, "not resolved")]
)
def test_v4_follows_its_rule(inside, outside, verdict):
    arm = spread(ratio=outside / inside) | {}
    for seed, numbers in arm.items():
        numbers |= {"in_domain": inside + 0.001 * seed, "out_of_domain": outside}
    found = decided(V4, left_out=arm, three_seen=arm)
    assert found.verdict == verdict
    assert bool(found.notes) == (inside > 50 / training.RATIO)


@pytest.mark.parametrize(
    ("bypass", "claimable", "verdict"), [(60.0, 1, "confirmed"), (2.0, 1, "refuted"), (60.0, 0, "not resolved")]
)
def test_v1_follows_its_rule(bypass, claimable, verdict):
    numbers = {"attacks": 40, "impostor_trials": 4000}
    for name in ("1", "0.1"):
        numbers |= {f"bypass_{name}": bypass, f"low_{name}": bypass - 1, f"high_{name}": bypass + 1}
        numbers |= {f"frr_{name}": 5.0, f"far_{name}": 1.0, f"claimable_{name}": claimable}
    found = V1.decide(
        Measured({attack: {seed: dict(numbers) for seed in range(5)} for attack in V1.arms}, (0, 1, 2, 3, 4))
    )
    assert found.verdict == verdict
    assert bool(found.notes) == (not claimable)
    assert found.ci95 == (bypass - 1, bypass + 1)


def test_v9_follows_its_rule():
    far_off = {"factor": 4.0, "low": 3.0, "high": 5.0, "frr": 5.0, "impostor_trials": 900, "claimable": 1}
    close = far_off | {"factor": 1.1, "low": 0.8, "high": 1.4}
    few = far_off | {"impostor_trials": 90, "claimable": 0}
    across = close | {"high": 2.5}
    for here, there, verdict in (
        (far_off, close, "confirmed"),
        (close, close, "refuted"),
        (few, close, "not resolved"),
        (across, close, "not resolved"),
    ):
        measured = Measured(
            {"mp3_to_other": dict.fromkeys(SEEDS, here), "other_to_mp3": dict.fromkeys(SEEDS, there)}, SEEDS
        )
        assert V9.decide(measured).verdict == verdict
    assert V9.decide(measured).effect == close["factor"]
    assert verifier.V9_FACTOR == 2.0


@pytest.mark.parametrize(("eer", "verdict"), [(2.0, "confirmed"), (30.0, "refuted"), (5.0, "not resolved")])
def test_v3_follows_its_rule(eer, verdict):
    found = decided(V3, speaker_split=spread(eer=eer), clip_split=spread(eer=eer / 2))
    assert found.verdict == verdict
    assert found.parts[0].verdict == verdict
    assert [part.verdict for part in found.parts[1:]] == [None, None]  # leakage is reported, and decides nothing
    assert found.parts[2].effect == pytest.approx(eer / 2, rel=0.01)


@pytest.mark.parametrize(
    ("generator", "language", "verdict"),
    [(40.0, 20.0, "confirmed"), (20.0, 60.0, "refuted"), (30.0, 30.0, "not resolved")],
)
def test_v5_follows_its_rule(generator, language, verdict):
    found = decided(V5, english=spread(a_g1=10.0, a_g2=generator, b_g1=language, b_g2=50.0))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(generator - language, abs=0.1)


def test_v5_needs_both_seeds_and_speakers():
    apart = spread(a_g1=10.0, a_g2=40.0, b_g1=20.0, b_g2=50.0)
    for numbers in apart.values():
        numbers["a_g2_draws"] = np.linspace(0.0, 80.0, 40).tolist()  # seeds agree, speakers do not
    assert decided(V5, english=apart).verdict == "not resolved"


@pytest.mark.parametrize(("boosted", "verdict"), [(10.0, "confirmed"), (39.0, "refuted"), (20.0, "not resolved")])
def test_v6_follows_its_rule(boosted, verdict):
    def trained(noisy):
        return {seed: numbers | {"clean": 5.0} for seed, numbers in spread(noisy=noisy).items()}

    found = decided(V6, clean=trained(40.0), rawboost3=trained(boosted), rawboost5=trained(39.0), white=trained(30.0))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(boosted / 40.0, rel=0.01)
    ratios = {part.name: part.effect for part in found.parts if " over " in part.name}
    assert len(ratios) == 4
    assert ratios["noisy EER, rawboost3 over white"] == pytest.approx(boosted / 30.0, rel=0.01)
    assert {part.verdict for part in found.parts} == {None}
    assert use.HALF == 0.5
    assert found.notes == ()


@pytest.mark.parametrize("boosted", [10.0, 39.0])
def test_v6_says_nothing_where_a_halving_was_out_of_reach(boosted):
    """Clean speech at 38.8 %, noise at 46.7 %: repaired noise would come to 0.83, so neither side of 0.5 counts."""
    rows = {"clean": 46.7, "rawboost3": boosted, "rawboost5": 46.0, "white": 46.0}
    arms = {
        name: {seed: n | {"clean": 38.8} for seed, n in spread(noisy=noisy).items()} for name, noisy in rows.items()
    }
    found = decided(V6, **arms)
    assert found.verdict == "not resolved"
    assert found.effect == pytest.approx(boosted / 46.7, rel=0.01)
    (note,) = found.notes
    assert "a guard that was added after the run" in note
    assert "ratio of 0.83" in note


def test_the_results_of_v6_are_what_the_guard_makes_of_their_numbers():
    (entry,) = [claim for claim in load(RESULTS).claims if claim.id == "V6"]
    numbers = entry.measured
    clean = [numbers[arm]["clean"].mean for arm in ("clean", "rawboost3")]
    assert entry.verdict == "not resolved"
    assert entry.notes[1] == use.v6_guard(clean, numbers["clean"]["noisy"].mean)


@pytest.mark.parametrize(
    ("alone_unseen", "tandem_seen", "tandem_unseen", "verdict"),
    [
        (30.0, 5.0, 20.0, "confirmed"),  # it helps, and more unseen attacks pass
        (30.0, 20.0, 5.0, "refuted"),  # no gap
        (10.0, 5.0, 20.0, "refuted"),  # it harms
        (30.0, 20.0, 20.0, "not resolved"),
    ],
)
def test_v7_follows_its_rule(alone_unseen, tandem_seen, tandem_unseen, verdict):
    arm = spread(alone_seen=30.0, alone_unseen=alone_unseen, tandem_seen=tandem_seen, tandem_unseen=tandem_unseen)
    for numbers in arm.values():
        numbers |= {"frr": 20.0, "frr_alone": 10.0, "a_dcf": 0.3, "a_dcf_alone": 0.5}
    found = decided(V7, tandem=arm)
    assert found.verdict == verdict
    assert found.effect == pytest.approx(tandem_unseen - tandem_seen, abs=0.1)


@pytest.mark.parametrize(
    ("plain", "chain", "verdict"),
    [
        (10.0, 48.0, "confirmed"),
        (45.0, 48.0, "refuted"),  # no leak where formats differ
        (10.0, 12.0, "refuted"),  # the chain leaks
        (30.0, 48.0, "not resolved"),
    ],
)
def test_v10_follows_its_rule(plain, chain, verdict):
    found = decided(V10, plain=spread(eer=plain), chain=spread(eer=chain))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(plain, rel=0.01)


def test_another_draw_of_the_enrolment_keeps_its_size():
    facts = [{"id": str(n), "role": "enrol" if n < 2 else "test", "target": "a"} for n in range(6)]
    facts.append({"id": "fake", "role": "spoof", "target": "a"})
    clips = arms.Clips([np.zeros(4, np.int16)] * 7, facts, 16000)
    assert arms.shuffled_roles(clips, 0, 2) is clips
    drawn = [tuple(arms.shuffled_roles(clips, seed, 2).values("role")) for seed in range(1, 6)]
    assert all(sorted(roles) == sorted(clips.values("role")) and roles[-1] == "spoof" for roles in drawn)
    assert len(set(drawn)) > 1
    assert [fact["role"] for fact in facts[:2]] == ["enrol", "enrol"]  # the given clips stay as they are
