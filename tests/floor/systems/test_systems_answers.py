import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from auricle.systems.answers import answers, write_answers

import auricle
from auricle.audio.files import find_audio, read_mono
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.data.clips import windows
from auricle.systems import answers as room
from auricle.systems.mambo.infer import infer
from tests.hostile import make_hostile


def close(ours, theirs):
    """Equal rows; numbers to 1e-5."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        assert {k: v for k, v in one.items() if isinstance(v, str | list) and k != "segments"} == {
            k: v for k, v in other.items() if isinstance(v, str | list) and k != "segments"
        }
        for name in ("score", "p_bonafide", "threshold", "duration_s"):
            assert one.get(name) == pytest.approx(other.get(name), abs=1e-5)
        pairs = zip(one.get("segments", ()), other.get("segments", ()), strict=True)
        assert all(a == pytest.approx(b, abs=1e-5) for a, b in pairs)


@pytest.fixture(scope="module")
def plain(untrained_run, folder):
    """One file after the other."""
    return list(answers(untrained_run, find_audio(folder), workers=1))


def test_files_together_equal_files_alone(untrained_run, folder):
    detector = auricle.load(untrained_run)
    rows = [result.as_dict() for result in infer(detector, [folder])]
    assert [row["input"] for row in rows] == [str(path) for path in find_audio(folder)]
    assert [row["input"].rsplit("/", 1)[1] for row in rows if "error" in row] == ["broken.wav"]
    alone = [detector.detect(row["input"]).as_dict() for row in rows if "error" not in row]
    close([row for row in rows if "error" not in row], alone)


@torch.no_grad()
def test_the_score_is_the_mean_over_windows_and_segments_cover_the_file(untrained_run, folder):
    detector = auricle.load(untrained_run)
    for name in ("short.wav", "two.wav", "mid.wav", "long.wav"):
        result = detector.detect(folder / name)
        wave, _, _ = read_mono(folder / name, 16000)
        output = detector.network(torch.from_numpy(windows(wave, detector.length)))
        assert result.score == pytest.approx(float((output.logits[:, 1] - output.logits[:, 0]).mean()), abs=1e-5)
        assert result.segments[0].start_s == 0
        assert result.segments[-1].end_s == pytest.approx(result.duration_s)
        assert all(a.end_s == b.start_s for a, b in zip(result.segments, result.segments[1:], strict=False))


def test_waves_together_equal_waves_alone(untrained_run):
    detector = auricle.load(untrained_run)
    draws = np.random.default_rng(3)
    waves = [draws.normal(0, 0.1, size).astype(np.float32) for size in (4000, 90_000, 32_000)]
    together = detector.scores(waves, [8000, 44100, 16000])
    alone = [detector.score(wave, rate) for wave, rate in zip(waves, (8000, 44100, 16000), strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_several_threads_give_the_same_rows_and_leave_the_thread_count(untrained_run, folder, plain):
    before = torch.get_num_threads()
    close(list(answers(untrained_run, [folder], workers=3)), plain)
    assert torch.get_num_threads() == before


def test_long_files_are_streamed(untrained_run, folder, monkeypatch):
    from auricle.systems.mambo import infer as module

    whole = auricle.load(untrained_run).detect(folder / "mid.wav")
    monkeypatch.setattr(module, "WHOLE_S", 1.0)
    monkeypatch.setattr(module, "read", lambda path: pytest.fail("a long file was read whole"))
    close([auricle.load(untrained_run).detect(folder / "mid.wav").as_dict()], [whole.as_dict()])


def test_a_missing_input_has_its_line_in_its_place(untrained_run, folder):
    rows = list(answers(untrained_run, [folder / "two.wav", folder / "gone.wav", folder / "short.wav"]))
    assert ["error" in row for row in rows] == [False, True, False]
    assert "does not exist" in rows[1]["error"]


def test_wrong_use_is_refused(untrained_run, folder, tmp_path):
    with pytest.raises(ConfigError, match="local or ray"):
        list(answers(untrained_run, [folder], engine="spark"))
    with pytest.raises(ConfigError, match="at least 1"):
        list(answers(untrained_run, [folder], workers=0))
    with pytest.raises(CheckpointError):
        write_answers(tmp_path, [folder], tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="nothing is known about"):
        write_answers(untrained_run, [folder], tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="cannot be used"):
        list(answers(untrained_run, [folder], cache=folder / "two.wav"))


@pytest.fixture
def counted(monkeypatch):
    """The files that were really scored."""
    scored: list[str] = []
    real = room._loaded

    def loaded(path, plots):
        model, score = real(path, plots)

        def watched(model, paths):
            for result in score(model, paths):
                scored.append(result.input)
                yield result

        return model, watched

    monkeypatch.setattr(room, "_loaded", loaded)
    return scored


def test_the_cache_goes_by_content_and_checkpoint(untrained_run, folder, plain, counted, tmp_path):
    copy = tmp_path / "copy of two.wav"
    copy.write_bytes((folder / "two.wav").read_bytes())
    close(list(answers(untrained_run, [folder], cache=tmp_path / "cache")), plain)
    assert len(counted) == len(plain)
    counted.clear()
    rows = list(answers(untrained_run, [folder, copy], cache=tmp_path / "cache"))
    assert [name.rsplit("/", 1)[1] for name in counted] == ["broken.wav"]  # a refusal is cheap, and not kept
    close(rows[:-1], plain)
    assert rows[-1] == {**next(row for row in rows if row["input"].endswith("/two.wav")), "input": str(copy)}
    copy.write_bytes((folder / "mid.wav").read_bytes())
    counted.clear()
    copy_first = list(answers(untrained_run, [copy], cache=tmp_path / "cache"))
    assert counted == []
    assert copy_first[0]["duration_s"] == 7.3
    assert room.fingerprint(untrained_run)[:32] in {file.stem for file in (tmp_path / "cache").iterdir()}


def test_out_goes_on_where_it_was_and_drops_a_torn_line(untrained_run, folder, plain, counted, tmp_path):
    out = tmp_path / "scores.jsonl"
    done = write_answers(untrained_run, [folder], out)
    assert (done.rows, done.before, done.errors) == (len(plain), 0, 1)
    whole = out.read_text()
    close([json.loads(line) for line in whole.splitlines()], plain)
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:5]) + lines[5][:30])
    counted.clear()
    done = write_answers(untrained_run, [folder], out)
    assert len(counted) == len(plain) - 5
    close([json.loads(line) for line in out.read_text().splitlines()], plain)
    counted.clear()
    write_answers(untrained_run, [folder], out)
    assert counted == []


def test_out_follows_other_inputs_without_scoring_twice(untrained_run, folder, counted, tmp_path):
    files = find_audio(folder)[:6]
    out = tmp_path / "scores.jsonl"
    write_answers(untrained_run, files[1:4], out)
    counted.clear()
    write_answers(untrained_run, files, out)
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [str(path) for path in files]
    assert sorted(counted) == sorted(str(path) for path in (files[0], *files[4:]))
    write_answers(untrained_run, files[:2], out)
    assert len(out.read_text().splitlines()) == 2


def test_a_file_that_was_changed_is_answered_again(untrained_run, folder, counted, tmp_path):
    out, copy = tmp_path / "scores.jsonl", tmp_path / "a.wav"
    copy.write_bytes((folder / "two.wav").read_bytes())
    write_answers(untrained_run, [copy, folder / "short.wav"], out)
    time.sleep(0.02)
    copy.write_bytes((folder / "mid.wav").read_bytes())
    counted.clear()
    write_answers(untrained_run, [copy, folder / "short.wav"], out)
    assert counted == [str(copy)]
    assert [json.loads(line)["duration_s"] for line in out.read_text().splitlines()] == [7.3, 0.4]


def test_a_killed_command_goes_on_to_the_same_file(untrained_run, folder, plain, tmp_path):
    out = tmp_path / "scores.jsonl"
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", untrained_run, folder, "--out", out]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = out.read_bytes()
    assert first
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1  # broken.wav
    assert out.read_bytes().startswith(first[: first.rfind(b"\n") + 1])
    close([json.loads(line) for line in out.read_text().splitlines()], plain)


def test_ray_gives_the_same_lines(untrained_run, folder, plain, auricle):
    pytest.importorskip("ray")
    done = auricle("infer", "mambo", "--run", untrained_run, "--engine", "ray", "--workers", 1, folder, check=False)
    assert done.returncode == 1, done.stderr
    close([json.loads(line) for line in done.stdout.splitlines()], plain)


def test_ray_is_asked_for_where_it_is_needed(untrained_run, folder, monkeypatch):
    from auricle.core import extras
    from auricle.core.errors import MissingExtra

    monkeypatch.setattr(extras, "available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[ray\]"):
        next(answers(untrained_run, [folder], engine="ray"))


def test_hostile_files_get_their_line_with_and_without_a_cache(untrained_run, tmp_path):
    (tmp_path / "files").mkdir()
    cases = [case for case in make_hostile(tmp_path / "files") if not os.path.isdir(case.path)]
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        rows = list(answers(untrained_run, [case.path for case in cases], cache=cache))
        assert [row["input"] for row in rows] == [str(case.path) for case in cases]
        assert ["error" not in row for row in rows] == [case.accept for case in cases]
