"""VoiceBench and MMAU on hand-made files in the published formats."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core.errors import ConfigError, DataError
from auricle.data.choices import read_items, write_items
from auricle.data.protocols import read_mmau, read_voicebench
from auricle.data.protocols.voicebench import spoken_options

PROMPT = "Which gas do plants take in?\nA. oxygen\nB. carbon dioxide\nC. helium\nD. neon"


def wav_bytes() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(1600, np.float32), 16000, format="WAV")
    return out.getvalue()


def mmau_row(name: str, folder: Path, **changed) -> dict:
    audio = folder / "test-mini-audios"
    audio.mkdir(exist_ok=True)
    (audio / f"{name}.wav").write_bytes(wav_bytes())
    return {
        "id": name,
        "audio_id": f"./test-mini-audios/{name}.wav",
        "question": "What is heard?",
        "choices": ["Man", "Woman", "Child", "Robot"],
        "answer": "Woman",
        "dataset": "AudioSet",
        "task": "sound",
        "split": "test-mini",
        "category": "Reasoning",
        "sub-category": "Acoustic Source Inference",
        "difficulty": "medium",
        **changed,
    }


def write_mmau(folder: Path, rows: list[dict]) -> Path:
    path = folder / "mmau-test-mini.json"
    path.write_text(json.dumps(rows))
    return path


def test_mmau_json(tmp_path):
    rows = [mmau_row("a", tmp_path), mmau_row("b", tmp_path, task="music", answer=None, category=["Reasoning"])]
    first, second = read_mmau(write_mmau(tmp_path, rows), "old")
    assert (first.id, first.domain, first.task, first.options, first.answer) == (
        "a",
        "sound",
        "mmau",
        ("Man", "Woman", "Child", "Robot"),
        1,
    )
    assert first.text == "Woman"
    assert first.subset == "Acoustic Source Inference"
    assert first.facts["version"] == "old"
    assert Path(str(first.clip)) == tmp_path / "test-mini-audios" / "a.wav"
    assert (second.domain, second.answer, second.letter) == ("music", None, None)  # withheld
    assert second.facts["category"] == "Reasoning"
    write_items(tmp_path / "items.jsonl", [first, second])
    assert read_items(tmp_path / "items.jsonl") == [first, second]


def test_mmau_parquet_with_audio_inside_and_letters_before_choices(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table.from_pylist(
        [
            {
                "context": {"bytes": wav_bytes(), "path": None},
                "instruction": "Who speaks?",
                "choices": ["(A) Man", "(B) Woman"],
                "answer": "(B) Woman",
                "other_attributes": json.dumps({"id": "x/1", "task": "speech", "category": ["Reasoning"]}),
            }
        ]
    )
    file = tmp_path / "test_mini.parquet"
    parquet.write_table(table, file)
    with pytest.raises(DataError, match=r"row 1: its audio lies inside the row; say in unpack_to"):
        read_mmau(file, "v05.15.25")
    (item,) = read_mmau(tmp_path, "v05.15.25", unpack_to=tmp_path / "audio")
    assert (item.options, item.answer, item.domain) == (("Man", "Woman"), 1, "speech")
    # the scorer takes the texts as the file has them
    assert (item.facts["choices"], item.facts["answer"]) == (["(A) Man", "(B) Woman"], "(B) Woman")
    assert Path(str(item.clip)) == tmp_path / "audio" / "x_1.wav"
    assert soundfile.info(str(item.clip)).frames == 1600


def test_mmau_keeps_a_models_output(tmp_path):
    rows = [mmau_row("a", tmp_path, model_output="the woman"), mmau_row("b", tmp_path, model_prediction="a robot")]
    assert [item.facts["output"] for item in read_mmau(write_mmau(tmp_path, rows), "old")] == ["the woman", "a robot"]


def test_mmau_answers_may_differ_in_case_and_choices_be_json(tmp_path):
    row = mmau_row("a", tmp_path, choices=json.dumps(["Man", "Woman "]), answer="woman")
    (item,) = read_mmau(write_mmau(tmp_path, [row]), "old")
    assert item.answer == 1
    assert item.facts["answer"] == "Woman "


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answer": "Dog"}, "the answer 'Dog' is none of the choices Man, Woman, Child, Robot"),
        ({"audio_id": "./test-mini-audios/none.wav"}, "its audio ./test-mini-audios/none.wav is not below"),
        ({"audio_id": None}, "it names no audio"),
        ({"choices": ["Man"]}, "it has no list of at least 2 choices"),
        ({"task": "noise"}, "task 'noise'; expected one of sound, music, speech"),
        ({"id": ""}, "it has no id"),
        ({"question": None}, "it has no question or instruction"),
    ],
)
def test_mmau_complains_with_file_and_row(tmp_path, changed, said):
    path = write_mmau(tmp_path, [mmau_row("a", tmp_path), mmau_row("b", tmp_path, **changed)])
    with pytest.raises(DataError, match="1 row") as raised:
        read_mmau(path, "old")
    assert f"{path}, row 2: {said}" in str(raised.value)


def test_an_id_that_is_there_twice(tmp_path):
    path = write_mmau(tmp_path, [mmau_row("a", tmp_path), mmau_row("a", tmp_path)])
    with pytest.raises(DataError, match=r"row 2: the id a is in .*row 1 too"):
        read_mmau(path, "old")


def test_every_complaint_is_in_one_message_up_to_twenty(tmp_path):
    rows = [mmau_row(str(number), tmp_path, answer="Dog") for number in range(23)]
    with pytest.raises(DataError, match="23 row") as raised:
        read_mmau(write_mmau(tmp_path, rows), "old")
    assert "row 20:" in str(raised.value)
    assert "row 21:" not in str(raised.value)
    assert "3 more" in str(raised.value)


def test_an_audio_path_does_not_leave_its_folder(tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav_bytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    path = write_mmau(inner, [mmau_row("a", inner, audio_id="../secret.wav")])
    with pytest.raises(DataError, match="is not below"):
        read_mmau(path, "old")


def test_unknown_versions_and_missing_folders(tmp_path):
    with pytest.raises(ConfigError, match="no version 'new'; use old or v05"):
        read_mmau(tmp_path, "new")
    with pytest.raises(DataError, match="holds no rows"):
        read_mmau(tmp_path, "old")
    with pytest.raises(DataError, match="does not exist"):
        read_mmau(tmp_path / "none", "old")
    (tmp_path / "list.json").write_text('{"id": 1}')
    with pytest.raises(DataError, match="expected a list of rows"):
        read_mmau(tmp_path, "old")


def voicebench_lines(folder: Path, rows: list[dict]) -> Path:
    (folder / "q.wav").write_bytes(wav_bytes())
    path = folder / "openbookqa.jsonl"
    path.write_text("\n".join(json.dumps({"audio": "q.wav", **row}) for row in rows))
    return path


def test_voicebench_lines(tmp_path):
    path = voicebench_lines(
        tmp_path,
        [
            {"prompt": PROMPT, "reference": "B", "response": "It is B."},
            {"prompt": "What is it?", "reference": "d."},
        ],
    )
    first, second = read_voicebench(path, "openbookqa")
    assert (first.id, first.domain, first.task) == ("openbookqa-openbookqa-1", "speech", "openbookqa")
    assert first.question == "Which gas do plants take in?"
    assert first.options == ("oxygen", "carbon dioxide", "helium", "neon")
    assert first.text == "carbon dioxide"
    assert first.evidence == PROMPT
    assert first.facts["output"] == "It is B."
    assert first.facts["options_in_text"]
    # a prompt without options leaves the letters, and says so
    assert (second.options, second.answer) == (("A", "B", "C", "D"), 3)
    assert not second.facts["options_in_text"]


def test_voicebench_folder_of_parquet_files_by_subject(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    (tmp_path / "mmsu").mkdir()
    for number, subject in enumerate(("law", "physics")):
        row = {
            "audio": {"bytes": wav_bytes(), "path": "x.wav"},
            "prompt": PROMPT,
            "reference": "A",
            "question_id": 70 + number,
            "category": subject,
        }
        parquet.write_table(arrow.Table.from_pylist([row]), tmp_path / "mmsu" / f"{subject}-00000-of-00001.parquet")
    items = read_voicebench(tmp_path, "mmsu", unpack_to=tmp_path / "audio")
    assert [(item.id, item.subset) for item in items] == [("mmsu-70", "law"), ("mmsu-71", "physics")]
    assert all(Path(str(item.clip)).is_file() for item in items)


def test_voicebench_complaints(tmp_path):
    path = voicebench_lines(
        tmp_path,
        [
            {"prompt": PROMPT, "reference": "E"},
            {"prompt": PROMPT, "reference": "A", "audio": "none.wav"},
            {"prompt": PROMPT},
            {"prompt": PROMPT, "reference": "A", "question_id": 1},
            {"prompt": PROMPT, "reference": "A", "question_id": 1},
        ],
    )
    with pytest.raises(DataError, match="4 row") as raised:
        read_voicebench(path, "openbookqa")
    for said in ("the reference 'E' is no choice", "none.wav is not below", "it has no reference", "row 4 too"):
        assert said in str(raised.value)
    with pytest.raises(ConfigError, match="no multiple choice 'bbh'"):
        read_voicebench(path, "bbh")


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        (PROMPT, ("oxygen", "carbon dioxide", "helium", "neon")),
        ("Is vitamin A. good? A. yes, B. no, C. maybe, D. never", ("yes", "no", "maybe", "never")),
        ("Which? (A) one (B) two (C) three (D) four", ("one", "two", "three", "four")),
        ("Which? A: 1\n\nB: 2\n\nC: 3\n\nD: 4\n", ("1", "2", "3", "4")),
        ("Which? A. one B. two C. three", None),
        ("Which? A. one C. two B. three D. four", None),
        ("Which? A. B. C. D.", None),
    ],
)
def test_options_in_a_spoken_prompt(prompt, options):
    question, found = spoken_options(prompt)
    assert found == options
    assert question == prompt if options is None else question.endswith("?")
