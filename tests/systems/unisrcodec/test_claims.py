"""The claims of unisrcodec: arms of equal size, the rules on numbers made up for each outcome, the quick budget."""

from __future__ import annotations

import json
import math

import pytest
import torch

from auricle.claims.claim import BUDGETS, Measured
from auricle.claims.equality import TOLERANCE
from auricle.claims.results import load
from auricle.claims.runner import run_claims
from auricle.systems.unisrcodec import arms, claims_tokens
from auricle.systems.unisrcodec.arms import Arm
from auricle.systems.unisrcodec.claims import BASE, BOOKS, claims
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.token_model import TokenModel, TokenModelConfig, ordered, windows
from auricle.systems.unisrcodec.train import new_training
from auricle.systems.unisrcodec.wave_codec import WaveCodec, WaveTraining, size
from tests.made_up import decided


@pytest.fixture
def by_id(tmp_path):
    return {claim.id: claim for claim in claims(tmp_path)}


def test_the_claims_are_there(by_id) -> None:
    assert {name: claim.seeds_full for name, claim in by_id.items()} == {
        "1": 5, "2": 3, "3": 3, "4": 3, "5": 3, "9": 3,
    }  # fmt: skip
    assert [claim.id for claim in by_id.values() if claim.headline] == ["1"]
    assert all(claim.cuts for claim in by_id.values())


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("variant", ["B", "L"])
def test_both_kinds_of_codec_have_one_size_and_one_rate(budget, variant) -> None:
    cfg = arms.config(budget, 0, f"model.variant={variant}")
    sizes = arms.wave_sizes(budget, variant)
    mel, wave = Codec(cfg.model), WaveCodec(sizes)
    assert max(size(mel), size(wave)) <= (1 + TOLERANCE) * min(size(mel), size(wave))
    assert mel.column == sizes.step * mel.rows  # samples of a column of tokens, and of as many tokens of a wave
    assert (sizes.codes, sizes.dim) == (cfg.model.codes, cfg.model.dim)


@pytest.mark.parametrize("budget", BUDGETS)
def test_weights_of_the_halves_have_one_sum_and_books_one_network(by_id, budget) -> None:
    recipes = [by_id["2"].settings(arm, 0, budget)["config"]["train"] for arm in by_id["2"].arms]
    assert {recipe["low"] + recipe["high"] for recipe in recipes} == {3.0}
    assert [recipe["low"] / recipe["high"] for recipe in recipes] == pytest.approx([0.5, 1, 2, 3])
    books = [by_id["4"].settings(arm, 0, budget)["config"]["model"] for arm in by_id["4"].arms]
    assert len({json.dumps({**book, "quantizer": "", "codes": 0}) for book in books}) == 1
    assert len({json.dumps(by_id["4"].settings(arm, 0, budget)) for arm in by_id["4"].arms}) == len(BOOKS)


def test_like_arms_of_claims_are_one_training(by_id, tmp_path) -> None:
    shared = BASE.about("full", 2)
    for name, arm in (("1", "mel_low"), ("2", "r1_1"), ("4", "simvq_small"), ("9", "low")):
        assert by_id[name].settings(arm, 2, "full") == shared
    assert by_id["3"].settings("judged", 2, "full")["from"] == shared
    assert BASE.folder(tmp_path, "full", 1) != BASE.folder(tmp_path, "full", 2)
    assert Arm(own_start=True).folder(tmp_path, "full", 1) != BASE.folder(tmp_path, "full", 1)


def waves(gap, high=None):
    """Make up claim 1's cells: three files, mel less waveform codec `gap` apart at the low rate."""
    base = [1.0, 1.2, 1.4]
    made = {}
    for rate, off in (("low", gap), ("high", gap if high is None else high)):
        for side, shift in (("mel", off), ("wave", 0.0)):
            files = [value + shift * (1 + 0.1 * place) for place, value in enumerate(base)]
            made[f"{side}_{rate}"] = {
                "files_44": files,
                "files_16": files,
                "train_s": 9.0,
                "limit_44": 0.3,
                "silence_44": 2.0,
            }
    return made


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [((-0.3,), "confirmed"), ((0.3,), "refuted"), ((-0.3, 0.3), "refuted"), ((0.0,), "not resolved")],
)
def test_1_asks_for_a_lower_distance_at_both_rates(by_id, gaps, verdict) -> None:
    found = decided(by_id["1"], waves(*gaps))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(1.1 * gaps[0])


def test_1_needs_files_to_agree_as_well(by_id) -> None:
    made = waves(-0.3)
    made["mel_low"]["files_44"] = [0.2, 1.3, 1.5]  # one file carries it all
    assert decided(by_id["1"], made).verdict == "not resolved"


@pytest.mark.parametrize(
    ("narrow", "full", "halves", "verdict"),
    [
        (0.8, 1.0, (0.9, 1.02), "confirmed"),
        (0.8, 1.2, (0.9, 1.02), "refuted"),  # pays with the full band
        (1.1, 1.0, (0.9, 1.02), "refuted"),
        (0.999, 1.0, (0.9, 1.1), "refuted"),  # only shifts error
        (0.999, 1.0, (0.999, 0.999), "not resolved"),
    ],
)
def test_2_asks_for_the_best_without_a_loss(by_id, narrow, full, halves, verdict) -> None:
    base = {"mel_16": 1.0, "mel_44": 1.0, "mel_l1_low": 1.0, "mel_l1_high": 1.0}
    ours = {"mel_16": narrow, "mel_44": full, "mel_l1_low": halves[0], "mel_l1_high": halves[1]}
    assert decided(by_id["2"], {"r2_1": ours, "r1_1": base, "r1_2": base, "r3_1": base}).verdict == verdict


@pytest.mark.parametrize(
    ("blur", "far", "verdict"),
    [(0.2, 0.8, "confirmed"), (0.2, 1.2, "refuted"), (0.8, 0.8, "refuted"), (0.2, 0.999, "not resolved")],
)
def test_3_asks_for_sharpness_and_distance(by_id, blur, far, verdict) -> None:
    base = {"blur": 0.5, "mel_44": 1.0, "mel_16": 1.0, "mel_l1": 1.0, "mel_l1_low": 1.0, "mel_l1_high": 1.0}
    base["sharpness"] = 0.5
    assert decided(by_id["3"], {"judged": {**base, "blur": blur, "mel_44": far}, "plain": base}).verdict == verdict


def books(share, ours):
    own = {"share": 50.0, "mel_l1": 1.0, "tokens_a_code": 30.0}
    made = {"_".join((kind, codes, *(["own"] if as_drawn else []))): own for kind, codes, as_drawn in BOOKS}
    named = ("simvq_small", "simvq_large")
    return {name: {**own, "share": share, "mel_l1": ours} if name in named else row for name, row in made.items()}


@pytest.mark.parametrize(
    ("share", "ours", "verdict"), [(95.0, 0.8, "confirmed"), (60.0, 0.8, "refuted"), (95.0, 1.2, "refuted")]
)
def test_4_asks_for_use_and_for_a_lower_error(by_id, share, ours, verdict) -> None:
    found = decided(by_id["4"], books(share, ours))
    assert found.verdict == verdict
    assert any("simplicity" in note for note in found.notes) == (ours > 1)


@pytest.mark.parametrize(
    ("gain", "same", "verdict"),
    [
        (0.5, 10, "confirmed"),
        (0.0, 10, "refuted"),
        (-0.5, 10, "refuted"),
        (0.5, 9, "refuted"),
        (0.055, 10, "confirmed"),
    ],
)
def test_5_asks_for_fewer_bits_at_one_reconstruction(by_id, gain, same, verdict) -> None:
    base = {"bits": 6.0, "bits_unigram": 7.0, "excess": 0.1, "l1_half": 1.0, "l1_all": 0.9, "same": same, "files": 10}
    made = {"frame": base, "band": {**base, "bits": 6.0 + gain, "excess": 0.3}}
    found = by_id["5"].decide(Measured({arm: dict.fromkeys(range(3), row) for arm, row in made.items()}, (0, 1, 2)))
    assert found.verdict == verdict
    assert any("streaming" in note for note in found.notes) == (gain <= 0)


@pytest.mark.parametrize(("share", "verdict"), [(0.7, "confirmed"), (0.3, "refuted"), (0.5, "not resolved")])
def test_9_asks_for_more_than_half(by_id, share, verdict) -> None:
    own = {"share_44": share, "share_16": share, "limit_44": 0.3, "limit_16": 0.3}
    assert decided(by_id["9"], {"low": own, "high": own}).verdict == verdict


def test_the_wave_codec_codes_whole_tokens_and_has_gradients() -> None:
    training = WaveTraining(arms.wave_sizes("quick", "L"))
    rows = 0.1 * torch.randn(2, 8, 512)
    training.begin_with(rows.flatten(1))
    made, quantised = training.codec(rows.flatten(1))
    assert made.shape == (2, 4096)
    assert quantised.indices.shape == (2, 16)
    training(rows)["loss"].backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in training.codec.parameters())


@torch.no_grad()
def test_a_token_model_sees_only_what_came_before() -> None:
    torch.manual_seed(0)
    model = TokenModel(TokenModelConfig(width=16, heads=2, layers=2), 10, 6).eval()
    tokens = torch.randint(10, (1, 6))
    costs = []
    for changed in range(10):  # the last token's cost alone may change with the last token
        tokens[0, -1] = changed
        costs.append(6 * float(model(tokens)))
    before = -math.log(sum(math.exp(-cost) for cost in costs))  # what the five others cost, if nothing leaks
    model.place.data = model.place.data[:5]
    model.mask = model.mask[:5, :5]
    assert before == pytest.approx(5 * float(model(tokens[:, :5])), abs=1e-4)


def test_orders_hold_the_same_tokens() -> None:
    window = torch.arange(6).view(1, 2, 3)  # two columns of three rows
    assert ordered(window, "frame").tolist() == [[0, 1, 2, 3, 4, 5]]
    assert ordered(window, "band").tolist() == [[0, 3, 1, 4, 2, 5]]
    assert windows([torch.zeros(5, 3), torch.zeros(1, 3)], 2).shape == (2, 2, 3)


def test_order_changes_no_reconstruction_and_a_cut_only_adds_error() -> None:
    training = new_training(arms.config("quick"))
    mel = 2 * torch.randn(64, 128) - 5
    training.begin_with(mel[None])
    codec = training.codec.eval()
    assert claims_tokens.unchanged(codec, mel)
    cut = {order: claims_tokens.cut_short(codec, mel, order) for order in ("frame", "band")}
    assert all(one["excess"] == pytest.approx(one["l1_half"] - one["l1_all"]) for one in cut.values())
    assert claims_tokens.cut_short(codec, mel[:16], "band") is None


def test_going_on_begins_where_the_first_training_ended() -> None:
    first, second = (new_training(arms.config("quick", seed)) for seed in (0, 1))
    second.begin_from(first.codec.state_dict())
    for name, tensor in first.codec.state_dict().items():
        assert torch.equal(second.codec.state_dict()[name], tensor)
        assert torch.equal(second.averaged()[name], tensor)


def test_quick_budget_runs_through(tmp_path) -> None:
    chosen = claims(tmp_path / "shared")
    run_claims(chosen, "quick", tmp_path / "cells", tmp_path / "made.json", ["1", "5", "9"])
    found = {entry.id: entry for entry in load(tmp_path / "made.json").claims}
    assert {entry.verdict for entry in found.values()} == {"no verdict"}
    assert all(entry.equal_budget.equal for entry in found.values())
    assert found["1"].measured["mel_low"]["mel_44"] == found["9"].measured["low"]["mel_44"]  # one training
    assert found["5"].measured["frame"]["same"] == found["5"].measured["frame"]["files"]
    judged = next(claim for claim in chosen if claim.id == "3").run("judged", 0, "quick", tmp_path / "judged")
    assert judged["blur"] == pytest.approx(abs(1 - judged["sharpness"]))
    assert 0 < found["9"].measured["low"]["limit_44"].mean < found["9"].measured["low"]["mel_44"].mean


@pytest.mark.slow
def test_quick_budget_of_every_claim(auricle, tmp_path) -> None:
    auricle("claims", "unisrcodec", cwd=tmp_path)
    found = load(tmp_path / "runs/claims/unisrcodec/quick/unisrcodec.json").claims
    assert [entry.id for entry in found] == ["1", "2", "3", "4", "5", "9"]
    assert all(entry.equal_budget.equal for entry in found)
