"""The rules of the claims, on numbers made up for each outcome."""

from __future__ import annotations

import pytest

pytest.importorskip("peft")

import torch

from auricle.systems.moe_adapter.claims import CLAIMS, PAIRS
from auricle.systems.moe_adapter.claims.surgery import projected_gradients
from tests.made_up import decided

BY_ID = {claim.id: claim for claim in CLAIMS}
BASE = {"mean": 50.0, "speech": 50.0, "music": 50.0, "sound": 50.0}


def cosines(value: float, part: str = "all") -> dict[str, float]:
    return {f"cosine {part} {pair} {name}": value for pair in PAIRS for name in ("value", "half", "halves", "p")}


@pytest.mark.parametrize(("gain", "verdict"), [(5.0, "confirmed"), (-5.0, "refuted"), (0.01, "not resolved")])
def test_a1_asks_for_a_gain_of_the_mean(gain, verdict) -> None:
    ours = {**BASE, "mean": BASE["mean"] + gain}
    assert decided(BY_ID["A1"], {"moe": ours, "dense": BASE, "active": BASE}).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(-0.3, "confirmed"), (0.3, "refuted")])
def test_a2_asks_for_a_cosine_below_0(value, verdict) -> None:
    assert decided(BY_ID["A2"], {"dense": cosines(value)}).verdict == verdict


@pytest.mark.parametrize(
    ("whole", "rest", "verdict"), [(0.5, 0.5, "confirmed"), (0.5, 0.1, "refuted"), (0.1, 0.5, "refuted")]
)
def test_a3_asks_for_more_on_the_shared_weights_too(whole, rest, verdict) -> None:
    ours = {**cosines(whole), **cosines(rest, "rest")}
    for part in ("router", "experts", "padded"):
        ours |= cosines(0.1, part)
    assert decided(BY_ID["A3"], {"moe": ours, "dense": cosines(0.2)}).verdict == verdict


@pytest.mark.parametrize(
    ("surgery", "oracle", "verdict"), [(5.0, 5.0, "confirmed"), (0.0, 5.0, "refuted"), (5.0, -3.0, "refuted")]
)
def test_a4_asks_for_surgery_and_oracle(surgery, oracle, verdict) -> None:
    numbers = {
        "dense": BASE,
        "surgery": {**BASE, "mean": BASE["mean"] + surgery},
        "oracle": {**BASE, "mean": BASE["mean"] + oracle},
    }
    assert decided(BY_ID["A4"], numbers).verdict == verdict


@pytest.mark.parametrize(
    ("perception", "knowledge", "verdict"), [(-5.0, 5.0, "confirmed"), (5.0, 5.0, "refuted"), (-5.0, -5.0, "refuted")]
)
def test_a5_asks_for_both_signs(perception, knowledge, verdict) -> None:
    base = {"perception": 50.0, "knowledge": 50.0, "dead_experts": 0.0, "usage_entropy": 2.0}
    middle = {**base, "perception": 50.0 + perception, "knowledge": 50.0 + knowledge}
    assert decided(BY_ID["A5"], {"none": base, "low": base, "middle": middle, "high": base}).verdict == verdict


@pytest.mark.parametrize(
    ("own", "told", "verdict"), [(20.0, 0.3, "confirmed"), (5.0, 0.3, "refuted"), (20.0, 0.0, "refuted")]
)
def test_a7_asks_for_information_and_a_drop_of_its_own(own, told, verdict) -> None:
    ours = {"own_drop": own, "cross_drop": 4.0, "information": told, "information_null": 0.01}
    assert decided(BY_ID["A7"], {"moe": ours}).verdict == verdict


@pytest.mark.parametrize(
    ("gap", "text", "verdict"), [(5.0, 0.0, "confirmed"), (5.0, -5.0, "refuted"), (-5.0, 0.0, "refuted")]
)
def test_a8_asks_for_hearing_more_at_the_same_reading(gap, text, verdict) -> None:
    base = {"gap": -30.0, "text": 90.0, "mean": 60.0}
    ours = {"gap": -30.0 + gap, "text": 90.0 + text, "mean": 60.0 + gap + text}
    assert decided(BY_ID["A8"], {"moe": ours, "dense": base}).verdict == verdict


@pytest.mark.parametrize(("dense", "verdict"), [(2.0, "confirmed"), (0.5, "refuted")])
def test_a10_asks_for_time_at_both_batches(dense, verdict) -> None:
    numbers = {f"{name} batch {n}": 1.0 for name in ("grouped", "all") for n in (1, 32)}
    numbers |= {f"dense batch {n}": dense for n in (1, 32)} | {"active_share": 0.75}
    assert decided(BY_ID["A10"], {"clock": numbers}).verdict == verdict


def test_surgery_takes_out_what_is_against_another() -> None:
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    # one loses its component against other: (1, 0) - (-1 / 2) (-1, 1) = (1/2, 1/2); other becomes (0, 1)
    assert torch.allclose(projected_gradients([one, other]), torch.tensor([0.5, 1.5]))
    friends = [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])]
    assert torch.equal(projected_gradients(friends), torch.tensor([2.0, 1.0]))
