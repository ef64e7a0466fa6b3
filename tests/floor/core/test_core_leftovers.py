import os
import stat
import subprocess
import sys
import time

import pytest

from auricle.core.config import Config
from auricle.core.files import atomic_path, write_json
from auricle.core.leftovers import abandoned, is_part, part_path, process_start, sweep
from auricle.core.run import open_run


class Settings(Config):
    lr: float = 0.1


def dead():
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def left_by(pid, path):
    name = part_path(path).name.replace(f"-part-{os.getpid()}-", f"-part-{pid}-")
    path.with_name(name).write_text("half")
    return path.with_name(name)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.json", ".json"),
        ("ü.flac", ".flac"),
        ("no-suffix", ""),
        ("x" * 250 + ".wav", ".wav"),
        ("é" * 125 + ".wav", ".wav"),
        ("b" * 250, ""),
    ],
)
def test_names_are_hidden_beside_short_enough_and_keep_the_suffix(tmp_path, name, suffix):
    part = part_path(tmp_path / name)
    assert part.parent == tmp_path
    assert part.name.startswith(".")
    assert part.suffix == suffix
    assert is_part(part)
    part.write_text("")  # the file system takes it
    assert part_path(tmp_path / name) != part


def test_a_file_with_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".json")
    write_json(path, 1)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077])
def test_files_have_the_mode_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", 1)
        with atomic_path(tmp_path / "b.bin") as part:  # a writer that puts a private file in its place
            part.unlink()
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600))
    finally:
        os.umask(before)
    for name in ("a.json", "b.bin"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def test_only_what_the_dead_have_left_is_swept(tmp_path):
    deep = tmp_path / "cache" / "audio"
    deep.mkdir(parents=True)
    gone = dead()
    theirs = [left_by(gone, deep / "a.flac"), left_by(gone, tmp_path / "report.json")]
    folder = tmp_path / part_path(tmp_path / "state").name.replace(str(os.getpid()), str(gone))
    (folder / "state").mkdir(parents=True)
    kept = [part_path(tmp_path / "mine.json"), tmp_path / ".hidden-notes", tmp_path / "a-part-1-abc.json"]
    for path in kept:
        path.write_text("")
    assert sweep(tmp_path) == 3
    assert not any(path.exists() for path in [*theirs, folder])
    assert all(path.exists() for path in kept)


def test_a_living_process_keeps_its_file_and_a_later_one_of_its_number_does_not(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        path = left_by(child.pid, tmp_path / "a.json")
        assert not abandoned(path)
        assert abs(process_start(child.pid) - time.time()) < 60 or not sys.platform.startswith("linux")
        long_ago = time.time() - 7200
        os.utime(path, (long_ago, long_ago))  # written before that process was started
        assert abandoned(path) == sys.platform.startswith("linux")
    finally:
        child.communicate(b"\n")
    assert abandoned(path)


def test_what_another_machine_writes_is_kept_for_a_day(tmp_path):
    path = tmp_path / f".a-part-{dead()}-ffffff-01234567.json"
    path.write_text("")
    assert not abandoned(path)
    old = time.time() - 2 * 86400
    os.utime(path, (old, old))
    assert abandoned(path)


def test_a_run_folder_is_swept_when_it_is_opened_again(tmp_path):
    run = open_run(tmp_path / "seed-0", "toy", "laptop", Settings())
    run.manifests.mkdir()
    run.cache.mkdir()
    left = [left_by(dead(), place / "a.jsonl") for place in (run.path, run.manifests, run.cache)]
    open_run(tmp_path / "seed-0", "toy", "laptop", Settings())
    assert not any(path.exists() for path in left)


def test_a_folder_where_a_kill_came_first_is_no_foreign_folder(tmp_path):
    left_by(dead(), tmp_path / "config.json")
    (tmp_path / ".lock").write_text("1 nowhere\n")
    open_run(tmp_path, "toy", "laptop", Settings())
