"""`evaluate --scores` on official keys: the subset, a column, a verifier's scores."""

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.detection import eer
from auricle.metrics.tandem import asv_errors, min_tdcf
from auricle.systems import pipeline, system
from auricle.systems.mambo.evaluate import evaluate_scores

CODECS, SUBSETS = ("alaw", "g722", "none"), ("eval", "progress", "hidden")


@pytest.fixture
def key(tmp_path):
    """A key of ASVspoof 2021 LA with scores: detection is harder in g722, hopeless outside eval."""
    draws = np.random.default_rng(0)
    lines, scores, facts = [], [], []
    for number in range(900):
        real, codec, subset = number % 3 == 0, CODECS[number // 3 % 3], SUBSETS[number // 9 % 3]
        apart = {"alaw": 3.0, "g722": 1.0, "none": 2.0}[codec] if subset == "eval" else 0.0
        score = float(draws.normal(apart if real else 0.0, 1.0))
        attack = "-" if real else f"A{7 + number % 2:02d}"
        label = "bonafide" if real else "spoof"
        lines.append(f"LA_{number // 30:04d} LA_E_{number} {codec} loc_tx {attack} {label} notrim {subset}")
        scores.append(f"LA_E_{number} {score:.6f}")
        facts.append((score, real, codec, subset))
    (tmp_path / "trial_metadata.txt").write_text("\n".join(lines))
    (tmp_path / "s.txt").write_text("\n".join(scores))
    return facts


@pytest.fixture
def verifier(tmp_path):
    """The verifier's scores of the same challenge."""
    folder = tmp_path / "ASV"
    (folder / "ASVTorch_Kaldi").mkdir(parents=True)
    draws = np.random.default_rng(1)
    lines, scores, facts = [], [], []
    for number in range(900):
        kind = ("target", "nontarget", "spoof")[number % 3]
        codec, subset = CODECS[number // 3 % 3], SUBSETS[number // 9 % 3]
        attack = f"A{7 + number % 2:02d}" if kind == "spoof" else "bonafide"
        score = float(draws.normal({"target": 3.0, "nontarget": -3.0, "spoof": 1.0}[kind], 1.0))
        lines.append(f"LA_{number // 30:04d} LA_E_{number} {codec} loc_tx {attack} {kind} notrim {subset}")
        scores.append(f"LA_{number // 30:04d} LA_E_{number} {score:.6f}")
        facts.append((score, kind, codec, subset))
    (folder / "trial_metadata.txt").write_text("\n".join(lines))
    (folder / "ASVTorch_Kaldi" / "score.txt").write_text("\n".join(scores))
    return folder, facts


def of(found, name):
    return {row.group: row.value for row in found.rows if row.name == name}


def rate(facts, *, codec=None, subset=None):
    chosen = [
        (score, real)
        for score, real, coded, part in facts
        if (codec is None or coded == codec) and (subset is None or part == subset)
    ]
    scores, real = (np.array(column) for column in zip(*chosen, strict=True))
    return 100 * eer(scores[real.astype(bool)], scores[~real.astype(bool)]).eer


def test_eval_is_the_default_of_a_2021_key_and_is_named(key, tmp_path):
    found = evaluate_scores(tmp_path / "s.txt", tmp_path / "trial_metadata.txt")
    assert of(found, "eer")["pooled"] == pytest.approx(rate(key, subset="eval"), abs=1e-4)
    assert found.data == "s, subset eval"
    assert any("subset eval of the key" in text for text in found.warnings)


def test_another_subset_and_all_of_them(key, tmp_path):
    files = tmp_path / "s.txt", tmp_path / "trial_metadata.txt"
    found = evaluate_scores(*files, subset="progress")
    assert of(found, "eer")["pooled"] == pytest.approx(rate(key, subset="progress"), abs=1e-4)
    everything = evaluate_scores(*files, subset="all")
    assert of(everything, "eer")["pooled"] == pytest.approx(rate(key), abs=1e-4)
    assert everything.data == "s"
    with pytest.raises(ConfigError, match="has no subset 'test'; it has eval, hidden, progress"):
        evaluate_scores(*files, subset="test")


def test_by_codec(key, tmp_path):
    found = evaluate_scores(tmp_path / "s.txt", tmp_path / "trial_metadata.txt", by="codec")
    values = of(found, "eer")
    assert list(values) == [*CODECS, "pooled"]
    for codec in CODECS:
        assert values[codec] == pytest.approx(rate(key, codec=codec, subset="eval"), abs=1e-4)
    with pytest.raises(ConfigError, match="has no column 'mood'; it has speaker"):
        evaluate_scores(tmp_path / "s.txt", tmp_path / "trial_metadata.txt", by="mood")


def test_the_tandem_cost_of_each_codec(key, verifier, tmp_path):
    folder, trials = verifier
    files = tmp_path / "s.txt", tmp_path / "trial_metadata.txt"
    found = evaluate_scores(*files, by="codec", asv_scores=folder)
    costs = of(found, "min_tdcf")
    assert list(costs) == [*CODECS, "pooled"]
    kinds = {
        kind: [score for score, own, codec, part in trials if (own, codec, part) == (kind, "g722", "eval")]
        for kind in ("target", "nontarget", "spoof")
    }
    real, fake = (
        [score for score, label, codec, part in key if (label, codec, part) == (wanted, "g722", "eval")]
        for wanted in (True, False)
    )
    expected = min_tdcf(np.array(real), np.array(fake), asv_errors(*kinds.values()), 2021)
    assert costs["g722"] == pytest.approx(expected, abs=1e-4)
    assert of(evaluate_scores(*files), "min_tdcf") == {}


def test_a_part_without_one_class_is_said_and_costs_its_rows(tmp_path):
    (tmp_path / "s.txt").write_text("a 1\nb 2\nc 0\nd 1.5\n")
    (tmp_path / "k.txt").write_text("trial,codec,label\na,x,bonafide\nb,y,bonafide\nc,x,spoof\nd,x,spoof\n")
    found = evaluate_scores(tmp_path / "s.txt", tmp_path / "k.txt", by="codec")
    assert list(of(found, "eer")) == ["x", "pooled"]
    assert "y: there are no spoof trials" in found.warnings
    (tmp_path / "k.txt").write_text("trial,codec,label\na,x,spoof\nb,y,spoof\nc,x,spoof\nd,x,spoof\n")
    with pytest.raises(DataError, match=r"no bona fide trials; an EER needs both classes"):
        evaluate_scores(tmp_path / "s.txt", tmp_path / "k.txt")


def test_tied_scores_whose_official_eer_differs_are_said(tmp_path):
    (tmp_path / "s.txt").write_text("".join(f"t{number} 1\n" for number in range(10)))
    (tmp_path / "k.txt").write_text(
        "".join(f"t{number} {'spoof' if number % 2 else 'bonafide'}\n" for number in range(10))
    )
    found = evaluate_scores(tmp_path / "s.txt", tmp_path / "k.txt")
    assert of(found, "eer")["pooled"] == 50.0
    assert any("scores are tied" in text and "100.00 %" in text for text in found.warnings)


def test_the_command(auricle, key, verifier, tmp_path):
    files = ("--scores", "s.txt", "--key", "trial_metadata.txt")
    shown = auricle("evaluate", "mambo", *files, "--by", "codec", "--asv-scores", "ASV", cwd=tmp_path).stdout
    for word in ("g722", "min_tdcf", "subset eval"):
        assert word in shown
    alone = auricle("evaluate", "mambo", "--run", "r", "--subset", "eval", check=False, cwd=tmp_path)
    assert (alone.returncode, "go with --scores and --key" in alone.stderr) == (2, True)


def test_a_system_without_the_option_says_so_in_one_line(tmp_path, monkeypatch):
    module = system("voice_auth")
    monkeypatch.setattr(module._file(".evaluate"), "evaluate_scores", lambda scores, key: pytest.fail("was run"))
    with pytest.raises(ConfigError, match=r"^auricle evaluate voice_auth --scores has no option --by, --asv-scores$"):
        pipeline.evaluate_scores(module, tmp_path / "s", tmp_path / "k", by="codec", asv_scores=tmp_path)
