"""Compiled loops in a cache folder: what is damaged or could be another user's is built again, never loaded."""

import os
import stat
import subprocess
import sys

import pytest
import torch

from auricle.nn import native
from auricle.nn.native import store

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="there is no C compiler here")
SOURCE = "int answer(void) { return 42; }"
HOSTILE = "int answer(void) { return 13; }"


def compiled(source, out):
    command = [*native.compiler(), "-shared", "-fPIC", "-x", "c", "-", "-o", str(out)]
    subprocess.run(command, input=source, text=True, check=True)
    return True


@pytest.fixture
def loads(tmp_path):
    """Load a library that answers 42 from the cache; tell how often it was built."""
    built = []

    def build(out):
        built.append(out)
        return compiled(SOURCE, out)

    def load():
        before = len(built)
        library = store.load(tmp_path / "kernels", "key", build)
        assert library.answer() == 42
        return len(built) - before

    load.built = built
    return load


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def only(folder):
    (found,) = folder.glob("*.so")
    return found


def test_it_is_built_once_for_this_user_alone(loads, tmp_path):
    assert [loads(), loads()] == [1, 0]
    assert mode(tmp_path / "kernels") == 0o700
    assert mode(only(tmp_path / "kernels")) == 0o600
    assert len(os.listdir(tmp_path / "kernels")) == 1


def truncated(path):
    os.truncate(path, 3000)


def one_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def planted(path):
    path.unlink()
    compiled(HOSTILE, path)
    path.chmod(0o600)


def emptied(path):
    path.write_bytes(b"")


def writable_by_the_group(path):
    path.chmod(0o660)


def writable_by_all(path):
    path.chmod(0o606)


def a_link(path):
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "harm", [truncated, one_bit, planted, emptied, writable_by_the_group, writable_by_all, a_link, a_pipe]
)
def test_what_cannot_be_trusted_is_built_again(loads, tmp_path, harm):
    loads()
    harm(only(tmp_path / "kernels"))
    assert loads() == 1
    assert mode(only(tmp_path / "kernels")) == 0o600
    assert loads() == 0


def given_away(monkeypatch, path):
    """Make a file somebody else's, really where we may, else by another view of who we are."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)


def test_a_library_of_another_user_is_built_again(loads, tmp_path, monkeypatch):
    loads()
    path = only(tmp_path / "kernels")
    if os.geteuid() != 0:
        pytest.skip("only the superuser can give a file away")
    os.chown(path, 12345, -1)
    assert loads() == 1


def test_a_folder_of_another_user_is_left_alone(loads, tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o777)
    given_away(monkeypatch, folder)
    assert loads() == 1
    assert os.listdir(folder) == []
    private = loads.built[0].parents[1]
    assert mode(private) == 0o700
    assert loads() == 1  # nothing of it is kept


def test_a_folder_that_all_can_write_to_is_closed_and_what_lies_there_is_looked_at(loads, tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(0o777)
    compiled(HOSTILE, folder / "key-0123456789abcdef0123456789abcdef.so")
    compiled(HOSTILE, folder / "key.so")
    assert loads() == 1
    assert mode(folder) == 0o700


def test_a_place_that_cannot_be_a_folder_is_no_obstacle(loads, tmp_path):
    (tmp_path / "kernels").write_text("")
    assert loads() == 1
    assert (tmp_path / "kernels").read_text() == ""


def test_a_build_that_fails_leaves_nothing(tmp_path):
    assert store.load(tmp_path / "kernels", "key", lambda out: False) is None
    assert os.listdir(tmp_path / "kernels") == []


def test_the_real_loops_survive_a_truncated_library(tmp_path):
    """A truncated library was a bus error at each command."""
    code = "import torch; from auricle.nn import native; print(native.usable(torch.ones(2)), native.state())"
    environment = {**os.environ, "AURICLE_CACHE": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout) == (0, "True compiled and in use\n"), done.stderr
        truncated(only(tmp_path / "kernels"))


def test_the_real_loops_work_without_a_cache_folder(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "file"))
    native._library.cache_clear()
    try:
        assert native.usable(torch.ones(2))
    finally:
        native._library.cache_clear()
