"""The claims of unisrcodec: arms of equal size, the rules on numbers made up for each outcome, the quick budget."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from auricle.claims.claim import BUDGETS, Cell, Measured
from auricle.claims.equality import TOLERANCE
from auricle.claims.results import load
from auricle.claims.runner import run_claims
from auricle.core.files import read_json, write_json
from auricle.systems.unisrcodec.claims import CLAIMS
from auricle.systems.unisrcodec.claims.arms import BASE, CodecArm, config, named, wave_sizes
from auricle.systems.unisrcodec.claims.order import cut_short, unchanged
from auricle.systems.unisrcodec.claims.token_model import TokenModel, TokenModelConfig, ordered, windows
from auricle.systems.unisrcodec.claims.wave_codec import WaveCodec, WaveTraining, network_size
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.train import Training
from tests.made_up import decided

BY_ID = {claim.id: claim for claim in CLAIMS}


def cell(arm, seed=0, budget="quick", shared=Path("shared")):
    return Cell(arm, seed, budget, shared, shared / "work")


def settings(claim, arm, seed, budget):
    """A cell's settings as plain JSON, as its file holds them."""
    asked = BY_ID[claim].settings(cell(arm, seed, budget))
    return json.loads(json.dumps(asked, default=lambda part: part.model_dump(mode="json")))


def test_the_claims_are_there() -> None:
    seeds = {name: len(claim.seeds("full")) for name, claim in BY_ID.items()}
    assert seeds == {"1": 5, "2": 3, "3": 3, "4": 3, "5": 3, "9": 3}
    assert [claim.id for claim in BY_ID.values() if claim.headline] == ["1"]
    assert all(claim.cuts for claim in BY_ID.values())


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("variant", ["B", "L"])
def test_both_kinds_of_codec_have_one_size_and_one_rate(budget, variant) -> None:
    cfg = config(budget, 0, f"model.variant={variant}")
    sizes = wave_sizes(budget, variant)
    mel, wave = Codec(cfg.model), WaveCodec(sizes)
    assert max(network_size(mel), network_size(wave)) <= (1 + TOLERANCE) * min(network_size(mel), network_size(wave))
    assert mel.column == sizes.step * mel.rows  # samples of a column of tokens, and of as many tokens of a wave
    assert (sizes.codes, sizes.dim) == (cfg.model.codes, cfg.model.dim)


@pytest.mark.parametrize("budget", BUDGETS)
def test_weights_of_the_halves_have_one_sum_and_books_one_network(budget) -> None:
    recipes = [settings("2", arm, 0, budget)["config"]["train"] for arm in BY_ID["2"].arms]
    assert {recipe["low"] + recipe["high"] for recipe in recipes} == {3.0}
    assert [recipe["low"] / recipe["high"] for recipe in recipes] == pytest.approx([0.5, 1, 2, 3])
    books = [settings("4", arm, 0, budget)["config"]["model"] for arm in BY_ID["4"].arms]
    assert len({json.dumps({**book, "quantizer": "", "codes": 0}) for book in books}) == 1
    assert len({json.dumps(settings("4", arm, 0, budget)) for arm in BY_ID["4"].arms}) == len(BY_ID["4"].arms) == 10


def test_like_arms_of_claims_are_one_training() -> None:
    shared = settings("9", "low", 2, "full")
    assert set(shared) == {"config", "own_start"}
    for claim, arm in (("1", "mel_low"), ("2", "r1_1"), ("4", "simvq_small")):
        assert settings(claim, arm, 2, "full") == shared
    assert settings("3", "judged", 2, "full")["from"] == shared
    first, second = (cell("low", seed, "full") for seed in (1, 2))
    assert BASE.folder(first) != BASE.folder(second)
    assert CodecArm(as_drawn=True).folder(first) != BASE.folder(first)


def test_settings_are_named_by_what_they_hold() -> None:
    cfg = config("quick")
    assert named({"config": cfg}) == named({"config": cfg.model_dump(mode="json")})
    assert named({"config": cfg}) != named({"config": config("quick", 1)})


def waves(gap, high=None):
    """Make up claim 1's cells: three files, mel less waveform codec `gap` apart at the low rate."""
    base = [1.0, 1.2, 1.4]
    made = {}
    for rate, off in (("low", gap), ("high", gap if high is None else high)):
        for side, shift in (("mel", off), ("wave", 0.0)):
            files = [value + shift * (1 + 0.1 * index) for index, value in enumerate(base)]
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
def test_1_asks_for_a_lower_distance_at_both_rates(gaps, verdict) -> None:
    found = decided(BY_ID["1"], waves(*gaps))
    assert found.verdict == verdict
    assert found.effect == pytest.approx(1.1 * gaps[0])


def test_1_needs_files_to_agree_as_well() -> None:
    made = waves(-0.3)
    made["mel_low"]["files_44"] = [0.2, 1.3, 1.5]  # one file carries it all
    assert decided(BY_ID["1"], made).verdict == "not resolved"


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
def test_2_asks_for_the_best_without_a_loss(narrow, full, halves, verdict) -> None:
    base = {"mel_16": 1.0, "mel_44": 1.0, "mel_l1_low": 1.0, "mel_l1_high": 1.0}
    ours = {"mel_16": narrow, "mel_44": full, "mel_l1_low": halves[0], "mel_l1_high": halves[1]}
    assert decided(BY_ID["2"], {"r2_1": ours, "r1_1": base, "r1_2": base, "r3_1": base}).verdict == verdict


@pytest.mark.parametrize(
    ("blur", "far", "verdict"),
    [(0.2, 0.8, "confirmed"), (0.2, 1.2, "refuted"), (0.8, 0.8, "refuted"), (0.2, 0.999, "not resolved")],
)
def test_3_asks_for_sharpness_and_distance(blur, far, verdict) -> None:
    base = {"blur": 0.5, "mel_44": 1.0, "mel_16": 1.0, "mel_l1": 1.0, "mel_l1_low": 1.0, "mel_l1_high": 1.0}
    base["sharpness"] = 0.5
    assert decided(BY_ID["3"], {"judged": {**base, "blur": blur, "mel_44": far}, "plain": base}).verdict == verdict


def books(share, ours):
    row = {"share": 50.0, "mel_l1": 1.0, "tokens_a_code": 30.0}
    made = dict.fromkeys(BY_ID["4"].arms, row)
    return made | {arm: {**row, "share": share, "mel_l1": ours} for arm in ("simvq_small", "simvq_large")}


@pytest.mark.parametrize(
    ("share", "ours", "verdict"), [(95.0, 0.8, "confirmed"), (60.0, 0.8, "refuted"), (95.0, 1.2, "refuted")]
)
def test_4_asks_for_use_and_for_a_lower_error(share, ours, verdict) -> None:
    found = decided(BY_ID["4"], books(share, ours))
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
def test_5_asks_for_fewer_bits_at_one_reconstruction(gain, same, verdict) -> None:
    base = {"bits": 6.0, "bits_unigram": 7.0, "excess": 0.1, "l1_half": 1.0, "l1_all": 0.9, "same": same, "files": 10}
    made = {"frame": base, "band": {**base, "bits": 6.0 + gain, "excess": 0.3}}
    found = BY_ID["5"].decide(Measured({arm: dict.fromkeys(range(3), row) for arm, row in made.items()}, (0, 1, 2)))
    assert found.verdict == verdict
    assert any("streaming" in note for note in found.notes) == (gain <= 0)


@pytest.mark.parametrize(("share", "verdict"), [(0.7, "confirmed"), (0.3, "refuted"), (0.5, "not resolved")])
def test_9_asks_for_more_than_half(share, verdict) -> None:
    own = {"share_44": share, "share_16": share, "limit_44": 0.3, "limit_16": 0.3}
    assert decided(BY_ID["9"], {"low": own, "high": own}).verdict == verdict


def test_the_wave_codec_codes_whole_tokens_and_has_gradients() -> None:
    training = WaveTraining(wave_sizes("quick", "L"))
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
    model.position.data = model.position.data[:5]
    model.mask = model.mask[:5, :5]
    assert before == pytest.approx(5 * float(model(tokens[:, :5])), abs=1e-4)


def test_orders_hold_the_same_tokens() -> None:
    window = torch.arange(6).view(1, 2, 3)  # two columns of three rows
    assert ordered(window, "frame").tolist() == [[0, 1, 2, 3, 4, 5]]
    assert ordered(window, "band").tolist() == [[0, 3, 1, 4, 2, 5]]
    assert windows([torch.zeros(5, 3), torch.zeros(1, 3)], 2).shape == (2, 2, 3)


def test_order_changes_no_reconstruction_and_a_cut_only_adds_error() -> None:
    training = Training(config("quick"))
    mel = 2 * torch.randn(64, 128) - 5
    training.begin_with(mel[None])
    codec = training.codec.eval()
    assert unchanged(codec, mel)
    cut = {order: cut_short(codec, mel, order) for order in ("frame", "band")}
    assert all(one["excess"] == pytest.approx(one["l1_half"] - one["l1_all"]) for one in cut.values())
    assert cut_short(codec, mel[:16], "band") is None


def test_going_on_begins_where_the_first_training_ended() -> None:
    first, second = (Training(config("quick", seed)) for seed in (0, 1))
    second.begin_from(first.codec.state_dict())
    for name, tensor in first.codec.state_dict().items():
        assert torch.equal(second.codec.state_dict()[name], tensor)
        assert torch.equal(second.averaged()[name], tensor)


def test_quick_budget_runs_through_and_its_cells_stay_valid(tmp_path) -> None:
    run_claims(CLAIMS, "quick", tmp_path, tmp_path / "made.json", ["1", "5", "9"])
    found = {entry.id: entry for entry in load(tmp_path / "made.json").claims}
    assert {entry.verdict for entry in found.values()} == {"no verdict"}
    assert all(entry.equal_budget.equal for entry in found.values())
    assert found["1"].measured["mel_low"]["mel_44"] == found["9"].measured["low"]["mel_44"]  # one training
    assert found["5"].measured["frame"]["same"] == found["5"].measured["frame"]["files"]
    shared = tmp_path / "quick" / "shared"
    judged = BY_ID["3"].run(cell("judged", shared=shared))
    assert judged["blur"] == pytest.approx(abs(1 - judged["sharpness"]))
    assert 0 < found["9"].measured["low"]["limit_44"].mean < found["9"].measured["low"]["mel_44"].mean
    # as a version without the abilities of the recipe wrote it
    path = tmp_path / "quick" / "5" / "frame-seed-0.json"
    kept = read_json(path)
    for name in ("accumulate", "clip_norm", "mixed_precision", "patience", "final_lr_fraction"):
        del kept["settings"]["config"]["train"][name]
    kept["settings"]["model"] = {
        ("steps" if name == "max_steps" else name): kept["settings"]["model"][name]
        for name in ("width", "heads", "layers", "dropout", "columns", "batch", "max_steps", "eval_every", "lr")
    }
    write_json(path, kept)
    before = path.stat().st_mtime_ns
    run_claims(CLAIMS, "quick", tmp_path, tmp_path / "made.json", ["5"])
    assert path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_quick_budget_of_every_claim(auricle, tmp_path) -> None:
    auricle("claims", "unisrcodec", cwd=tmp_path)
    found = load(tmp_path / "runs/claims/unisrcodec/quick/unisrcodec.json").claims
    assert [entry.id for entry in found] == ["1", "2", "3", "4", "5", "9"]
    assert all(entry.equal_budget.equal for entry in found)
