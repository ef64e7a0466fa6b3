"""Attack trials and their files: the same trials from NPZ, Parquet and CSV, and what is refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from auricle.core.errors import DataError, MissingExtra
from auricle.data.protocols import read_trials, trial_tables, write_trials
from auricle.metrics.audit import TEXT_COLUMNS, AttackTrials, Column

ROWS = {
    "score": [0.5, 0.25, -1.5, 0.1],
    "kind": ["target", "zero_effort", "spoof", "spoof"],
    "target": ["a", "a", "b", "b"],
    "speaker": ["a", "b", "", "a"],
    "generator": ["", "", "tts", "lpc"],
    "language": ["en", "zh", "en", "en"],
    "condition": ["clean", "snr, 10 dB", "clean", "clean"],
    "domain": ["in", "in", "out", ""],
    "test": ["t1", "t2", "f1", "f2"],
    "detector": [1.0, 2.0, -3.0, 0.5],
}


def same(trials):
    for name in TEXT_COLUMNS:
        column = getattr(trials, name)
        assert list(column) == ROWS[name], name
        assert column.codes.dtype == np.int32
    assert trials.score.tolist() == ROWS["score"]
    assert trials.detector.tolist() == ROWS["detector"]
    return True


def test_columns():
    column = Column.of(["b", "a", "b", ""])
    assert (column == "b").tolist() == [True, False, True, False]
    assert (column != "c").all()
    assert list(column[np.array([3, 1])]) == ["", "a"]
    assert np.asarray(column).tolist() == ["b", "a", "b", ""]
    assert column.present() == ["", "a", "b"]
    long = np.array(["x", "y"])[np.arange(150_000) % 2]
    assert np.array_equal(np.asarray(Column.of(long)), long)
    with pytest.raises(DataError, match="run from 0 to 2, for 2 names"):
        Column([0, 2], ["a", "b"])
    with pytest.raises(DataError, match="same name for two codes: 'a'"):
        Column([0, 1], ["a", "a"])


def test_npz(tmp_path):
    write_trials(tmp_path / "trials.npz", AttackTrials(**ROWS))
    assert same(read_trials(tmp_path / "trials.npz"))
    np.savez(tmp_path / "plain.npz", **{name: np.asarray(values) for name, values in ROWS.items()})
    assert same(read_trials(tmp_path / "plain.npz"))


def test_csv(tmp_path):
    with open(tmp_path / "trials.csv", "w", newline="") as file:
        writer = csv.writer(file)
        names = {"target": "target_spk", "test": "test_path", "detector": "detector_score"}
        writer.writerow([names.get(name, name) for name in ROWS] + ["my_note"])
        writer.writerows([*row, "n"] for row in zip(*ROWS.values(), strict=True))
    assert same(read_trials(tmp_path / "trials.csv"))


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.table(ROWS)
    parquet.write_table(table, tmp_path / "trials.parquet", row_group_size=2)
    assert same(read_trials(tmp_path / "trials.parquet"))
    parquet.write_table(table.set_column(3, "speaker", [["a", None, "b", "b"]]), tmp_path / "gap.parquet")
    with pytest.raises(DataError, match="1 rows have no speaker"):
        read_trials(tmp_path / "gap.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_trials(tmp_path / "bad.parquet")


def test_parquet_names_its_extra(tmp_path, monkeypatch):
    def missing(package, extra, purpose):
        raise MissingExtra(package, extra, purpose)

    monkeypatch.setattr(trial_tables, "require", missing)
    (tmp_path / "trials.parquet").touch()
    with pytest.raises(MissingExtra, match="reading Parquet needs the package 'pyarrow'"):
        read_trials(tmp_path / "trials.parquet")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no column score, kind, target; it has none"),
        ("score,kind\n", "has no column target"),
        ("score,kind,target,colour\n", "has the column 'colour'"),
        ("score,kind,target,target_spk\n", "has both 'target' and 'target_spk'"),
        ("score,kind,target\n1,target\n", "line 2: 2 columns; expected 3"),
        ("score,kind,target\nx,target,a\n", "line 2: score 'x'; expected a number"),
        ("score,kind,target\nnan,target,a\n", "1 of 1 verifier scores are NaN or Inf"),
        ("score,kind,target\n1,clone,a\n", "trial 1 has the kind 'clone'"),
        ("score,kind,target\n1,target,\n", "trial 1 has no target"),
        ("score,kind,target,speaker\n1,target,a,b\n", "trial 1 against 'a' is of the kind target and someone else"),
        ("score,kind,target,speaker\n1,zero_effort,a,a\n", "trial 1 against 'a' is of the kind zero_effort"),
        ("score,kind,target,generator\n1,target,a,tts\n", "trial 1 is real speech with the generator 'tts'"),
        ("score,kind,target,domain\n1,target,a,near\n", "trial 1 has the domain 'near'"),
        ("score,kind,target,test\n1,target,a,x\n1,spoof,a,x\n", "1 clips are real in one trial and spoof in another"),
    ],
)
def test_broken_tables(tmp_path, text, complaint):
    file = tmp_path / "trials.csv"
    file.write_text(text)
    with pytest.raises(DataError) as caught:
        read_trials(file)
    assert complaint in str(caught.value)
    assert "trials.csv" in str(caught.value)


def test_other_files(tmp_path):
    with pytest.raises(DataError, match=r"end in \.npz, \.parquet, \.csv"):
        read_trials(tmp_path / "trials.xlsx")
    with pytest.raises(DataError, match="does not exist"):
        read_trials(tmp_path / "trials.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="cannot be read as an NPZ"):
        read_trials(tmp_path / "bad.npz")
    np.savez(tmp_path / "codes.npz", score=[1.0], kind=[0], target=["a"])
    with pytest.raises(DataError, match="without kind_names; expected text"):
        read_trials(tmp_path / "codes.npz")
    with pytest.raises(DataError, match=r"written as \.npz"):
        write_trials(tmp_path / "trials.csv", AttackTrials(**ROWS))
    with pytest.raises(DataError, match="4 verifier scores and 3 rows of 'kind'"):
        AttackTrials(**(ROWS | {"kind": ROWS["kind"][:3]}))
