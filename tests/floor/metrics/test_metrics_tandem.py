"""The tandem cost by hand."""

from __future__ import annotations

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.tandem import AsvErrors, asv_errors, min_tdcf

# pi_tar 0.9405, pi_non 0.0095
ASV = AsvErrors(miss=0.1, false_alarm=0.2, spoof_false_alarm=0.5)


def test_2021_by_hand():
    # C0 = .9405 * .1 + .0095 * 10 * .2 = .11305; C1 = .82745; C2 = .05 * 10 * .5 = .25
    # best threshold rejects one of four bona fide and accepts no spoof, or the reverse at C2 / 4
    expected = (0.11305 + 0.25 * 0.25) / (0.11305 + 0.25)
    assert min_tdcf([2, 4, 5, 6], [0, 1, 1.5, 3], ASV) == pytest.approx(expected, abs=1e-12)


def test_2019_by_hand():
    # C1 = .9405 * .9 - 10 * .0095 * .2 = .82745; C2 = .25: one of four spoofs accepted costs .0625 / .25
    assert min_tdcf([2, 4, 5, 6], [0, 1, 1.5, 3], ASV, version=2019) == pytest.approx(0.25, abs=1e-12)


def test_ends():
    # a perfect detector leaves the verifier's own cost; a constant one costs 1
    assert min_tdcf([1], [0], ASV) == pytest.approx(0.11305 / 0.36305, abs=1e-12)
    assert min_tdcf([1], [0], ASV, version=2019) == 0.0
    assert min_tdcf([1], [1], ASV) == pytest.approx(1.0, abs=1e-12)


def test_verifier_rates_at_its_eer():
    # EER of target against nontarget at 2 (one of four each way): at or above 2 is accepted
    rates = asv_errors([2, 4, 5, 6], [0, 1, 1.5, 3], [1, 2, 5])
    assert rates == (0.0, 0.25, pytest.approx(2 / 3))
    assert asv_errors([2, 4], [0], [5], threshold=3) == (0.5, 0.0, 1.0)


def test_refusals():
    with pytest.raises(ConfigError, match="2019 and 2021"):
        min_tdcf([1], [0], ASV, version=2015)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="undefined for this verifier"):
        min_tdcf([1], [0], AsvErrors(1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="no nontarget scores"):
        asv_errors([1], [], [0])
