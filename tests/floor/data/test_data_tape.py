"""Clips end to end in one file: what is written comes back, and a changed file is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.data import fields, manifest
from auricle.data.tape import read_tape, write_tape


def waves() -> np.ndarray:
    return np.random.default_rng(0).integers(-3000, 3000, (3, 1600)).astype(np.int16)


def written(folder):
    rows = [{"id": f"clip-{number}", fields.LABEL: str(number), fields.LANGUAGE: "fr"} for number in range(3)]
    cuts = write_tape(folder / "audio" / "set.flac", waves(), rows, 16_000)
    manifest.write(cuts, folder / "set.jsonl")
    return list(manifest.read(folder / "set.jsonl"))


def test_clips_come_back_bit_for_bit(tmp_path):
    cuts = written(tmp_path)
    assert [cut.id for cut in cuts] == ["clip-0", "clip-1", "clip-2"]
    assert [cut.custom[fields.LABEL] for cut in cuts] == ["0", "1", "2"]
    assert cuts[0].supervisions[0].language == "fr"
    np.testing.assert_array_equal(read_tape(cuts, 16_000), waves())
    np.testing.assert_array_equal(read_tape(cuts[1:2], 16_000), waves()[1:2])


def test_a_changed_file_is_noticed(tmp_path):
    cuts = written(tmp_path)
    file = tmp_path / "audio" / "set.flac"
    write_tape(file, waves()[:, ::-1].copy(), [{"id": str(n)} for n in range(3)], 16_000)
    with pytest.raises(DataError, match="has changed since its manifest was made"):
        read_tape(cuts, 16_000)
    file.unlink()
    with pytest.raises(DataError):
        read_tape(cuts, 16_000)


def test_what_is_no_tape(tmp_path):
    with pytest.raises(DataError, match="0 clips and 0 rows"):
        write_tape(tmp_path / "x.flac", np.zeros((0, 10), np.int16), [], 16_000)
    with pytest.raises(DataError, match="of 0 files"):
        read_tape([], 16_000)
