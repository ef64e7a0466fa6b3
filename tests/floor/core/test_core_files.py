import os

import pytest

from auricle.core.errors import DataError
from auricle.core.files import atomic_path, read_json, read_jsonl, write_json, write_jsonl
from auricle.core.seed import derive, rng


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "deep" / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "deep" / "a.json") == {"é": [1, None]}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    with pytest.raises(OSError, match="full"):
        _fail_half_way(tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == 1
    assert os.listdir(tmp_path) == ["a.json"]


def _fail_half_way(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")


def test_jsonl_names_the_broken_line(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [1, {"b": 2}])
    with open(tmp_path / "a.jsonl", "a") as out:
        out.write("\n{broken\n")
    with pytest.raises(DataError, match="line 4"):
        list(read_jsonl(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("read", [read_json, lambda path: list(read_jsonl(path))])
def test_missing_and_binary_files_are_data_errors(tmp_path, read):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError):
        read(tmp_path / "b")


def test_seeds_depend_on_every_name_and_never_change():
    assert derive(0, "a", 1) == derive(0, "a", 1) != derive(0, "a1")
    assert derive(1, "a") != derive(0, "a")
    assert derive(0, "train") == 2247946608620987588  # saved runs depend on it
    assert rng(3, "x").random() == rng(3, "x").random()
