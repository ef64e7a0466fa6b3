"""The real command, end to end, on the embedded corpus with a verifier whose weights come inside a package."""

from __future__ import annotations

import json

import pytest
import soundfile

from auricle.core.report import Report
from auricle.data import manifest


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("voice_auth")


def rows(report, name, baseline=None):
    return {row.group: row for row in report.metrics if row.name == name and row.baseline == baseline}


def test_the_verifier_beats_chance_and_resynthesis_beats_the_verifier(run):
    report = Report.load(run / "report.json")
    assert report.toy
    assert rows(report, "eer")["all"].value < 25.0 < rows(report, "eer", "chance")["all"].value
    bypass = rows(report, "bypass_rate")
    assert bypass["FAR 5 %: griffin_lim"].value > 30.0
    assert bypass["FAR 5 %: griffin_lim"].ci95 is not None
    shown = (run.parent / "stdout.txt").read_text()
    for word in ("TOY RESULT", "bypass_rate", "false_rejection", "tandem_bypass_rate", "lfcc_gmm", "passes"):
        assert word in shown


def test_trials_and_synthetic_clips_are_kept(run):
    assert (run / "scores" / "verifier.npz").is_file()
    names = [path.name for path in (run / "cache").glob("audio-*/*--*-synthetic.flac")]
    assert len(names) >= 60


def test_infer_gives_one_line_an_input_and_finds_the_voice(run, auricle, tmp_path):
    cuts = [cut for cut in manifest.read(run / "manifests" / "clips.jsonl") if cut.custom["role"] == "enrol"][:4]
    paths = [cut.recording.sources[0].source for cut in cuts]
    (tmp_path / "bad.wav").write_text("this is not audio")
    done = auricle("infer", "voice_auth", "--run", run, *paths, tmp_path / "bad.wav", check=False)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in found] == [*map(str, paths), str(tmp_path / "bad.wav")]
    assert [row["best_match"] for row in found[:4]] == [cut.custom["target"] for cut in cuts]
    assert set(found[-1]) == {"input", "error"}
    assert soundfile.info(paths[0]).samplerate == 16000


def test_a_verifier_that_does_not_exist_is_named(auricle, tmp_path):
    settings = ("verifier.spec=parrot",)
    done = auricle("run", "voice_auth", "--preset", "smoke", "--run", tmp_path / "r", *settings, check=False)
    assert done.returncode == 2
    assert "parrot" in done.stderr
    assert "ge2e" in done.stderr
    assert not (tmp_path / "r" / "cache").exists()  # told before anything was made


def test_scores_of_any_system_need_no_model(auricle, tmp_path):
    lines = ["target_spk,enrol_ids,test_path,kind,generator,train_minutes,condition"]
    scores = []
    for speaker in "ab":
        for clip in range(3):
            for kind, test, score in (
                ("target", f"{speaker}{clip}", 0.9),
                ("zero_effort", f"x{speaker}{clip}", 0.1 + clip / 10),
                ("spoof", f"fake-{speaker}{clip}", 0.95),
            ):
                lines.append(f"{speaker},{speaker}-e,{test},{kind},{'clone' if kind == 'spoof' else ''},,")
                scores.append(f"{test} {score}")
    (tmp_path / "key.csv").write_text("\n".join(lines))
    (tmp_path / "scores.txt").write_text("\n".join(scores))
    shown = auricle("evaluate", "voice_auth", "--scores", "scores.txt", "--key", "key.csv", cwd=tmp_path).stdout
    assert "nothing is printed below 300" in shown  # six impostor trials carry no target
    assert "eer" in shown
    with open(tmp_path / "key.csv", "a") as key:
        key.write(f"\n{lines[1]}")
    done = auricle("evaluate", "voice_auth", "--scores", "scores.txt", "--key", "key.csv", cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "was already in line 2" in done.stderr
