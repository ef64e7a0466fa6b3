"""Report data: what is refused, what JSON keeps, how seeds are pooled."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.core.report import MetricRow, Report, format_interval, format_number, mean_interval, pool, table


def row(value: float | None, **changes) -> MetricRow:
    return MetricRow(**({"name": "eer", "value": value, "unit": "%", "n": 100, "group": "seen", "data": "d"} | changes))


def report(*rows: MetricRow, **changes) -> Report:
    fields = {
        "system": "mambo",
        "preset": "laptop",
        "data": "embedded",
        "toy": False,
        "seeds": [0],
        "environment": {"python": "3.11", "host": "a"},
        "metrics": list(rows),
    }
    return Report(**(fields | changes))


def test_json_keeps_everything(tmp_path: Path):
    before = report(
        row(12.5, ci95=(10, 15.5)),
        row(50.0, baseline="constant"),
        row(None, name="auc"),
        warnings=["auc: no spoof"],
        leak=True,
        extra={"threshold": -0.25, "list": [1, None]},
    )
    before.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == before


def test_reports_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        report().leak = True  # type: ignore[misc]
    with pytest.raises(Exception, match="frozen"):
        row(1.0).value = 2.0  # type: ignore[misc]


def test_numbers_that_are_none_are_refused():
    for changes in ({"value": math.nan}, {"value": math.inf}, {"value": 1.0, "ci95": (0.0, math.nan)}):
        with pytest.raises(DataError, match="only finite numbers"):
            row(**changes)
    with pytest.raises(DataError, match="only finite numbers"):
        row(1.0, sd_seeds=math.nan)
    with pytest.raises(DataError, match="not \\(low, high\\)"):
        row(1.0, ci95=(2, 1))
    with pytest.raises(DataError, match="n=-1"):
        row(1.0, n=-1)
    with pytest.raises(DataError, match="no value and no warning"):
        report(row(None))
    with pytest.raises(DataError, match="two rows with"):
        report(row(1.0), row(2.0))


def test_numpy_numbers_become_plain():
    got = row(np.float64(1.5), ci95=(np.float64(1), np.float64(2)), n=int(np.int64(3)))
    assert type(got.value) is float
    assert type(got.ci95[0]) is float


def test_only_json_is_saved(tmp_path: Path):
    for extra in ({"x": math.nan}, {"x": {1, 2}}, {"x": np.zeros(2)}):
        with pytest.raises(DataError, match="not JSON"):
            report(extra=extra).save(tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"system": "mambo"}', "is not a report: at preset"),
        ("[]", "is not a report: at the top level"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=message):
        Report.load(tmp_path / "r.json")


def test_load_names_the_file_of_an_inconsistent_report(tmp_path: Path):
    report(row(1.0)).save(tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text().replace('"value": 1.0', '"value": null')
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=r"r\.json: report of 'mambo'"):
        Report.load(tmp_path / "r.json")


def test_mean_interval_by_hand():
    # sd of 10, 12, 14 is 2; t(0.975, 2) = 4.302653; half width 4.302653 * 2 / sqrt(3) = 4.968276
    low, high = mean_interval([10, 12, 14])
    assert (low, high) == pytest.approx((12 - 4.9682757, 12 + 4.9682757), abs=1e-6)
    with pytest.raises(DataError, match="at least 2"):
        mean_interval([1.0])


def test_pool_by_hand():
    pooled = pool(
        [
            report(
                row(value, ci95=(0, 90)),
                row(value + 10, baseline="lfcc_gmm"),
                row(value / 2, group="unseen", n=50),
                seeds=[seed],
                environment={"python": "3.11", "host": host},
                leak=seed == 2,
            )
            for seed, (value, host) in enumerate([(10.0, "a"), (12.0, "a"), (14.0, "b")])
        ]
    )
    system, baseline, unseen = pooled.metrics
    assert (system.value, system.sd_seeds, system.n_seeds, system.n) == (12.0, 2.0, 3, 100)
    assert system.ci95 == pytest.approx((7.0317243, 16.9682757), abs=1e-6)
    assert (baseline.value, baseline.baseline) == (22.0, "lfcc_gmm")
    assert (unseen.value, unseen.sd_seeds, unseen.n) == (6.0, 1.0, 50)
    assert pooled.seeds == [0, 1, 2]
    assert pooled.leak
    assert not pooled.toy
    assert pooled.environment == {"python": "3.11", "host": ["a", "a", "b"]}
    assert any("t interval of the mean over seeds" in warning for warning in pooled.warnings)


@pytest.mark.parametrize(
    ("name", "unit", "values", "interval"),
    [
        ("accuracy", "%", (95.0, 99.0, 99.8), (91.545, 100.0)),
        ("eer", "%", (0.5, 4.0), (0.0, 24.486)),
        ("cllr", "bit", (0.1, 0.5), (0.0, 2.841)),
        ("min_dcf", "", (0.01, 0.3), (0.0, 1.997)),
        ("auc", "", (0.9, 0.99), (0.373, 1.0)),
        # a difference may be anything, and so may a number whose range is not known
        ("eer minus lfcc_gmm", "%", (0.5, 4.0), (-19.986, 24.486)),
        ("hit_over_majority", "%", (0.5, 4.0), (-19.986, 24.486)),
        ("si_sdr", "dB", (0.5, 4.0), (-19.986, 24.486)),
        # more words may be wrong than were said
        ("wer", "%", (95.0, 99.0, 99.8), (91.545, 104.322)),
        # a share that is none after all is left as it is
        ("oddity", "%", (95.0, 120.0), (-51.328, 266.328)),
    ],
)
def test_pooled_intervals_stay_inside_what_is_possible(name, unit, values, interval):
    pooled = pool([report(row(value, name=name, unit=unit), seeds=[seed]) for seed, value in enumerate(values)])
    assert pooled.metrics[0].ci95 == pytest.approx(interval, abs=1e-3)


def test_seeds_that_are_alike_at_the_edge_keep_their_own_limits():
    def pooled(*rows):
        return pool([report(one, seeds=[seed]) for seed, one in enumerate(rows)]).metrics[0].ci95

    assert pooled(row(100.0, ci95=(71.5, 100)), row(100.0, ci95=(83.2, 100)), row(100.0)) == (71.5, 100)
    assert pooled(row(0.0), row(0.0)) is None
    assert pooled(row(50.0), row(50.0)) == (50.0, 50.0)


def test_pool_says_what_is_uneven():
    a = report(row(10.0, n=90), row(1.0, name="auc"), row(None, name="cllr"), warnings=["cllr: no llr"])
    b = report(row(14.0), row(None, name="cllr"), warnings=["cllr: no llr"], seeds=[1])
    pooled = pool([a, b])
    eer, auc, cllr = pooled.metrics
    assert (eer.value, eer.n, eer.n_seeds) == (12.0, 90, 2)
    assert (auc.value, auc.n_seeds, auc.sd_seeds) == (1.0, 1, None)
    assert (cllr.value, cllr.n_seeds) == (None, 1)
    text = "\n".join(pooled.warnings)
    assert "auc (seen): measured in 1 of 2 reports" in text
    assert "cllr (seen): measured in 0 of 2 reports" in text
    assert "n differs between reports (90 to 100)" in text
    assert text.count("no llr") == 1


def test_pool_of_one_is_itself_and_of_none_or_mixed_is_refused():
    one = report(row(1.0, ci95=(0, 2)))
    assert pool([one]) is one
    with pytest.raises(DataError, match="no report"):
        pool([])
    with pytest.raises(DataError, match="different preset"):
        pool([one, report(preset="smoke")])
    with pytest.raises(DataError, match="different units"):
        pool([one, report(row(0.01, unit=""))])


def test_table_is_text():
    got = table(
        report(row(12.345, ci95=(10, 15.55), sd_seeds=1.0), row(0.98765, name="auc", unit="", baseline="chance"))
    )
    assert got[0]["value"] == "12.3 %"
    assert got[0]["interval"] == "10.0 to 15.6" or got[0]["interval"] == "10.0 to 15.5"
    assert got[0]["sd"] == "1.0 %"
    assert (got[1]["value"], got[1]["interval"], got[1]["baseline"]) == ("0.988", "", "chance")
    assert format_number(None) == "not measured"
    assert format_number(1234.5, "files") == "1234 files"
    assert format_interval(None) == ""
    assert format_interval((0.12345, 2)) == "0.123 to 2"
