import errno
import os

import pytest

from auricle.core.errors import DataError
from auricle.core.files import atomic_path, disk_fault, read_json, read_jsonl, write_json, write_jsonl
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


READERS = [read_json, lambda path: list(read_jsonl(path))]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 100_000, "nested too deeply"), ('{"a":' * 100_000, "nested too deeply"), ("1" * 5000, "not .*JSON")],
)
def test_monstrous_json_is_a_data_error(tmp_path, read, text, message):
    (tmp_path / "a").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a")


@pytest.mark.parametrize("read", READERS)
def test_pipes_devices_folders_and_loops_are_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path / "folder"):
        with pytest.raises(DataError, match=r"is a (pipe|folder)"):
            read(path)
    for path in (tmp_path / "loop", tmp_path / ("x" * 300), "nul\0byte"):
        with pytest.raises(DataError, match="cannot be opened"):
            read(path)


def test_files_too_large_for_json_are_refused_before_they_are_read(tmp_path):
    for name in ("a.json", "a.jsonl"):
        with open(tmp_path / name, "wb") as out:
            out.truncate(5 << 30)  # takes no room on the disk
    with pytest.raises(DataError, match="more than 268435456 bytes"):
        read_json(tmp_path / "a.json")
    with pytest.raises(DataError, match="line 1: longer than"):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_a_mark_of_byte_order_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf[1]\r\n[2]\r\n")
    assert list(read_jsonl(tmp_path / "a")) == [[1], [2]]


def test_a_full_disk_names_the_file_and_not_its_temporary_name(tmp_path):
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*a\.json'") as caught,
        atomic_path(tmp_path / "a.json"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    said = disk_fault(caught.value)
    assert said.startswith(f"the disk is full: {tmp_path / 'a.json'} could not be written")
    assert "same command" in said


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EIO, errno.EFBIG])
def test_what_a_file_system_refuses_is_a_sentence(number):
    said = disk_fault(OSError(number, os.strerror(number), "runs/a"))
    assert said.startswith(f"runs/a cannot be used ({os.strerror(number)})")


def test_other_errors_of_the_system_stay_what_they_are():
    assert disk_fault(OSError(errno.ECHILD, "No child processes")) is None
    assert disk_fault(OSError("no number")) is None
