"""Ray answers like the local path, line by line, for every clip of the embedded corpus."""

import json

import pytest

pytestmark = pytest.mark.slow


def compare(one, other, where):
    """Equal but for rounding of numbers to 1e-5."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            compare(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            compare(*pair, f"{where}[{place}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-5), where
    else:
        assert one == other, where


def test_ray_equals_local_on_the_embedded_corpus(auricle, tmp_path):
    pytest.importorskip("ray")
    auricle("data", "export", tmp_path / "corpus")
    rows = {}
    for engine in ("local", "ray"):
        out = tmp_path / f"{engine}.jsonl"
        # silent and very short clips of sound are refused, with the same words by both
        auricle("infer", "mambo", tmp_path / "corpus", "--engine", engine, "--out", out, check=False, cwd=tmp_path)
        rows[engine] = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows["local"]) == len(rows["ray"]) > 1000
    for one, other in zip(rows["local"], rows["ray"], strict=True):
        compare(one, other, one["input"])
