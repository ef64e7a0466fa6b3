"""A finished run that all tests share may not be changed by one of them, and a run that failed fails all of them."""

import json

import pytest

from auricle.systems import NAMES
from tests.finished import assert_unchanged, finish, state


@pytest.mark.parametrize("change", ["new.txt", "stages.json", None])
def test_a_changed_file_is_named(tmp_path, change):
    run = tmp_path / "mambo" / "run"
    run.mkdir(parents=True)
    (run / "stages.json").write_text("{}")
    (run.parent / "state.json").write_text(json.dumps({"status": 0, "files": state(run)}))
    if change is None:
        assert_unchanged(run)
        return
    (run / change).write_text("{ }")
    with pytest.raises(AssertionError, match=rf"finished run of mambo, which all share: {change}"):
        assert_unchanged(run)


def test_a_run_that_failed_is_not_run_again_and_says_why(tmp_path):
    home = tmp_path / NAMES[0]
    home.mkdir()
    (home / "state.json").write_text(json.dumps({"status": 2, "files": {}}))
    (home / "stderr.txt").write_text("error: the disk is full\n")
    for _ in range(2):
        with pytest.raises(AssertionError, match=r"exit status 2:\nerror: the disk is full"):
            finish(NAMES[0], tmp_path)
    assert not (home / "run").exists()
