"""Full runs over splits and seeds: what the card of `mambo` says of its presets. About twenty and thirty minutes."""

import pytest

from auricle.core import extras
from auricle.core.report import Report

RUNS = [(split, seed) for split in (1, 2) for seed in (0, 1)]


def pooled(auricle, place, *options):
    """Run a preset over two splits and two seeds; give the pooled rows and the run folders."""
    from auricle.systems.pipeline import pool_folders

    for split in (1, 2):
        auricle("run", "mambo", *options, "--seeds", 2, "--run", place / f"split-{split}", f"data.split={split}")
    folders = [place / f"split-{split}" / f"seed-{seed}" for split, seed in RUNS]
    print(auricle("report", "--pool", *folders).stdout)
    return {(row.name, row.group): row for row in pool_folders(folders).metrics if row.baseline is None}, folders


@pytest.mark.claims
def test_seen_families_over_two_splits_and_two_seeds(auricle, tmp_path):
    rows, folders = pooled(auricle, tmp_path)
    assert rows["eer", "seen"].value <= 20.0
    assert rows["eer minus lfcc_gmm", "seen, paired over voices"].ci95[1] < 0
    assert not any(Report.load(folder / "report.json").leak for folder in folders)


@pytest.mark.claims
@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_small_is_ahead_of_lfcc_gmm_on_unseen_families_too(auricle, tmp_path):
    rows, _ = pooled(auricle, tmp_path, "--preset", "small")
    assert rows["eer", "seen"].value <= 20.0
    assert rows["eer", "unseen"].value <= 32.0
    for group in ("seen", "unseen"):
        assert rows["eer minus lfcc_gmm", f"{group}, paired over voices"].ci95[1] < 0
