"""No decoder below us ends a batch: what hangs, crashes or eats memory is refused by name, the others are answered."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

from auricle.audio import files, supervised
from auricle.audio.files import probe, read, read_mono, scan
from auricle.core.errors import AudioError
from tests.hostile import coded, speechlike, svx, with_list
from tests.odd_audio import set_bytes, wav_left_open

FAULTS = {
    "computes for ever": ("while True: pass", r"did not come to an end within 1 s"),
    "waits for ever": ("time.sleep(99)", r"did not answer within 2 s"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\)"),
    "aborts": ("os.abort()", r"crashed \(SIGABRT\)"),
    "eats memory": ("bytearray(4 << 30)", r"more than 3 GiB of memory"),
    "ends": ("os._exit(3)", r"gave up"),
    "raises": ("raise KeyError('x')", r"its decoder failed \(KeyError"),
}
FAULTY = """import os, signal, sys, time
sys.path[:] = sys.argv[2:]
from auricle.audio import worker
worker.STEP_CPU_S = 1
original = worker.open_any
class Late:
    def __init__(self, source): self.__dict__.update(vars(source)); self.close = source.close
    def pieces(self, start, count):
        {fault}
def faulty(handle, size_bytes, suffix):
    if suffix == '.late': return Late(original(handle, size_bytes, suffix))
    {fault}
worker.open_any = faulty
worker.main()"""


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    supervised._end_all()


@pytest.fixture
def clip(tmp_path):
    """A file that is decoded in the other process."""
    path = tmp_path / "a.aiff"
    path.write_bytes(coded(speechlike(), container="AIFF"))
    return path


def faulty(monkeypatch, fault):
    supervised._end_all()
    limit_s = 2.0 if "sleep" in fault else 12.0
    monkeypatch.setattr(supervised, "_CODE", FAULTY.replace("{fault}", fault))
    monkeypatch.setattr(supervised, "ANSWER_S", limit_s)
    monkeypatch.setattr(supervised, "_START_S", limit_s)
    monkeypatch.setattr(supervised, "STEP_CPU_S", 1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["a.aiff", "a.late"])
def test_a_decoder_that_fails_costs_its_file_only(tmp_path, monkeypatch, fault, name):
    path = tmp_path / name
    path.write_bytes(coded(speechlike(), container="AIFF"))
    code, words = FAULTS[fault]
    with monkeypatch.context() as patch:
        faulty(patch, code)
        begin = time.monotonic()
        with pytest.raises(AudioError, match=rf"{name}: its decoder .*{words.removeprefix('its decoder ')}"):
            read(path)
        assert time.monotonic() - begin < 10
        supervised._end_all()
    assert read(path).wave.shape == (1, 16_000)
    assert supervised._IDLE[0].process.poll() is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("list.wav", with_list(coded(speechlike()), 0xFFFFFFF8)),
        ("back.wav", with_list(coded(speechlike()), 0xFFFFFFD8)),
        ("note.8svx", svx(0xFFFFFFF8)),
        ("far.8svx", svx(0x80000008)),
    ],
)
def test_headers_that_lead_parsers_round_for_ever_are_refused_at_once(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    for function in (probe, read, scan, read_mono):
        begin = time.monotonic()
        with pytest.raises(AudioError, match=rf"{name}: .*header is damaged"):
            function(tmp_path / name)
        assert time.monotonic() - begin < 1


def test_a_list_that_is_too_long_only_is_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(with_list(coded(speechlike()), 9))
    assert read(tmp_path / "a.wav").wave.shape == (1, 16_000)


def test_one_process_serves_many_files_and_ends_with_this_one(clip):
    read(clip)
    first = supervised._IDLE[0].process.pid
    for _ in range(3):
        probe(clip)
        read(clip, 0.2, 0.3)
        scan(clip)
    assert [worker.process.pid for worker in supervised._IDLE] == [first]
    supervised._end_all()
    assert supervised._IDLE == []


def test_a_process_that_ended_while_it_waited_is_replaced(clip):
    read(clip)
    worker = supervised._IDLE[0].process
    worker.kill()
    worker.wait()
    assert read(clip).wave.shape == (1, 16_000)
    # it may also end between the look and the question
    waiting = supervised._IDLE[0]
    waiting.process.kill()
    waiting.process.wait()
    waiting.process.returncode = None
    waiting.process.poll = lambda: None
    assert read(clip).wave.shape == (1, 16_000)


def test_a_file_that_is_left_halfway_costs_its_process_and_nothing_else(tmp_path):
    from auricle.audio.sources import open_source

    path = tmp_path / "a.aiff"
    path.write_bytes(coded(np.tile(speechlike(), 60), container="AIFF"))
    with open_source(path) as source:
        next(source.pieces())
    assert read(path).wave.shape == (1, 960_000)


def test_threads_have_a_process_each(tmp_path):
    paths = []
    for index in range(8):
        paths.append(tmp_path / f"{index}.aiff")
        paths[-1].write_bytes(coded(speechlike(1.0, seed=index), container="AIFF"))
    found: dict[int, np.ndarray] = {}

    def work(part):
        for index in range(part, 8, 4):
            found[index] = read(paths[index]).wave

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(8):
        np.testing.assert_allclose(found[index][0], speechlike(1.0, seed=index), atol=2 / 32_768)
    assert len(supervised._IDLE) <= 4


def test_a_forked_process_starts_its_own(clip):
    read(clip)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if not supervised._IDLE and read(clip).wave.shape == (1, 16_000) else 1
        finally:
            supervised._end_all()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read(clip).wave.shape == (1, 16_000)


def test_no_python_runs_below_libsndfile_in_this_process(tmp_path, monkeypatch):
    """cffi drops what is raised in a callback, Ctrl-C too: common files are read by their descriptor."""

    def never(*args):
        raise AssertionError("libsndfile was given functions of Python's")

    monkeypatch.setattr(soundfile.SoundFile, "_init_virtual_io", never)
    for name, container in (("a.wav", "WAV"), ("a.flac", "FLAC"), ("a.mp3", "MP3"), ("a.ogg", "OGG")):
        (tmp_path / name).write_bytes(b"")
        files.write(tmp_path / name, speechlike(), 16_000)
        assert read(tmp_path / name).wave.shape == (1, 16_000)
        assert files.decode((tmp_path / name).read_bytes(), "").wave.shape == (1, 16_000), container


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="no signals")
def test_ctrl_c_ends_a_decoder_that_hangs_and_is_not_lost(clip):
    code = FAULTY.replace("{fault}", "time.sleep(99)")
    script = (
        "import sys\nfrom auricle.audio import supervised\nfrom auricle.audio.files import read\n"
        f"supervised._CODE = {code!r}\nsupervised.ANSWER_S = supervised._START_S = 60.0\n"
        "taken = supervised._taken\n"
        "def told():\n    worker = taken()\n    print(worker.process.pid, flush=True)\n    return worker\n"
        "supervised._taken = told\nread(sys.argv[1])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(clip)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a command in a shell's background is born deaf to Ctrl-C, and the tests may run in one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    decoder = int(child.stdout.readline())
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=10)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in said
    with pytest.raises(ProcessLookupError):
        os.kill(decoder, 0)


def test_a_decoder_ends_when_its_parent_is_killed(clip):
    script = (
        "import os, sys, time\nfrom auricle.audio import supervised\nfrom auricle.audio.files import read\n"
        "read(sys.argv[1])\nprint(supervised._IDLE[0].process.pid, flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(clip)], stdout=subprocess.PIPE, text=True)
    decoder = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    for _ in range(100):
        try:
            os.kill(decoder, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the decoder lives on")


def test_many_channels_take_the_memory_of_one(tmp_path, monkeypatch):
    import tracemalloc

    wave = np.stack([speechlike(16.0, 48_000, seed=index) * (0.2 + 0.1 * (index == 5)) for index in range(8)])
    files.write(tmp_path / "a.flac", wave, 48_000)
    whole = read(tmp_path / "a.flac")
    monkeypatch.setattr(files, "_SEVERAL_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        audio = read(tmp_path / "a.flac", channels="loudest")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert audio.warnings == whole.warnings
    np.testing.assert_array_equal(audio.wave, whole.wave[5:6])
    np.testing.assert_array_equal(read_mono(tmp_path / "a.flac")[0], whole.mono())
    # 8 channels of 768,000 samples are 25 MB; one is 3 MB, a piece of 65,536 frames 2 MB
    assert peak < 14e6
    part = read(tmp_path / "a.flac", 1.0, 2.0, channels="loudest")
    np.testing.assert_array_equal(part.wave, whole.wave[5:6, 48_000:144_000])


def test_the_loudest_alone_is_what_mono_takes(tmp_path):
    pair = np.stack([0.3 * speechlike(), -speechlike()])
    files.write(tmp_path / "a.wav", pair, 16_000)
    whole, alone = read(tmp_path / "a.wav"), read(tmp_path / "a.wav", channels="loudest")
    np.testing.assert_array_equal(alone.wave[0], whole.mono())
    assert alone.warnings == whole.warnings
    assert alone.wave.base is None
    assert whole.mono().base is None


def test_what_would_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    files.write(tmp_path / "a.wav", np.stack([speechlike(), speechlike(seed=2)]), 16_000)
    monkeypatch.setattr(files, "MAX_DECODED_BYTES", 100_000)
    with pytest.raises(AudioError, match=r"a\.wav: its samples take more than .*blocks"):
        read(tmp_path / "a.wav")
    assert read(tmp_path / "a.wav", channels="loudest", duration_s=0.5).wave.shape == (1, 8_000)


SWEPT = (
    "WAV",
    "WAVEX",
    "RF64",
    "W64",
    "AIFF",
    "AU",
    "CAF",
    "FLAC",
    "OGG",
    "MP3",
    "SVX",
    "VOC",
    "NIST",
    "IRCAM",
    "MAT5",
)
VALUES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFE8, 0xFFFFFFF8, 0xFFFFFFFF)


def test_one_changed_field_of_a_header_is_answered_or_refused_within_seconds(tmp_path):
    draws = np.random.default_rng(2)
    good = {
        container: coded(speechlike(0.4), 16_000, container, "PCM_S8" if container == "SVX" else None)
        for container in SWEPT
    }
    good["WAV left open"] = wav_left_open(speechlike(0.4))
    path, outcomes = tmp_path / "changed.bin", {True: 0, False: 0}
    for trial in range(240):
        data = good[list(good)[trial % len(good)]]
        value = int(VALUES[draws.integers(len(VALUES))])
        width, order = int(draws.choice([2, 4])), str(draws.choice(["little", "big"]))
        place = int(draws.integers(min(len(data) - 4, 160)))
        changed = (value % 256**width).to_bytes(width, order)  # type: ignore[arg-type]
        path.write_bytes(set_bytes(data, place, changed))
        begin = time.monotonic()
        try:
            audio = read(path)
        except AudioError:
            outcomes[False] += 1
        else:
            assert np.isfinite(audio.wave).all()
            outcomes[True] += 1
        assert time.monotonic() - begin < 8, (trial, place, value)
    assert min(outcomes.values()) > 20
