"""Answers to many requests: threads, Ray, cache and resume; with the packaged model, and with a fake system."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from auricle.audio.files import find_audio
from auricle.core.answers import Refused
from auricle.core.cache import content_key
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.request import Request
from auricle.systems import engines, inference, load, system
from auricle.systems.answer_file import write_answers
from auricle.systems.inference import answers, fingerprint, in_order, request_key
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
def plain(run, folder):
    """One file after the other."""
    return list(answers(run, find_audio(folder), workers=1))


def test_several_threads_give_the_same_rows_and_leave_the_thread_count(run, folder, plain):
    before = torch.get_num_threads()
    close(list(answers(run, [folder], workers=3)), plain)
    assert torch.get_num_threads() == before


def test_a_missing_input_has_its_line_in_its_place(run, folder):
    rows = list(answers(run, [folder / "two.wav", folder / "gone.wav", folder / "short.wav"]))
    assert ["error" in row for row in rows] == [False, True, False]
    assert "does not exist" in rows[1]["error"]


def test_wrong_use_is_refused(run, folder, tmp_path):
    with pytest.raises(ConfigError, match="local or ray"):
        list(answers(run, [folder], engine="spark"))
    with pytest.raises(ConfigError, match="at least 1"):
        list(answers(run, [folder], workers=0))
    with pytest.raises(CheckpointError):
        write_answers(tmp_path, [folder], tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match="nothing is known about"):
        write_answers(run, [folder], tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="cannot be used"):
        list(answers(run, [folder], cache=folder / "two.wav"))


@pytest.fixture
def counted(monkeypatch):
    """The inputs that were really answered."""
    made: list[str] = []
    rows_of = engines.rows_of

    def watched(*arguments):
        for row in rows_of(*arguments):
            made.append(row["input"])
            yield row

    monkeypatch.setattr(engines, "rows_of", watched)
    return made


def test_the_cache_goes_by_content_and_checkpoint(run, folder, plain, counted, tmp_path):
    copy = tmp_path / "copy of two.wav"
    copy.write_bytes((folder / "two.wav").read_bytes())
    close(list(answers(run, [folder], cache=tmp_path / "cache")), plain)
    assert len(counted) == len(plain)
    counted.clear()
    rows = list(answers(run, [folder, copy], cache=tmp_path / "cache"))
    assert [name.rsplit("/", 1)[1] for name in counted] == ["broken.wav"]  # a refusal is cheap, and not kept
    close(rows[:-1], plain)
    assert rows[-1] == {**next(row for row in rows if row["input"].endswith("/two.wav")), "input": str(copy)}
    copy.write_bytes((folder / "mid.wav").read_bytes())
    counted.clear()
    copy_first = list(answers(run, [copy], cache=tmp_path / "cache"))
    assert counted == []
    assert copy_first[0]["duration_s"] == 7.3
    assert fingerprint(run)[:32] in {file.stem for file in (tmp_path / "cache").iterdir()}


def test_answers_of_an_older_way_to_make_them_are_not_current(run, folder, counted, tmp_path, monkeypatch):
    sound, out = folder / "two.wav", tmp_path / "answers.jsonl"
    with monkeypatch.context() as older:
        older.setattr(inference, "ANSWERS", inference.ANSWERS - 1)
        list(answers(run, [sound], cache=tmp_path / "cache"))
        write_answers(run, [sound], out)
    counted.clear()
    list(answers(run, [sound], cache=tmp_path / "cache"))
    assert len(counted) == 1
    with pytest.raises(ConfigError, match="another checkpoint or version"):
        write_answers(run, [sound], out)
    list(answers(run, [sound], cache=tmp_path / "cache"))
    assert len(counted) == 1


def test_out_goes_on_where_it_was_and_drops_a_torn_line(run, folder, plain, counted, tmp_path):
    out = tmp_path / "scores.jsonl"
    done = write_answers(run, [folder], out)
    assert (done.rows, done.before, done.errors) == (len(plain), 0, 1)
    whole = out.read_text()
    close([json.loads(line) for line in whole.splitlines()], plain)
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:5]) + lines[5][:30])
    counted.clear()
    done = write_answers(run, [folder], out)
    assert len(counted) == len(plain) - 5
    close([json.loads(line) for line in out.read_text().splitlines()], plain)
    counted.clear()
    write_answers(run, [folder], out)
    assert counted == []


def test_out_follows_other_inputs_without_scoring_twice(run, folder, counted, tmp_path):
    files = find_audio(folder)[:6]
    out = tmp_path / "scores.jsonl"
    write_answers(run, files[1:4], out)
    counted.clear()
    write_answers(run, files, out)
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [str(path) for path in files]
    assert sorted(counted) == sorted(str(path) for path in (files[0], *files[4:]))
    write_answers(run, files[:2], out)
    assert len(out.read_text().splitlines()) == 2


def test_a_file_that_was_changed_is_answered_again(run, folder, counted, tmp_path):
    out, copy = tmp_path / "scores.jsonl", tmp_path / "a.wav"
    copy.write_bytes((folder / "two.wav").read_bytes())
    write_answers(run, [copy, folder / "short.wav"], out)
    time.sleep(0.02)
    copy.write_bytes((folder / "mid.wav").read_bytes())
    counted.clear()
    write_answers(run, [copy, folder / "short.wav"], out)
    assert counted == [str(copy)]
    assert [json.loads(line)["duration_s"] for line in out.read_text().splitlines()] == [7.3, 0.4]


def test_a_killed_command_goes_on_to_the_same_file(run, folder, plain, tmp_path):
    out = tmp_path / "scores.jsonl"
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", run, folder, "--out", out]
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


def test_ray_gives_the_same_lines(run, folder, plain, auricle):
    pytest.importorskip("ray")
    done = auricle("infer", "mambo", "--run", run, "--engine", "ray", "--workers", 1, folder, check=False)
    assert done.returncode == 1, done.stderr
    close([json.loads(line) for line in done.stdout.splitlines()], plain)


class NoRay:
    """A Ray whose workers are killed, however often a batch is tried."""

    exceptions = SimpleNamespace(RayError=RuntimeError)
    DataContext = SimpleNamespace(get_current=SimpleNamespace)
    ActorPoolStrategy = dict

    def __init__(self):
        self.how = {}

    def is_initialized(self):
        return True

    def cluster_resources(self):
        return {"CPU": 2}

    def from_items(self, rows, override_num_blocks):
        return self

    def map_batches(self, worker, **how):
        self.how = how
        return self

    def iter_rows(self):
        raise RuntimeError("worker.py, line 1\nThe actor is gone.")


def test_a_batch_that_kills_its_worker_is_not_tried_for_ever(run, folder, monkeypatch):
    ray = NoRay()
    monkeypatch.setattr(engines, "require", lambda *package: ray)
    with pytest.raises(DataError, match=r"^Ray's workers failed: The actor is gone; try --engine local"):
        next(answers(run, [folder / "two.wav"], engine="ray", workers=1))
    assert 0 < ray.how["max_task_retries"] < 10


def test_ray_is_asked_for_where_it_is_needed(run, folder, monkeypatch):
    from auricle.core import extras
    from auricle.core.errors import MissingExtra

    monkeypatch.setattr(extras, "available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[ray\]"):
        next(answers(run, [folder], engine="ray"))


def test_hostile_files_get_their_line_with_and_without_a_cache(run, tmp_path):
    (tmp_path / "files").mkdir()
    cases = [case for case in make_hostile(tmp_path / "files") if not os.path.isdir(case.path)]
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        rows = list(answers(run, [case.path for case in cases], cache=cache))
        assert [row["input"] for row in rows] == [str(case.path) for case in cases]
        assert ["error" not in row for row in rows] == [case.accept for case in cases]


def test_python_takes_files_folders_and_requests_in_order(run, folder, plain):
    one = system("mambo")
    files = [str(path) for path in find_audio(folder)]
    inputs = [folder, Request(audio=folder / "two.wav"), folder / "gone.wav", Request(text="who?")]
    rows = [answer.as_dict() for answer in one.infer(load(run), inputs)]
    close(rows[: len(files)], plain)
    assert [row["input"] for row in rows] == [*files, str(folder / "two.wav"), str(folder / "gone.wav"), "who?"]
    assert "does not exist" in rows[-2]["error"]
    assert rows[-1]["error"] == "'mambo' takes no text; it takes audio"


def test_what_is_known_stands_between_what_is_made_however_far_ahead_it_is_read():
    asked = [Request(text=str(number)) for number in range(20)]
    asked[3] = Refused("3", "no")

    def known(one):
        if isinstance(one, Refused):
            return "refused"
        return f"old {one.text}" if int(one.text) % 4 == 1 else None

    def ahead(requests):
        waiting = []
        for request in requests:
            waiting.append(request)
            if len(waiting) == 5:
                yield from (f"new {one.text}" for one in waiting)
                waiting.clear()
        yield from (f"new {one.text}" for one in waiting)

    rows = list(in_order(iter(asked), ahead, known))
    assert [one for one, _, _ in rows] == asked
    for number, (_, row, made) in enumerate(rows):
        kind = "refused" if number == 3 else "old" if number % 4 == 1 else "new"
        assert row.split()[0] == kind
        assert made == (kind == "new")
    assert [row for _, row, _ in in_order(asked[1:2], ahead, known)] == ["old 1"]
    assert list(in_order([], ahead, known)) == []


# --- the whole request counts -----------------------------------------------------------------------------------------


@pytest.fixture
def sound(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(b"any bytes")
    return file


def test_the_key_of_a_request_is_its_content_with_words_and_values(sound, tmp_path):
    copy, picture = tmp_path / "b.wav", tmp_path / "c.png"
    copy.write_bytes(sound.read_bytes())
    picture.write_bytes(sound.read_bytes())
    assert request_key(Request(audio=sound)) == content_key(sound)  # as caches of audio alone always were
    asked = Request(audio=sound, text="who?", more={"n": 2})
    assert request_key(asked) == request_key(Request(audio=copy, text="who?", more={"n": 2}))
    others = [
        Request(audio=sound),
        Request(audio=sound, text="who?"),
        Request(audio=sound, text="what?", more={"n": 2}),
        Request(audio=sound, text="who?", more={"n": 3}),
        Request(audio=sound, text="who?", image=picture, more={"n": 2}),
        Request(image=picture, text="who?", more={"n": 2}),
        Request(text="who?", more={"n": 2}),
    ]
    assert len({request_key(one) for one in (asked, *others)}) == len(others) + 1
    assert request_key(asked, tmp_path / "out") != request_key(asked)
    with pytest.raises(DataError, match=r"gone\.wav cannot be read"):
        request_key(Request(audio=tmp_path / "gone.wav", text="who?"))


def test_the_cache_knows_a_question_by_all_of_it(echo, answered, sound, tmp_path):
    folder = echo()
    copy = tmp_path / "b.wav"
    copy.write_bytes(sound.read_bytes())
    asked = [Request(audio=sound, text=text, more={"n": n}) for text, n in (("who?", 1), ("what?", 1), ("who?", 2))]
    asked += [Request(audio=sound), Request(text="who?"), Request(text="refuse")]
    first = list(answers(folder, asked, cache=tmp_path / "cache"))
    assert first[0] == {
        "input": str(sound),
        "request": {"text": "who?", "n": 1},
        "words": "who?",
        "sizes": {"wav": 9},
        "warnings": [],
    }
    assert "request" not in first[3]
    assert first[5] == {"input": "refuse", "error": "I will not"}
    assert answered == asked
    answered.clear()
    again = [*asked, Request(audio=copy, text="who?", more={"n": 1}), Request(audio=sound, text="who?")]
    rows = list(answers(folder, again, cache=tmp_path / "cache"))
    assert rows[:6] == first
    assert rows[6] == {**first[0], "input": str(copy)}
    assert answered == [asked[5], again[-1]]  # a refusal is not kept; the last was never asked


def test_out_goes_on_by_the_whole_request(echo, answered, sound, tmp_path):
    folder, out = echo(), tmp_path / "answers.jsonl"
    asked = [Request(audio=sound, text=text) for text in ("a", "b", "c")] + [Request(text="a"), Request(text="b")]
    done = write_answers(folder, asked, out)
    assert (done.rows, done.before, done.errors) == (5, 0, 0)
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:2]) + lines[2][:9])
    answered.clear()
    assert write_answers(folder, asked, out).before == 2
    assert answered == asked[2:]
    assert out.read_text() == whole
    answered.clear()
    other = [asked[0], Request(audio=sound, text="b", more={"n": 2}), *asked[2:]]
    write_answers(folder, other, out)
    assert answered == [other[1]]
    assert [json.loads(line).get("request") for line in out.read_text().splitlines()] == [
        {"text": "a"},
        {"text": "b", "n": 2},
        {"text": "c"},
        None,
        None,
    ]


def test_files_that_answers_write_have_names_of_their_own(echo, answered, sound, tmp_path):
    folder, out_dir = echo(gives=("json", "audio")), tmp_path / "out"
    asked = [Request(text="one two"), Request(audio=sound, text="x"), Request(audio=sound, text="y")]
    with pytest.raises(ConfigError, match="'echo' gives audio; say where to with --out-dir"):
        list(answers(folder, asked))
    rows = list(answers(folder, asked, out_dir=out_dir, cache=tmp_path / "cache"))
    files = [Path(row["sound"]) for row in rows]
    assert [file.read_text() for file in files] == ["one two", "x", "y"]
    assert len(set(files)) == 3
    assert files[0].name.startswith("one-two-")
    assert all(file.name.startswith("a-") and file.parent == out_dir for file in files[1:])
    assert {tuple(row) for row in rows} == {
        ("input", "words", "sizes", "warnings", "sound"),
        ("input", "request", "words", "sizes", "warnings", "sound"),
    }
    answered.clear()
    files[1].unlink()
    assert list(answers(folder, asked, out_dir=out_dir, cache=tmp_path / "cache")) == rows
    assert answered == [asked[1]]  # its file was gone
    assert files[1].read_text() == "x"


def test_an_input_is_never_written_over(echo, tmp_path):
    folder = echo(gives=("json", "audio"))
    plain = Request(audio=tmp_path / "a.txt")
    plain.audio.write_text("mine")
    (row,) = answers(folder, [plain], out_dir=tmp_path)
    moved = Request(audio=plain.audio.rename(row["sound"]))
    before = moved.audio.read_bytes()
    name = engines.output_name(moved, "", ".txt")
    (tmp_path / name).symlink_to(moved.audio)  # the name that its answer would have is the input itself
    (row,) = answers(folder, [moved], out_dir=tmp_path)
    assert "is an input of the request; give another --out-dir" in row["error"]
    assert moved.audio.read_bytes() == before


def test_a_system_that_writes_nothing_takes_no_folder(echo, tmp_path):
    with pytest.raises(ConfigError, match="'echo' writes no files beside its lines; leave out --out-dir"):
        list(answers(echo(), [Request(text="a")], out_dir=tmp_path))


def test_rays_workers_get_whole_requests(echo, answered, sound):
    asked = [Request(audio=sound, text="who?", more={"n": 2, "tags": ["a"]}), Request(text="refuse")]
    texts = np.array([json.dumps(one.as_dict()) for one in asked])
    back = engines._Worker(echo(), None)({"place": np.arange(2), "request": texts})
    assert answered == asked
    assert back["place"].tolist() == [0, 1]
    assert [json.loads(row) for row in back["row"]] == list(answers(echo(), asked))
