import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from auricle.core import locks
from auricle.core.config import Config
from auricle.core.errors import DataError
from auricle.core.locks import FOLDER_LOCK, beside, only_writer
from auricle.core.run import RunFolder, open_run

HOLDER = """
import sys
from pathlib import Path
from auricle.core.locks import only_writer
with only_writer(Path(sys.argv[1]), "the file"):
    print("held", flush=True)
    sys.stdin.read()
"""


class Settings(Config):
    lr: float = 0.1


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    lock = beside(tmp_path / "out.jsonl")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    yield child, lock
    child.kill()
    child.communicate()


def test_a_second_process_is_refused_with_the_number_of_the_first(holder):
    child, lock = holder
    with (
        pytest.raises(DataError, match=rf"^the table is being written by process {child.pid}; wait"),
        only_writer(lock, "the table"),
    ):
        pass
    child.communicate("")
    with only_writer(lock, "the table"):
        assert lock.exists()
    assert not lock.exists()


def test_a_kill_frees_it(holder):
    child, lock = holder
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert lock.exists()
    with only_writer(lock, "the table"):
        pass
    assert not lock.exists()


def test_a_child_of_the_holder_does_not_keep_it(tmp_path):
    """A loader's forked worker may outlive a killed parent."""
    lock = tmp_path / "l"
    code = HOLDER.replace(
        'print("held"', 'import os; child = os.fork() or os.execlp("sleep", "sleep", "60"); print(child'
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    orphan = int(holder.stdout.readline())
    try:
        holder.kill()
        holder.wait()
        with only_writer(lock, "the table"):
            pass
    finally:
        os.kill(orphan, signal.SIGKILL)
        holder.stdin.close()
        holder.stdout.close()


def test_the_same_thread_may_nest_and_another_may_not(tmp_path):
    lock, errors = tmp_path / "l", []

    def other():
        try:
            with only_writer(lock, "the table"):
                pass
        except DataError as error:
            errors.append(str(error))

    with only_writer(lock, "the table"):
        with only_writer(lock, "the table"):
            pass
        assert lock.exists()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "another thread" in errors[0]
    assert not lock.exists()


def test_a_lock_deleted_while_it_was_opened_is_taken_anew(tmp_path, monkeypatch):
    """The holder deletes its file just before a second process has locked what it opened."""
    lock, original, calls = tmp_path / "l", locks._locked, []

    def late(handle):
        calls.append(handle)
        if len(calls) == 1:
            lock.unlink()
        return original(handle)

    monkeypatch.setattr(locks, "_locked", late)
    with only_writer(lock, "the table"):
        assert lock.exists()
    assert len(calls) == 2


def test_a_file_system_without_locks_goes_by_the_number(tmp_path, monkeypatch):
    def none(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    lock = tmp_path / "l"
    with only_writer(lock, "the table"):
        pass
    lock.write_text(f"{os.getppid()} {os.uname().nodename}\n")
    with pytest.raises(DataError, match=f"process {os.getppid()};"), only_writer(lock, "the table"):
        pass
    lock.write_text("1 elsewhere\n")
    with pytest.raises(DataError, match="process 1 on elsewhere;"), only_writer(lock, "the table"):
        pass
    lock.write_text(f"999999999 {os.uname().nodename}\n")
    with only_writer(lock, "the table"):
        pass


def test_the_longest_name_has_a_lock(tmp_path):
    with only_writer(beside(tmp_path / ("ü" * 127)), "the table"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_run_folder_is_locked_by_the_main_process_and_stays_usable(tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with run.locked():
        assert (run.path / FOLDER_LOCK).read_text().split()[0] == str(os.getpid())
        open_run(run.path, "toy", "laptop", Settings())
        with run.locked():
            pass
    assert not (run.path / FOLDER_LOCK).exists()
    monkeypatch.setenv("RANK", "1")
    with run.locked():
        assert not (run.path / FOLDER_LOCK).exists()


def test_two_processes_on_one_run_folder(tmp_path):
    code = HOLDER.replace(
        'only_writer(Path(sys.argv[1]), "the file")', "RunFolder(Path(sys.argv[1])).locked()"
    ).replace("locks import only_writer", "run import RunFolder")
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    with (
        pytest.raises(DataError, match=rf"the run .*run is being written by process {child.pid}"),
        RunFolder(tmp_path / "run").locked(),
    ):
        pass
    child.communicate("")
