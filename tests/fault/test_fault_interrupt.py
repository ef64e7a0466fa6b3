"""Ctrl-C and kills: children end with their parent, nobody prints a traceback, a second Ctrl-C does not wait."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
BUILDER = """
    import os, sys, time
    from pathlib import Path

    def work(number):
        folder = Path(sys.argv[1])
        (folder / f"pid-{os.getpid()}").touch()
        for beat in range(600):
            (folder / f"beat-{os.getpid()}").write_text(str(beat))
            time.sleep(0.05)

    def main():
        from auricle.data.building import build_all
        for _ in build_all(work, list(range(8)), workers=2):
            pass

    if __name__ == "__main__":
        from auricle.cli import main as command
        command.app = main
        command.entry()
"""


def heard():
    """Undo what a shell does to commands in the background, which are born deaf to Ctrl-C; the tests may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def script(folder, text, *arguments):
    file = folder / "program.py"
    file.write_text(textwrap.dedent(text))
    return subprocess.Popen(
        [sys.executable, str(file), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=heard,
    )


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def building(tmp_path):
    """A process whose two workers are at work."""
    program = script(tmp_path, BUILDER, tmp_path)
    try:
        wait_for(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
        workers = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
        yield program, workers
    finally:
        program.kill()
        program.communicate()


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@linux
def test_workers_die_with_a_parent_that_was_killed(building, tmp_path):
    program, workers = building
    program.kill()
    program.wait()
    wait_for(lambda: not any(map(alive, workers)), 5)
    beats = [path.read_text() for path in tmp_path.glob("beat-*")]
    time.sleep(0.3)
    assert [path.read_text() for path in tmp_path.glob("beat-*")] == beats


@linux
@pytest.mark.parametrize("everybody", [True, False], ids=["from a terminal", "to the parent alone"])
def test_ctrl_c_is_one_line_and_leaves_nobody(building, everybody):
    program, workers = building
    started = time.monotonic()
    (os.killpg if everybody else os.kill)(program.pid, signal.SIGINT)
    out, said = program.communicate(timeout=20)
    assert program.returncode == 130
    assert said == "stopped; the same command goes on from here\n"
    assert out == ""
    assert time.monotonic() - started < 10, "it waited for the workers' tasks"
    wait_for(lambda: not any(map(alive, workers)), 5)


@linux
def test_ctrl_c_while_the_workers_are_still_starting(tmp_path):
    """They are importing their libraries; the traceback of that would be long."""
    program = script(tmp_path, BUILDER, tmp_path)
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
    # two workers and the tracker of multiprocessing
    wait_for(lambda: len(children.read_text().split()) >= 3)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert said == "stopped; the same command goes on from here\n"


@linux
@pytest.mark.slow  # the pool of the standard library is stuck in one of eight runs on a busy machine: not mended yet
def test_a_killed_worker_is_one_clear_error(building):
    program, workers = building
    os.kill(workers[0], signal.SIGKILL)
    _, said = program.communicate(timeout=20)
    assert program.returncode == 2
    assert said.startswith("error: a process that prepared data was ended from outside")
    assert said.count("\n") == 1


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    program = script(
        tmp_path,
        """
        import time
        from auricle.cli import main as command

        def slow():
            try:
                print("working", flush=True)
                time.sleep(60)
            finally:
                print("tidying", flush=True)
                time.sleep(60)

        command.app = slow
        command.entry()
        """,
    )
    assert program.stdout.readline() == "working\n"
    os.kill(program.pid, signal.SIGINT)
    assert program.stdout.readline() == "tidying\n"
    os.kill(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=5)
    assert program.returncode == 130
    assert said == "stopped at once\n"


def test_ctrl_c_inside_of_a_decoder_is_neither_lost_nor_taken_for_the_end_of_the_file(tmp_path):
    """libsndfile asks Python for bytes; an exception there is printed and forgotten, and the clip is cut."""
    program = script(
        tmp_path,
        """
        import io, os, signal, sys, time
        import numpy as np, soundfile
        from auricle.cli import interrupt

        class Interrupted(io.BytesIO):
            def readinto(self, room):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)  # here it arrives
                return super().readinto(room)

        whole = io.BytesIO()
        soundfile.write(whole, np.ones(100_000, "float32") * 0.5, 16000, format="WAV", subtype="FLOAT")
        interrupt.listen()
        frames = 0
        try:
            frames = len(soundfile.read(Interrupted(whole.getvalue()))[0])
            time.sleep(10)
        except KeyboardInterrupt:
            print("heard", frames)
        """,
    )
    out, said = program.communicate(timeout=30)
    assert said == ""
    assert out == "heard 100000\n"


def test_ctrl_c_inside_of_a_finaliser_comes_again(tmp_path):
    program = script(
        tmp_path,
        """
        import os, signal, time
        from auricle.cli import interrupt

        class Last:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

        interrupt.listen()
        try:
            Last()
            time.sleep(10)
        except KeyboardInterrupt:
            print("heard")
        """,
    )
    out, said = program.communicate(timeout=30)
    assert (out, said) == ("heard\n", "")


def test_a_background_job_that_was_started_deaf_stays_deaf(tmp_path):
    program = script(
        tmp_path,
        """
        import signal
        from auricle.cli import interrupt

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupt.listen()
        print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
        """,
    )
    assert program.communicate(timeout=30)[0] == "True\n"


def test_ctrl_c_stops_a_real_command_with_a_word(finished, tmp_path):
    run = finished("mambo")
    clip = next((run / "cache").rglob("*.flac"))
    listed = tmp_path / "list"
    listed.write_text(f"{clip}\n" * 5000)
    with open(listed) as names:
        program = subprocess.Popen(
            [sys.executable, "-m", "auricle", "infer", "mambo", "--run", str(run), "-"],
            stdin=names,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"},
            preexec_fn=heard,
        )
        first = program.stdout.readline()
        os.kill(program.pid, signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert "score" in json.loads(first)
    assert program.returncode == 130
    assert said == "stopped; the same command goes on from here\n"
