from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auricle.claims import results
from auricle.claims.claim import BUDGETS, Cell, Measured
from auricle.claims.equality import TOLERANCE
from auricle.core.errors import ConfigError
from auricle.systems.mambo.claims import CLAIMS, arms, detectors, timing


def test_the_claims_of_the_issue_are_there():
    assert [claim.id for claim in CLAIMS] == ["M1", "M2", "M4", "M5", "M6"]
    seeds = {claim.id: (len(claim.seeds("quick")), len(claim.seeds("full"))) for claim in CLAIMS}
    assert seeds == {"M1": (2, 5), "M2": (2, 5), "M4": (3, 16), "M5": (2, 3), "M6": (2, 5)}
    assert list(detectors.M4.arms) == ["shallow", "deep", "widened"]
    assert [claim.id for claim in CLAIMS if claim.headline] == ["M2"]
    assert all(claim.cuts for claim in CLAIMS)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize(
    ("models", "equal"),
    [
        (detectors.m1_models, ("mamba2", "hydra")),
        (detectors.m2_models, ("hydra", "add", "concat")),
        (detectors.m4_models, ("deep", "widened")),
        (detectors.m5_models, detectors.M5_MIXERS),
    ],
)
def test_arms_are_of_equal_size(models, equal, budget):
    sizes = [arms.count(models(budget)[arm]) for arm in equal]
    assert max(sizes) <= (1 + TOLERANCE) * min(sizes)


def test_shallow_is_smaller_than_deep():
    sizes = {arm: arms.count(model) for arm, model in detectors.m4_models("full").items()}
    assert sizes["shallow"] < 0.5 * sizes["deep"]


def cell(arm, seed, budget="full"):
    return Cell(arm, seed, budget, Path("shared"), Path("work"))


def test_settings_differ_by_arm_and_seed_and_are_configs():
    claim = detectors.M1
    rows = [claim.settings(cell(arm, seed)).model_dump_json() for arm in claim.arms for seed in (0, 1)]
    assert len(set(rows)) == 4
    assert set(detectors.M2.settings(cell("clock", 0))) == {"hydra", "add", "concat"}
    assert detectors.M2.settings(cell("hydra", 3)) == claim.settings(cell("hydra", 3))  # one training serves both


def test_a_detector_is_trained_once_for_all_claims_that_need_it(tmp_path, monkeypatch):
    measured = []

    def measure(cfg, shared, without, folder):
        measured.append((cfg.seed, without))
        (folder / "checkpoints").mkdir(parents=True)
        return {"eer": 1.0}

    monkeypatch.setattr(arms, "_measure", measure)
    cfg = detectors.M1.settings(cell("hydra", 0, "quick"))
    for without in ("", "", "world"):
        assert arms.detector(cfg, tmp_path, without) == {"eer": 1.0}
    assert measured == [(0, ""), (0, "world")]
    assert not list(tmp_path.rglob("checkpoints"))


def cells(values):
    return Measured(values, tuple(range(len(next(iter(values.values()))))))


def trained(shift, seed):
    """Make up detectors of 120 clips of 12 voices; arms differ by how far real clips lie above fakes."""
    made = {}
    for arm, gap in shift.items():
        made[arm] = {}
        for run in range(5):
            draws = np.random.default_rng([seed, run])
            labels = np.tile([True, False], 60)
            scores = draws.normal(size=120) + gap * labels + 0.02 * draws.normal(size=120)
            row = {"scores": scores.tolist(), "labels": labels.tolist(), "groups": (np.arange(120) // 10).tolist()}
            error = arms.eer_percent(scores, labels)
            made[arm][run] = row | {"eer": error, "frame_eer": error + run * 0.1}
    return made


@pytest.mark.parametrize(("hydra", "verdict"), [(3.0, "confirmed"), (0.0, "refuted"), (1.5, "not resolved")])
def test_m1(hydra, verdict):
    assert detectors.m1_decide(cells(trained({"hydra": hydra, "mamba2": 1.5}, 0))).verdict == verdict


@pytest.mark.parametrize(
    ("time", "gap", "verdict"),
    [(0.8, 3.0, "confirmed"), (1.2, 1.0, "refuted"), (1.0, 1.5, "not resolved"), (1.2, 4.0, "not resolved")],
)
def test_m2(time, gap, verdict):
    made = trained({"hydra": gap, "add": 1.5, "concat": 1.5}, 0)
    names = [(arm, f"{arm}_{what}") for arm in ("hydra", "add", "concat") for what in ("step_s", "peak_mb")]
    made["clock"] = {
        run: {name: time + 0.02 * (run - 2) if arm == "hydra" else 1.0 for arm, name in names} for run in range(5)
    }
    found = detectors.m2_decide(cells(made))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(time, abs=0.01)


def spreads(deep, shallow, widened):
    draws = np.random.default_rng(0)
    base = draws.permutation(np.linspace(-1.5, 1.5, 16))
    return {
        arm: {seed: {"eer": 20 + sd * base[seed], "checkpoint_sd": 1.0} for seed in range(16)}
        for arm, sd in (("deep", deep), ("shallow", shallow), ("widened", widened))
    }


@pytest.mark.parametrize(
    ("sd", "verdict"),
    [
        ((0.3, 1.0, 1.0), "confirmed"),
        ((1.0, 0.5, 1.0), "refuted"),
        ((0.3, 1.0, 0.1), "refuted"),  # width does it as well as depth
        ((0.9, 1.0, 1.0), "not resolved"),
        ((0.3, 1.0, 0.35), "not resolved"),
    ],
)
def test_m4(sd, verdict):
    found = detectors.m4_decide(cells(spreads(*sd)))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(sd[0] / sd[1])
    assert found.minimum_detectable == pytest.approx(0.474, abs=0.01)


def test_m4_without_a_spread_is_not_resolved():
    found = detectors.m4_decide(cells(spreads(0.0, 1.0, 1.0)))
    assert (found.verdict, found.effect) == ("not resolved", None)
    assert "no spread" in found.notes[0]


@pytest.mark.parametrize(("ratio", "verdict"), [(1.5, "confirmed"), (3.0, "refuted"), (2.0, "not resolved")])
def test_m5(ratio, verdict):
    made = {
        arm: {seed: {"in_domain": 10.0, "out_of_domain": 10 * ratio + 0.1 * (seed - 1)} for seed in range(3)}
        for arm in detectors.M5_MIXERS
    }
    assert detectors.m5_decide(cells(made)).verdict == verdict


def test_m5_near_chance_is_not_confirmed_by_a_ratio_that_could_not_be_larger():
    made = {
        arm: {seed: {"in_domain": 30.0, "out_of_domain": 40.0 + 0.1 * seed} for seed in range(3)}
        for arm in detectors.M5_MIXERS
    }
    found = detectors.m5_decide(cells(made))
    assert found.verdict == "not resolved"
    assert "the rule alone says confirmed" in found.notes[0]
    assert "at most 1.67" in found.notes[0]


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "confirmed"), (2.0, "refuted"), (1.0, "not resolved")])
def test_m6(factor, verdict):
    def seconds(arm, slope, seed):
        spread = 1 + 0.01 * (seed - 2) * slope
        return {f"s_{t}": (factor * t if arm == "ssd_chunked" else t * t / 208) * spread for t in (100, 208, 400)}

    made = {arm: {seed: seconds(arm, slope, seed) for seed in range(5)} for slope, arm in enumerate(timing.M6_ARMS)}
    found = timing.m6_decide(cells(made))
    assert found.verdict == verdict
    if factor == 1.0:
        assert "ssd_chunked is faster than mha from 208 frames on" in found.notes


def test_quick_budget_through_the_command(auricle, tmp_path):
    done = auricle("claims", "mambo", "--only", "M6", cwd=tmp_path)
    assert "no verdict" in done.stdout
    assert "10 of 10" in done.stderr
    file = tmp_path / "runs/claims/mambo/quick/mambo.json"
    (entry,) = results.load(file).claims
    assert (entry.id, entry.verdict, entry.budget) == ("M6", "no verdict", "quick")
    assert not (tmp_path / "docs").exists()
    again = auricle("claims", "mambo", "--only", "M6", "--results", tmp_path / "docs", cwd=tmp_path)
    assert "10 of 10" not in again.stderr  # nothing was measured again
    assert results.load(tmp_path / "docs" / "mambo.json").claims[0] == entry


@pytest.mark.slow
def test_quick_budget_of_every_claim(auricle, tmp_path):
    auricle("claims", "mambo", cwd=tmp_path)
    found = results.load(tmp_path / "runs/claims/mambo/quick/mambo.json").claims
    assert [entry.id for entry in found] == ["M1", "M2", "M4", "M5", "M6"]
    assert {entry.verdict for entry in found} == {"no verdict"}
    assert all(entry.equal_budget.equal for entry in found)
    # Hydra of M1 and of M2 is one detector
    assert found[0].measured["hydra"]["eer"] == found[1].measured["hydra"]["eer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("claims", "m2former"), "planned"),
        (("claims", "mambo", "--only", "M9"), "claims: M1, M2, M4, M5, M6"),
    ],
)
def test_wrong_use_is_one_line(auricle, tmp_path, arguments, message):
    done = auricle(*arguments, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_a_claim_refuses_too_few_seeds():
    with pytest.raises(ConfigError, match="headline"):
        replace(detectors.M2, seeds_full=4)
