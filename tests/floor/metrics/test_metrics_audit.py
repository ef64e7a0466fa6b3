"""The audit: hand-worked numbers with ties, parity with the plain metrics, replicates against copied trials."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.adcf import ASVSPOOF5, COST_MODEL, a_dcf, a_dcf_of_rates, min_a_dcf
from auricle.metrics.audit import AttackTrials, audit
from auricle.metrics.audit.counts import Speakers, grid, ranks
from auricle.metrics.audit.exact import exact_eer, least_cost
from auricle.metrics.audit.rows import Cell
from auricle.metrics.audit.verifier import DCF, Verifier
from auricle.metrics.calibration import fit_platt
from auricle.metrics.detection import act_dcf, cllr, eer, min_dcf
from auricle.metrics.tandem import asv_errors, min_tdcf
from auricle.metrics.verification import bypass_rate, false_rejection, threshold_at_far


def made(seed=0, n=3000, speakers=12, ties=True, **columns):
    """Trials of all kinds; with ties, scores of two digits."""
    draws = np.random.default_rng(seed)
    kind = draws.choice(3, n, p=[0.25, 0.45, 0.3])
    target = draws.integers(0, speakers, n)
    speaker = np.where(kind == 0, target, (target + draws.integers(1, speakers, n)) % speakers)
    score = np.array([0.6, 0.1, 0.45])[kind] + 0.15 * draws.normal(size=n) + 0.08 * draws.normal(size=speakers)[target]
    detector = np.where(kind == 2, -1.0, 1.0) + draws.normal(size=n)
    generator = np.where(kind == 2, draws.choice(["lpc", "tts", "world"], n), "")
    given = {
        "score": np.round(score, 2) if ties else score,
        "kind": np.array(["target", "zero_effort", "spoof"])[kind],
        "target": [f"s{at}" for at in target],
        "speaker": [f"s{at}" for at in speaker],
        "generator": generator,
        "condition": draws.choice(["clean", "noise"], n),
        "language": draws.choice(["en", "zh"], n),
        "detector": np.round(detector, 1) if ties else detector,
        "domain": np.where(generator == "world", "out", np.where(kind == 2, "in", "")),
    }
    return AttackTrials(**(given | columns))


def kinds(trials):
    return [trials.score[trials.kind == kind] for kind in ("target", "zero_effort", "spoof")]


def test_by_hand_with_ties():
    # zero effort: .1 .2 .4 .4 .5 of five; at 20 % the threshold is .5, which one of five reaches; at 60 % it is .4 (two
    # .4s and the .5 are three of five)
    trials = AttackTrials(
        score=[0.5, 0.7, 0.4, 0.3, 0.1, 0.2, 0.4, 0.4, 0.5, 0.5, 0.4, 0.6],
        kind=["target"] * 4 + ["zero_effort"] * 5 + ["spoof"] * 3,
        target=["a", "a", "b", "b", "a", "a", "b", "b", "c", "a", "b", "b"],
        speaker=["a", "a", "b", "b", "b", "c", "a", "c", "b", "", "", ""],
        generator=[*[""] * 9, "lpc", "lpc", "tts"],
        detector=[3, 1, 2, 0, 3, 1, 2, 2, 1, 0, 1, -1],
    )
    found = audit(trials, fars=[0.2, 0.6], replicates=200, detector_threshold=1)
    assert [point.threshold for point in found.points] == [0.5, 0.4]
    expected = {
        "zero_effort_far": (1 / 5, 3 / 5),
        "false_rejection": (2 / 4, 1 / 4),
        "bypass_rate": (2 / 3, 3 / 3),
        # the detector refuses the target of score .3 and the spoofs .5 and .6
        "tandem_zero_effort_far": (1 / 5, 3 / 5),
        "tandem_false_rejection": (2 / 4, 1 / 4),
        "tandem_bypass_rate": (0, 1 / 3),
    }
    for name, values in expected.items():
        for far, value in zip((0.2, 0.6), values, strict=True):
            assert found.find(name, far=far).value == pytest.approx(value, abs=1e-12), name
    assert found.find("bypass_rate", far=0.2, generator="lpc").value == 0.5
    assert found.find("bypass_rate", far=0.2, generator="tts").value == 1.0
    # a-DCF at .2: (.9 * .5 + .5 * .2 + 1 * 2 / 3) / .9
    assert found.find("a_dcf", far=0.2).value == pytest.approx((0.45 + 0.1 + 2 / 3) / 0.9, abs=1e-12)
    # pairs, whichever way round: a-b, a-c, b-c; five trials
    assert (found.n_speaker_pairs, found.n_zero_effort, found.n_speakers) == (3, 5, 3)
    causes = {(row.far, row.kind, row.generator): row for row in found.decisions}
    spoof = causes[0.2, "spoof", None]
    assert (spoof.n, spoof.accepted, spoof.by_verifier, spoof.by_detector, spoof.by_both) == (3, 0, 1, 2, 0)
    target = causes[0.2, "target", None]
    assert (target.accepted, target.by_verifier, target.by_detector, target.by_both) == (2, 1, 0, 1)
    assert not found.find("bypass_rate", far=0.2).usable
    assert found.find("mean_score_spoof").value == pytest.approx(0.5)


@pytest.mark.parametrize("ties", [True, False])
def test_every_number_is_that_of_the_plain_metric(ties):
    trials, dev = made(ties=ties), made(seed=5, ties=ties)
    found = audit(trials, fars=[0.05, 0.01], replicates=100, dev=dev)
    yes, no, fake = kinds(trials)
    for far in (0.05, 0.01):
        tau = threshold_at_far(no, far).threshold
        assert found.find("false_rejection", far=far).value == pytest.approx(false_rejection(yes, tau), abs=1e-12)
        for name in ("lpc", "tts", "world"):
            mine = trials.score[(trials.generator == name) & (trials.condition == "noise")]
            row = found.find("bypass_rate", far=far, generator=name, condition="noise")
            assert (row.value, row.n) == (pytest.approx(bypass_rate(mine, tau), abs=1e-12), mine.size)
        below = np.nextafter(tau, -np.inf)  # a_dcf accepts above its threshold
        assert found.find("a_dcf", far=far).value == pytest.approx(a_dcf(yes, no, fake, below).cost, abs=1e-12)
    assert found.find("eer").value == eer(yes, no).eer
    assert found.find("min_dcf").value == pytest.approx(min_dcf(yes, no, **DCF), abs=1e-12)
    assert found.find("min_a_dcf").value == pytest.approx(min_a_dcf(yes, no, fake).cost, abs=1e-12)
    other = min_a_dcf(yes, no, fake, **ASVSPOOF5).cost
    assert found.find("min_a_dcf_asvspoof5").value == pytest.approx(other, abs=1e-12)
    assert "costs 1, 10, 10 of ASVspoof 5" in found.find("min_a_dcf_asvspoof5").note
    assert "costs 1, 10, 20 of the a-DCF's authors" in found.find("min_a_dcf").note
    platt = fit_platt(np.concatenate(kinds(dev)[:2]), np.repeat([1, 0], [len(part) for part in kinds(dev)[:2]]))
    assert found.find("act_dcf").value == pytest.approx(act_dcf(platt.llr(yes), platt.llr(no), **DCF), abs=1e-9)
    assert found.find("cllr").value == pytest.approx(cllr(platt.llr(yes), platt.llr(no)), abs=1e-9)
    real, spoof = trials.detector[trials.kind != "spoof"], trials.kind == "spoof"
    inside, outside = (eer(real, trials.detector[spoof & (trials.domain == name)]) for name in ("in", "out"))
    assert found.find("detector_eer", domain="in").value == inside.eer
    assert found.find("detector_eer", domain="out").value == outside.eer
    assert found.find("detector_eer").value == eer(real, trials.detector[spoof]).eer
    assert found.find("generalisation_ratio").value == outside.eer / inside.eer
    assert found.detector_threshold == np.nextafter(inside.threshold, np.inf)
    cost = min_tdcf(real, trials.detector[spoof], asv_errors(yes, no, fake))
    assert found.find("min_tdcf").value == pytest.approx(cost, abs=1e-12)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n_spoof"] == fake.size


def test_its_a_dcf_is_that_of_its_rates():
    found = audit(made(n=2000), fars=[0.1, 0.02], replicates=100)
    for prefix in ("", "tandem_"):
        for far in (0.1, 0.02):
            names = ("false_rejection", "zero_effort_far", "bypass_rate")
            rates = [found.find(prefix + name, far=far).value for name in names]
            assert found.find(f"{prefix}a_dcf", far=far).value == a_dcf_of_rates(*rates)


def test_pruned_searches_are_exact():
    draws = np.random.default_rng(0)
    for size in (1, 2, 7, 400):
        for _ in range(40):
            digits = draws.integers(0, 3)
            a, b, c = (np.sort(np.round(draws.normal(mean, 1, size + 1), digits)) for mean in (1, 0, 0.5))
            steps = grid([b, c], [a], per=2)
            assert exact_eer(a, b, steps) == eer(a, b)
            cost = least_cost(a, [b], 0.01, [0.99], steps) / 0.01
            assert cost == pytest.approx(min_dcf(a, b, **DCF), abs=1e-12)
            three = least_cost(a, [b, c], 0.9, [0.5, 1.0], steps) / 0.9
            assert three == pytest.approx(min_a_dcf(a, b, c).cost, abs=1e-12)


def test_replicates_equal_copied_trials():
    """A replicate is the plain metric of trials in which each speaker's stand as often as the speaker was drawn."""
    trials = made(n=220, speakers=5)
    verifier = Verifier(trials, [0.1, 0.03], None, 100, seed=3)
    speakers = np.array(sorted(set(trials.target)))
    names = np.asarray(trials.target)
    scores = np.unique(kinds(trials)[1])
    alone = verifier.rate_rows(None)[0]
    checked = 0
    for row, weights in enumerate(verifier.speakers.weights.astype(int)):
        assert weights.sum() == 4
        times = weights[np.searchsorted(speakers, names)]
        which = [times * (trials.kind == kind) for kind in ("target", "zero_effort", "spoof")]
        yes, no, fake = (np.repeat(trials.score, often) for often in which)
        if min(yes.size, no.size, fake.size) == 0:
            continue
        checked += 1
        assert verifier.replicates.eer[row] == pytest.approx(eer(yes, no).eer, abs=1e-12)
        assert verifier.replicates.min_dcf[row] == pytest.approx(min_dcf(yes, no, **DCF), abs=1e-12)
        for name, costs in (("a_dcf", COST_MODEL), ("a_dcf_asvspoof5", ASVSPOOF5)):
            lowest = min_a_dcf(yes, no, fake, **costs).cost
            assert verifier.replicates.min_a_dcf[name][row] == pytest.approx(lowest, abs=1e-12)
        for number, point in enumerate(verifier.points):
            candidates = [*scores, np.nextafter(scores[-1], np.inf)]
            tau = next(c for c in candidates if np.mean(no >= c) <= point.far_target)
            assert verifier.grid[verifier.replicates.chosen[number][row]] == tau
    assert checked > 90
    names_of = {"bypass_rate", "false_rejection", "zero_effort_far", "a_dcf", "a_dcf_asvspoof5"}
    assert {row.name for row in alone} == names_of


def test_intervals_hold_the_value_and_repeat():
    trials = made()
    found = audit(trials, fars=[0.05], replicates=300, seed=1)
    for name in ("bypass_rate", "false_rejection", "tandem_bypass_rate"):
        row = found.find(name, far=0.05)
        for low, high in (row.ci95, row.ci95_fixed):
            assert low < row.value < high
    # a threshold that is set again keeps the false accepts at their target; one that stays does not
    far = found.find("zero_effort_far", far=0.05)
    assert far.ci95[1] <= 0.05 < far.ci95_fixed[1]
    order = np.random.default_rng(0).permutation(len(trials))
    assert audit(trials.select(order), fars=[0.05], replicates=300, seed=1).rows[:9] == found.rows[:9]
    assert audit(trials, fars=[0.05], replicates=300, seed=2).find("eer").ci95 != found.find("eer").ci95
    given = audit(trials, points=found.points, replicates=300, seed=1).find("bypass_rate", far=0.05)
    assert given.ci95 == given.ci95_fixed == found.find("bypass_rate", far=0.05).ci95_fixed


def test_speakers_that_differ_widen_the_interval():
    same = made(ties=False)
    shift = dict(zip(sorted(set(same.target)), np.linspace(-0.3, 0.3, 12), strict=True))
    apart = made(ties=False, score=same.score + [shift[name] for name in same.target])
    widths = [np.ptp(audit(t, fars=[0.05], replicates=300).find("bypass_rate", far=0.05).ci95) for t in (same, apart)]
    assert widths[1] > 1.5 * widths[0]


def test_a_clip_counts_once_for_the_detector():
    trials = AttackTrials(
        score=[0.9, 0.1, 0.2, 0.8, 0.5, 0.6],
        kind=["target", "zero_effort", "zero_effort", "target", "spoof", "spoof"],
        target=["a", "b", "c", "b", "a", "b"],
        detector=[0.0, 0.0, 0.0, 2.0, 1.0, -1.0],
        test=["x", "x", "x", "y", "f", "g"],
    )
    found = audit(trials, fars=[0.5], replicates=100)
    row = found.find("detector_eer")
    assert (row.value, row.n) == (eer([0, 2], [1, -1]).eer, 4)
    with pytest.raises(DataError, match="clip 'x' has the detector scores 0 and 5"):
        audit(
            AttackTrials(
                score=trials.score,
                kind=trials.kind,
                target=trials.target,
                detector=[0, 5, 0, 2, 1, -1],
                test=trials.test,
            ),
            fars=[0.5],
        )


def test_grid_of_ranks():
    assert ranks(5, 10).tolist() == [1, 2, 3, 4, 5]
    far = ranks(10**7, 128)
    assert far[:128].tolist() == list(range(1, 129))
    assert far[-1] == 10**7
    assert (far[129:] / far[128:-1]).max() < 1.016
    assert len(far) < 1800


def test_draws_do_not_depend_on_order():
    trials = made(n=60)
    order = np.argsort(trials.score)
    one, other = Speakers(trials.target, 100, 0), Speakers(trials.target[order], 100, 0)
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.of[order], other.of)
    assert (one.weights.sum(axis=1) == one.n - 1).all()


def test_refusals():
    trials = made(n=200)
    real = trials.kind != "spoof"
    with pytest.raises(DataError, match="there are no spoof trials"):
        audit(trials.select(np.flatnonzero(real)))
    with pytest.raises(ConfigError, match="replicates=10"):
        audit(trials, replicates=10)
    with pytest.raises(ConfigError, match="at least one false-accept target"):
        audit(trials, fars=[])
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        audit(trials, fars=[1.5])
    plain = AttackTrials(trials.score, trials.kind, trials.target)
    with pytest.raises(ConfigError, match="no detector scores"):
        audit(plain, detector_threshold=0.0)
    assert audit(plain, fars=[0.1], replicates=100).n_speaker_pairs is None
    all_out = np.where(real, "", "out")
    with pytest.raises(DataError, match="no spoof is of the domain 'in'"):
        audit(made(n=200, domain=all_out), fars=[0.1], replicates=100)
    with pytest.raises(DataError, match="all zero-effort trials are of the domain 'out'"):
        audit(made(n=200, domain=["out"] * 200), fars=[0.1], replicates=100)


def test_shares_at_the_edge_have_exact_limits_and_few_trials_none():
    """All spoofs of one generator are refused, all of another pass, and a third has three trials; 12 speakers."""
    trials = made(1, 2000, ties=False)
    generator = np.where(trials.kind == "spoof", "weak", "").astype(object)
    score = trials.score.copy()
    spoof = np.flatnonzero(trials.kind == "spoof")
    score[spoof] = -5.0
    generator[spoof[:40]], score[spoof[:40]] = "strong", 5.0
    generator[spoof[40:43]] = "rare"
    found = audit(
        AttackTrials(score, trials.kind, trials.target, trials.speaker, generator, detector=trials.detector),
        fars=[0.05],
        replicates=200,
    )
    weak, strong, rare = (found.find("bypass_rate", far=0.05, generator=name) for name in ("weak", "strong", "rare"))
    n = spoof.size - 43
    assert (weak.value, weak.n, weak.ci95) == (0.0, n, pytest.approx((0.0, 1 - 0.025 ** (1 / 12)), abs=1e-12))
    assert weak.ci95_fixed == weak.ci95
    assert weak.note == "exact limits of 12 speakers or clips"
    claimed = len(set(np.asarray(trials.target)[spoof[:40]]))
    assert claimed <= 12
    assert (strong.value, strong.ci95) == (1.0, pytest.approx((0.025 ** (1 / claimed), 1.0), abs=1e-12))
    assert any("exact limits (Clopper-Pearson)" in note for note in found.notes)
    assert (rare.value, rare.ci95, rare.ci95_fixed) == (0.0, None, None)
    assert rare.note == "fewer than 5 trials: no interval"
    # what is not at the edge is what the speakers' replicates say
    verifier = Verifier(trials, [0.05], None, 200, 0)
    row = audit(trials, fars=[0.05], replicates=200).find("bypass_rate", far=0.05)
    (rate,), _, _ = verifier.rates(Cell(verifier.rows["spoof"], {}), None)
    assert row.ci95 == verifier.speakers.interval(rate.again).ci95


@pytest.mark.parametrize(("clips", "units"), [(None, 8), (20, 8), (5, 5)])
def test_exact_limits_rest_on_speakers_or_clips_whichever_are_fewer(clips, units):
    """No attack on eight speakers passes; the attacks are 20 clips, or five of which each is played four times."""
    kind = ["target"] * 24 + ["zero_effort"] * 40 + ["spoof"] * 20
    score = np.r_[np.linspace(2, 3, 24), np.linspace(-1, 0, 40), np.full(20, -2.0)]
    target = [f"s{at % 8}" for at in range(84)]
    test = None if clips is None else [f"t{at}" for at in range(64)] + [f"x{at % clips}" for at in range(20)]
    row = audit(AttackTrials(score, kind, target, test=test), fars=[0.2], replicates=100).find("bypass_rate", far=0.2)
    assert (row.value, row.n) == (0.0, 20)
    assert row.ci95 == pytest.approx((0.0, 1 - 0.025 ** (1 / units)), abs=1e-12)


def test_one_speaker_in_a_part_and_costs_without_spread_have_no_interval():
    """Half of the attacks on the one French speaker pass; every replicate that draws her says the same."""
    kind = ["target"] * 40 + ["zero_effort"] * 40 + ["spoof"] * 40
    score = np.r_[np.full(40, 2.0), np.linspace(-1, 0, 40), np.tile([3.0, -3.0], 20)]
    target = [f"s{at % 10}" for at in range(120)]
    language = ["fr" if name == "s3" else "en" for name in target]
    score[80:][np.array(target[80:]) == "s3"] = [3.0, -3.0, 3.0, -3.0]
    trials = AttackTrials(
        np.r_[score, [3.0, -3.0] * 2],
        [*kind, *["spoof"] * 4],
        [*target, *["s3"] * 4],
        language=[*language, *["fr"] * 4],
    )
    found = audit(trials, fars=[0.2], replicates=200)
    french = found.find("bypass_rate", far=0.2, language="fr")
    assert (french.value, french.n, french.ci95) == (0.5, 8, None)
    assert french.note == "one claimed speaker or clip: no interval over speakers"
    assert found.find("min_dcf").note.endswith("the replicates are all alike: no interval")
    assert (found.find("min_dcf").value, found.find("min_dcf").ci95) == (0.0, None)


def test_an_eer_without_an_error_has_exact_limits():
    kind = ["target"] * 30 + ["zero_effort"] * 20 + ["spoof"] * 25
    score = np.r_[np.linspace(2, 3, 30), np.linspace(-1, 0, 20), np.linspace(-1, 0, 25)]
    target = [f"s{at % 5}" for at in range(75)]
    found = audit(AttackTrials(score, kind, target, detector=[1.0] * 50 + [-1.0] * 25), fars=[0.2], replicates=200)
    assert (found.find("eer").value, found.find("detector_eer").value) == (0.0, 0.0)
    # five claimed speakers are fewer than the trials of either class
    assert found.find("eer").ci95 == pytest.approx((0.0, 1 - 0.025 ** (1 / 5)), abs=1e-12)
    assert found.find("detector_eer").ci95 == pytest.approx((0.0, 1 - 0.025 ** (1 / 5)), abs=1e-12)
