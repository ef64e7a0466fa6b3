"""Full runs over splits and seeds: what the card of `mambo` says of its laptop preset. About twenty minutes."""

import pytest

from auricle.core.report import Report

RUNS = [(split, seed) for split in (1, 2) for seed in (0, 1)]


@pytest.mark.claims
def test_seen_families_over_two_splits_and_two_seeds(auricle, tmp_path):
    for split in (1, 2):
        auricle("run", "mambo", "--seeds", 2, "--run", tmp_path / f"split-{split}", f"data.split={split}")
    folders = [tmp_path / f"split-{split}" / f"seed-{seed}" for split, seed in RUNS]
    print(auricle("report", "--pool", *folders).stdout)
    from auricle.systems.pipeline import pool_folders

    rows = {(row.name, row.group): row for row in pool_folders(folders).metrics if row.baseline is None}
    assert rows["eer", "seen"].value <= 20.0
    assert rows["eer minus lfcc_gmm", "seen, paired over voices"].ci95[1] < 0
    assert not any(Report.load(folder / "report.json").leak for folder in folders)
