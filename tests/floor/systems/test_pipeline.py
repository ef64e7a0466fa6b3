"""How a run goes on: one writer, changed content, refused folders, runs that have nothing left to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_json, write_json
from auricle.core.run import RunFolder
from auricle.systems import pipeline, system
from auricle.systems.contents import contents, values_of
from auricle.systems.pipeline import run_all

HOLDER = """
import sys, time
from pathlib import Path
from auricle.core.run import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lines(tmp_path, steps):
    """A file of two lines."""
    file = tmp_path / "mine.txt"
    file.write_text("a\nb\n")
    return file


@pytest.fixture
def held(tmp_path):
    """A run folder that another process writes, and that process."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def opened(folder):
    cfg, run = pipeline.open_existing("steps", folder)
    return system("steps"), cfg, run


def value(report):
    (row,) = report.metrics
    return row.value


# --- one writer -------------------------------------------------------------------------------------------------------


def test_a_folder_that_another_process_writes_is_refused_by_its_number(held, steps, tmp_path):
    calls = (
        lambda: run_all("steps", "smoke", tmp_path / "run"),
        lambda: pipeline.open_with("steps", "smoke", tmp_path / "run"),
        lambda: run_all("steps", "smoke", tmp_path / "run", overwrite=True),
    )
    for call in calls:
        with pytest.raises(DataError, match=f"the run .*run is being written by process {held.pid}; wait for it"):
            call()
    assert steps == []
    assert held.poll() is None


def test_every_stage_needs_the_folder_for_itself(steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "run")
    steps.clear()
    module, cfg, run = opened(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True)
    try:
        holder.stdout.readline()
        for stage in (pipeline.prepare, pipeline.train, pipeline.evaluate):
            with pytest.raises(DataError, match=f"process {holder.pid};"):
                stage(module, cfg, run)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert steps == []
    assert (run.path / ".lock").exists()
    assert value(pipeline.evaluate(module, cfg, run)) == 0  # the lock of a killed process locks nothing
    assert not (run.path / ".lock").exists()


def test_two_claims_in_one_folder_are_refused(auricle, tmp_path):
    place = tmp_path / "claims" / "quick"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(place)], stdout=subprocess.PIPE, text=True)
    try:
        holder.stdout.readline()
        done = auricle("claims", "unisrcodec", "--folder", tmp_path / "claims", check=False)
    finally:
        holder.kill()
        holder.communicate()
    assert done.returncode == 2
    assert f"the claims in {place} is being written by process {holder.pid}" in done.stderr


# --- what a refusal leaves --------------------------------------------------------------------------------------------


def test_a_refused_run_leaves_nothing_that_blocks_the_next(lines, steps, tmp_path):
    lines.write_text("bad\n")
    for call in (
        lambda: run_all("steps", "smoke", tmp_path / "run", data=str(lines)),
        lambda: run_all("steps", "smoke", tmp_path / "run", data=str(tmp_path / "none.txt")),
        lambda: pipeline.prepare(*pipeline.open_with("steps", "smoke", tmp_path / "run", str(lines))),
        lambda: run_all("steps", "smoke", tmp_path / "run", data=str(lines), seeds=2),
    ):
        with pytest.raises((DataError, ConfigError), match=r"bad line|is no file"):
            call()
        assert not (tmp_path / "run").exists()
    assert value(run_all("steps", "smoke", tmp_path / "run")) == 0


def test_what_the_user_put_there_stays(lines, steps, tmp_path):
    (tmp_path / "run" / "manifests").mkdir(parents=True)
    (tmp_path / "run" / "manifests" / "mine.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="has files in it but no config"):
        run_all("steps", "smoke", tmp_path / "run")
    assert os.listdir(tmp_path / "run") == ["manifests"]
    (tmp_path / "empty").mkdir()
    lines.write_text("bad\n")
    with pytest.raises(DataError, match="bad line"):
        run_all("steps", "smoke", tmp_path / "empty", data=str(lines))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; give the name of a folder"):
        run_all("steps", "smoke", tmp_path / "file")


def test_a_run_that_was_there_keeps_its_config_when_its_data_are_refused(lines, steps, tmp_path):
    pipeline.open_with("steps", "smoke", tmp_path / "run", str(lines))
    pipeline._begun.clear()  # as in a process of its own
    lines.write_text("bad\n")
    with pytest.raises(DataError, match="bad line"):
        run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    assert (tmp_path / "run" / "config.json").exists()


def test_what_a_full_disk_stopped_goes_on(lines, steps, tmp_path):
    lines.write_text("full\n")
    with pytest.raises(DataError, match="no room"):
        run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    assert (tmp_path / "run" / "cache" / "half.jsonl").exists()
    lines.write_text("a\n")
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 1


def test_a_seed_that_is_refused_leaves_the_others(lines, steps, tmp_path, monkeypatch):
    run_all("steps", "smoke", tmp_path / "run" / "seed-0", data=str(lines), settings=["seed=0"])
    shutil.copytree(tmp_path / "run" / "seed-0", tmp_path / "before")
    whole = pipeline.prepare

    def refused(module, cfg, run):
        if cfg.seed == 1:
            monkeypatch.setattr(pipeline, "prepare", whole)
            lines.write_text("bad\n")
        return whole(module, cfg, run)

    monkeypatch.setattr(pipeline, "prepare", refused)
    with pytest.raises(DataError, match="bad line"):
        run_all("steps", "smoke", tmp_path / "run", data=str(lines), seeds=2)
    assert sorted(os.listdir(tmp_path / "run")) == ["cache", "seed-0"]
    assert read_json(tmp_path / "run" / "seed-0" / "report.json") == read_json(tmp_path / "before" / "report.json")


# --- nothing to do ----------------------------------------------------------------------------------------------------


def test_a_complete_run_says_that_it_did_nothing(lines, steps, tmp_path, capsys):
    first = run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    assert "nothing to do" not in capsys.readouterr().err
    assert steps == ["prepare", "train", "evaluate"]
    assert run_all("steps", "smoke", tmp_path / "run", data=str(lines)) == first
    assert capsys.readouterr().err == f"nothing to do: this run is complete ({tmp_path / 'run'})\n"
    assert steps == ["prepare", "train", "evaluate"]


def test_each_seed_says_it(steps, tmp_path, capsys):
    run_all("steps", "smoke", tmp_path / "run", seeds=2)
    capsys.readouterr()
    run_all("steps", "smoke", tmp_path / "run", seeds=2)
    assert capsys.readouterr().err.count("nothing to do: this run is complete") == 2


# --- what changes -----------------------------------------------------------------------------------------------------


def test_changed_content_behind_the_same_path_is_named(lines, steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    steps.clear()
    lines.write_text("a\nb\nc\n")
    message = rf"data\.source={lines}: the content has changed since .*run was prepared, .*--overwrite"
    with pytest.raises(ConfigError, match=message):
        run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    for stage in (pipeline.prepare, pipeline.train, pipeline.evaluate):
        with pytest.raises(ConfigError, match=message):
            stage(*opened(tmp_path / "run"))
    assert steps == []
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines), overwrite=True)) == 3
    assert steps == ["prepare", "train", "evaluate"]
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 3


def test_data_that_nothing_was_trained_on_are_prepared_anew(lines, steps, tmp_path):
    pipeline.prepare(*pipeline.open_with("steps", "smoke", tmp_path / "run", str(lines)))
    lines.write_text("a\n")
    pipeline.prepare(*opened(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").facts("prepare")["lines"] == 1
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 1


def test_a_touched_or_missing_file_is_no_change(lines, steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    os.utime(lines, (1, 1))
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 2
    lines.unlink()
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 2


def test_a_run_of_before_contents_were_kept_goes_on(lines, steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    stages = read_json(tmp_path / "run" / "stages.json")
    for facts in stages.values():
        facts.pop("contents", None)
    write_json(tmp_path / "run" / "stages.json", stages)
    lines.write_text("other\n")
    assert value(run_all("steps", "smoke", tmp_path / "run", data=str(lines))) == 2


def test_changed_audio_of_the_data_is_named(lines, steps, tmp_path):
    sound = tmp_path / "a.wav"
    sound.write_bytes(bytes(1000))
    lines.write_text(f"{sound}\n")
    run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    os.utime(sound, (time.time() + 60, time.time() + 60))  # another date alone
    run_all("steps", "smoke", tmp_path / "run", data=str(lines))
    sound.write_bytes(bytes(999) + b"x")
    os.utime(sound, (time.time() + 60, time.time() + 60))
    with pytest.raises(ConfigError, match=rf"{sound}: the content has changed since"):
        run_all("steps", "smoke", tmp_path / "run", data=str(lines))


def test_audio_of_a_manifest_that_says_nothing_of_it_is_remembered_when_it_is_prepared(tmp_path):
    import numpy as np
    import soundfile

    from auricle.data import manifest
    from auricle.data.clips import load_clips
    from auricle.data.labelled import split_manifest

    draws, rows = np.random.default_rng(0), []
    for index in range(6):
        file = tmp_path / f"{index}.wav"
        soundfile.write(file, draws.normal(0, 0.1, 8000), 16_000)
        label = ("bonafide", "spoof")[index % 2]
        row = manifest.cut(file.name, file, {"label": label, "split": ("train", "dev", "test")[index // 2]}).to_dict()
        del row["custom"]["fingerprint"]  # as other tools write it
        rows.append(json.dumps(row))
    (tmp_path / "m.jsonl").write_text("\n".join(rows) + "\n")
    parts, _ = split_manifest(str(tmp_path / "m.jsonl"), 0)
    manifest.write(parts["test"], tmp_path / "run" / "test.jsonl")
    assert len(load_clips(manifest.read(tmp_path / "run" / "test.jsonl"), 16_000)) == 2
    soundfile.write(tmp_path / "5.wav", draws.normal(0, 0.1, 8000), 16_000)
    with pytest.raises(DataError, match=r"5\.wav has changed since its manifest was made"):
        load_clips(manifest.read(tmp_path / "run" / "test.jsonl"), 16_000)


def test_weights_behind_a_path_are_named_and_what_is_only_measured_with_is_measured_again(steps, tmp_path, capsys):
    for name in ("encoder", "vocoder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.bin").write_bytes(b"one")
    settings = [f"encoder={tmp_path / 'encoder'}", f"eval.vocoder={tmp_path / 'vocoder'}"]
    run_all("steps", "smoke", tmp_path / "run", settings=settings)
    (tmp_path / "vocoder" / "model.bin").write_bytes(b"two")
    run_all("steps", "smoke", tmp_path / "run", settings=settings)
    assert steps == ["prepare", "train", "evaluate", "evaluate"]
    assert "eval.vocoder: the content has changed since" in capsys.readouterr().err
    run_all("steps", "smoke", tmp_path / "run", settings=settings)
    assert steps == ["prepare", "train", "evaluate", "evaluate"]
    (tmp_path / "encoder" / "more.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"encoder=.*encoder: the content has changed"):
        run_all("steps", "smoke", tmp_path / "run", settings=settings)


def test_a_setting_that_decides_nothing_is_refused(steps, tmp_path):
    with pytest.raises(ConfigError, match=r"eval\.loudness=2 would decide nothing: eval\.vocoder has its own"):
        run_all("steps", "smoke", tmp_path / "run", settings=["eval.vocoder=x", "eval.loudness=2"])
    assert not (tmp_path / "run").exists()


def test_paths_are_found_with_what_stands_around_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.bin").write_bytes(b"one")
    (tmp_path / "embedded").mkdir()  # a corpus has that name
    given = {
        "verifier": {"spec": "ecapa:w.bin"},
        "eval": {"peers": ["x=w.bin@2", "none"]},
        "data": {"source": "embedded", "seen": ["w.bin"]},
        "model": {"encoder": "w.bin", "layers": 2, "decoder": None},
    }
    assert set(contents(given)) == {"verifier.spec", "eval.peers", "model.encoder"}
    assert values_of(given)["verifier.spec"] == "ecapa:w.bin"
    before = contents(given)
    os.mkfifo(tmp_path / "pipe")
    assert set(contents({"data": {"source": "pipe"}})) == {"data.source"}  # who reads it refuses it
    (tmp_path / "w.bin").write_bytes(b"two")
    assert all(contents(given)[key] != name for key, name in before.items())


def test_the_numbers_of_an_onnx_model_lie_beside_it_and_a_name_of_weights_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("big[1].onnx", "other.onnx", "big1.onnx.data"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "ge2e").mkdir()
    given = {"verifier": {"spec": "onnx:big[1].onnx"}, "peer": {"spec": "other.onnx"}, "third": {"spec": "ge2e"}}
    before = contents(given)
    assert set(before) == {"verifier.spec", "peer.spec"}
    (tmp_path / "big[1].onnx.data").write_bytes(b"numbers")
    after = contents(given)
    assert after["peer.spec"] == before["peer.spec"]
    assert after["verifier.spec"] != before["verifier.spec"]
    (tmp_path / "big[1].onnx.data").write_bytes(b"others!")
    assert contents(given, ["verifier.spec"]).keys() == {"verifier.spec"}
    assert contents(given)["verifier.spec"] != after["verifier.spec"]


def test_of_a_run_of_several_seeds_the_one_that_answers_counts(steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "two", seeds=2)
    given = {"detector": {"run": str(tmp_path / "two")}}
    before = contents(given)
    (tmp_path / "two" / "report.json").write_text("{}")
    (tmp_path / "two" / "seed-1" / "checkpoints" / "final" / "meta.json").write_text('{"a": 1}')
    assert contents(given) == before
    (tmp_path / "two" / "seed-0" / "checkpoints" / "final" / "meta.json").write_text('{"a": 1}')
    assert contents(given) != before


def test_of_a_run_its_config_and_final_checkpoint_count(steps, tmp_path):
    run_all("steps", "smoke", tmp_path / "other")
    before = contents({"detector": {"run": str(tmp_path / "other")}})
    (tmp_path / "other" / "metrics.jsonl").write_text("{}\n")
    assert contents({"detector": {"run": str(tmp_path / "other")}}) == before
    (tmp_path / "other" / "checkpoints" / "final" / "meta.json").write_text('{"a": 1}')
    assert contents({"detector": {"run": str(tmp_path / "other")}}) != before
    assert json.loads((Path(tmp_path) / "other" / "stages.json").read_text())["prepare"]["contents"] == {}
