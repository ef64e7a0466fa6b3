import math

import pytest
import torch

from auricle.train.two_class_loss import focal, weighted_cross_entropy


def test_focal_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]], dtype=torch.float64)
    # p(bona fide) = 3/4 for a real clip, p(spoof) = 4/5 for a fake one
    expected = (0.9 * 0.25**2 * -math.log(0.75) + 0.1 * 0.2**2 * -math.log(0.8)) / 2
    assert focal(logits, torch.tensor([1, 0]), (0.1, 0.9)).item() == pytest.approx(expected, abs=1e-12)


def test_focal_without_gamma_is_cross_entropy():
    logits, labels = torch.randn(5, 2, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    plain = torch.nn.functional.cross_entropy(logits, labels)
    assert torch.allclose(focal(logits, labels, (1.0, 1.0), gamma=0.0), plain, atol=1e-12)


def test_focal_survives_certainty():
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = focal(logits, torch.tensor([1]), (0.1, 0.9))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_weighted_cross_entropy_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]], dtype=torch.float64)
    expected = (0.9 * -math.log(0.75) + 0.1 * -math.log(0.8)) / 1.0
    assert weighted_cross_entropy(logits, torch.tensor([1, 0]), (0.1, 0.9)).item() == pytest.approx(expected, abs=1e-12)


def test_frames_count_like_items():
    logits, labels = torch.randn(3, 4, 2), torch.randint(0, 2, (3, 4))
    assert torch.allclose(
        weighted_cross_entropy(logits, labels, (1.0, 1.0)),
        weighted_cross_entropy(logits.reshape(12, 2), labels.reshape(12), (1.0, 1.0)),
    )
