"""What a disk refuses is one line, whatever the command was doing."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def small_files(limit=2000):
    """A limit of the kernel on the size of a file, as a full disk would be one."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def one_line(done, start):
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(start)
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["list"], ["config", "mambo"], ["models", "list"]], ids=" ".join)
def test_output_that_goes_to_a_full_disk(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "auricle", *arguments], stdout=full, stderr=subprocess.PIPE, text=True
        )
    one_line(done, "error: the disk is full: ")


WRITERS = {
    "write_json": "from auricle.core.files import write_json; write_json(target, ['x'] * 9000)",
    "write_jsonl": "from auricle.core.files import write_jsonl; write_jsonl(target, ['x'] * 9000)",
    "atomic_path": "from auricle.core.files import atomic_path\n"
    "    with atomic_path(target) as part: part.write_bytes(bytes(9000))",
    "numpy": "from auricle.core.files import atomic_path; import numpy\n"
    "    with atomic_path(target) as part, open(part, 'wb') as out: numpy.save(out, numpy.ones(9000))",
    "soundfile": "from auricle.core.files import atomic_path; from auricle.core.errors import AudioError\n"
    "    import numpy, soundfile\n"
    "    with atomic_path(target) as part:\n"
    "        try: soundfile.write(part, numpy.random.default_rng(0).normal(0, 0.1, 90000), 16000, format='FLAC')\n"
    "        except soundfile.LibsndfileError: raise AudioError('cannot be written as FLAC') from None",
    "safetensors": "from auricle.core.files import atomic_path; import torch; from safetensors.torch import save_file\n"
    "    with atomic_path(target) as part: save_file({'a': torch.ones(9000)}, part)",
    "torch": "from auricle.core.files import atomic_path; import torch\n"
    "    with atomic_path(target) as part: torch.save(torch.ones(9000), part)",
    "matplotlib": "from auricle.core.files import atomic_path; from matplotlib.figure import Figure\n"
    "    with atomic_path(target) as part: Figure().savefig(part, format='png')",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_the_disk_has_no_room_for_is_named_and_the_old_one_stays(tmp_path, writer):
    target = tmp_path / "out.json"
    target.write_text("old")
    code = (
        "import sys; from pathlib import Path; from auricle.cli import main as command\n"
        "def work():\n"
        f"    target = Path(sys.argv[1]); {WRITERS[writer]}\n"
        "command.app = work; command.entry()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, preexec_fn=small_files
    )
    one_line(done, f"error: {target} cannot be used (File too large)")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_place_that_cannot_be_made():
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "data", "export", "/proc/nowhere"], capture_output=True, text=True
    )
    one_line(done, "error: /proc/nowhere cannot be used (")


def test_a_run_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "data", "export", str(tmp_path / "file" / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    one_line(done, f"error: {tmp_path}/file/out")
    assert "Not a directory" in done.stderr
