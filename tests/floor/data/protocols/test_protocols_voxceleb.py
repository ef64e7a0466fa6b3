"""VoxCeleb's trial lists, and broken ones."""

from __future__ import annotations

import pytest

from auricle.core.errors import DataError
from auricle.data.protocols import read_voxceleb

LIST = "1 id10270/x/1.wav id10270/y/2.wav\r\n0 id10270/x/1.wav id10300/z/1.wav\n\n"


def test_trials(tmp_path):
    (tmp_path / "veri_test2.txt").write_bytes(LIST.encode())
    trials = read_voxceleb(tmp_path)
    assert [(t.same, t.claimed, t.speaker, t.enrol, t.test, t.line) for t in trials] == [
        (True, "id10270", "id10270", "id10270/x/1.wav", "id10270/y/2.wav", 1),
        (False, "id10270", "id10300", "id10270/x/1.wav", "id10300/z/1.wav", 2),
    ]


def test_all_missing_files_are_named_once(tmp_path):
    (tmp_path / "veri_test2.txt").write_text(LIST)
    (tmp_path / "id10270/y").mkdir(parents=True)
    (tmp_path / "id10270/y/2.wav").touch()
    with pytest.raises(DataError) as caught:
        read_voxceleb(tmp_path, tmp_path)
    assert "2 of 3 files are not below" in str(caught.value)
    assert "line 1: id10270/x/1.wav\nline 2: id10300/z/1.wav" in str(caught.value)
    for name in ("id10270/x/1.wav", "id10300/z/1.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert len(read_voxceleb(tmp_path, tmp_path)) == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("1 a/1.wav\n", "line 1: 2 columns; expected 3"),
        ("2 a/1.wav a/2.wav\n", "line 1: label '2'; expected one of 1, 0"),
        ("1 1.wav a/2.wav\n", "line 1: path '1.wav'; expected speaker/.../file"),
        ("1 a/1.wav b/2.wav\n", "line 1: label 1 says one speaker"),
        ("0 a/1.wav a/2.wav\n", "line 1: label 0 says two speakers"),
        ("1 a/1.wav a/1.wav\n", "line 1: a/1.wav is tried against itself"),
        ("1 a/1.wav a/2.wav\n1 a/1.wav a/2.wav\n", "line 2: a/1.wav against a/2.wav was already in line 1"),
    ],
)
def test_broken(tmp_path, text, complaint):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        read_voxceleb(tmp_path / "list.txt")
    assert complaint in str(caught.value)
