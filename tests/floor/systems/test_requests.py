"""Requests from what a user gives: paths and folders, a file of them, lines on standard input, the command line."""

import gzip
import json
import os

import pytest

from auricle.core.answers import Refused
from auricle.core.errors import ConfigError, DataError
from auricle.core.names import More, Spec, Take
from auricle.core.request import Request
from auricle.systems import system
from auricle.systems.requests import asked, read_lines, read_requests, requests, told

HEARS = system("mambo").spec
ASKS = Spec(
    "asks",
    "answers questions about sounds",
    ("infer",),
    "score",
    "task",
    takes=(Take("audio"), Take("text")),
    more=(More("n", int, "how many answers"), More("near", float, "a distance"), More("tags", list, "words")),
)
SEES = Spec(
    "sees", "looks", ("infer",), "score", "task", takes=(Take("image", needed=False), Take("video", needed=False))
)
HEARS_AND_SEES = Spec("both", "looks and listens", ("infer",), "score", "task", takes=(Take("audio"), Take("image")))
SPEAKS = Spec("speaks", "speaks", ("infer",), "score", "task", takes=(Take("text"),), gives=("json", "audio"))


@pytest.fixture
def sounds(tmp_path):
    for name in ("a.wav", "b.wav", "deep/c.flac", "deep/.hidden.wav", "deep/notes.txt", "face.png", "deep/face.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"nobody opens it here")
    return tmp_path


def errors(found):
    return [one.error for one in found if isinstance(one, Refused)]


# --- paths ------------------------------------------------------------------------------------------------------------


def test_files_and_folders_become_requests_in_order(sounds):
    found = list(requests(HEARS, [sounds / "b.wav", sounds, str(sounds / "a.wav")]))
    names = [one.audio.relative_to(sounds).as_posix() for one in found]
    assert names == ["b.wav", "a.wav", "b.wav", "deep/c.flac", "a.wav"]


def test_a_folder_of_pictures_for_a_system_that_sees(sounds):
    found = list(requests(SEES, [sounds, sounds / "face.png"]))
    names = [one.image.relative_to(sounds).as_posix() for one in found]
    assert names == ["deep/face.jpg", "face.png", "face.png"]
    (sounds / "empty").mkdir()
    (refused,) = requests(SEES, [sounds / "empty"])
    assert "nothing in this folder that 'sees' takes; looked for .png" in refused.error


def test_what_is_missing_is_refused_in_its_place(sounds):
    (sounds / "lost.wav").symlink_to(sounds / "nowhere.wav")
    given = [
        sounds / "gone.wav",
        Request(audio=sounds / "gone.wav"),
        Request(audio=sounds / "lost.wav"),
        Request(audio=sounds / "deep"),
        Refused("line 3", "no"),
        Request(audio=sounds / "a.wav"),
        Request(audio=sounds / "a.wav", text="who?"),
    ]
    found = list(requests(HEARS, given))
    assert [type(one) for one in found] == [Refused] * 5 + [Request, Refused]
    assert [one.input for one in found[:5]] == [
        *(str(sounds / n) for n in ("gone.wav", "gone.wav", "lost.wav", "deep")),
        "line 3",
    ]
    for text, words in zip(
        errors(found),
        (
            "does not exist",
            "does not exist",
            "link that leads nowhere",
            "is a folder, and",
            "no",
            "'mambo' takes no text",
        ),
        strict=True,
    ):
        assert words in text


def test_what_a_system_needs_is_named(sounds):
    found = requests(ASKS, [sounds / "a.wav", Request(text="who?"), Request()], more={"n": 2})
    assert [one.error.split(";")[0] for one in found] == [
        "'asks' needs text, and the request has none",
        "'asks' needs audio, and the request has none",
        "'asks' needs audio and text, and the request has none",
    ]
    (whole,) = requests(ASKS, [sounds / "a.wav"], "who?", {"n": 2})
    assert whole == Request(audio=sounds / "a.wav", text="who?", more={"n": 2})


def test_a_path_for_a_system_that_takes_none_is_wrong_use(sounds):
    with pytest.raises(ConfigError, match="'speaks' takes no file and was given"):
        list(requests(SPEAKS, [sounds / "a.wav"]))


# --- files of requests ------------------------------------------------------------------------------------------------


def test_json_lines_name_fields_and_values_with_paths_relative_to_the_file(sounds, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "far.wav"
    rows = [
        {"audio": "a.wav", "text": "who?", "n": 3},
        {"audio": str(elsewhere), "text": "wörds", "tags": ["x", "y"], "near": 2},
        {"audio": "deep/c.flac", "text": "what?", "n": None},
    ]
    lines = [json.dumps(rows[0]), "", json.dumps(rows[1], ensure_ascii=False), "  ", json.dumps(rows[2])]
    file = sounds / "requests.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    assert list(read_requests(file, ASKS)) == [
        Request(audio=sounds / "a.wav", text="who?", more={"n": 3}),
        Request(audio=elsewhere, text="wörds", more={"tags": ["x", "y"], "near": 2.0}),
        Request(audio=sounds / "deep" / "c.flac", text="what?"),
    ]


def test_a_line_that_is_no_request_is_refused_by_its_number_and_the_rest_goes_on(sounds):
    file = sounds / "requests.jsonl"
    lines = [
        '{"audio": "a.wav"',
        "[1]",
        '{"audoi": "a.wav"}',
        '{"n": "many"}',
        "",
        '{"audio": 7}',
        '{"audio": "a.wav"}',
    ]
    file.write_text("\n".join(lines))
    found = list(read_requests(file, ASKS))
    assert [one.input.rsplit(", ", 1)[1] for one in found[:-1]] == [f"line {n}" for n in (1, 2, 3, 4, 6)]
    for text, words in zip(
        errors(found),
        (
            "not a JSON object: ",
            "not a JSON object but list",
            "'asks' knows no 'audoi'; a request has audio, text, image, video, n, near, tags",
            "n='many' is no int; how many answers",
            "audio of a request is a text, and was given 7",
        ),
        strict=True,
    ):
        assert text.startswith(words)
    assert found[-1] == Request(audio=sounds / "a.wav")


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t"), (".CSV", ",")])
def test_a_table_has_the_fields_as_columns(sounds, suffix, separator):
    file = sounds / f"requests{suffix}"
    rows = [["text", " audio ", "n", "near"], ["who?", "a.wav", "3", ""], ["what now?", " deep/c.flac ", "", "1.5"]]
    file.write_text("\ufeff" + "\n".join(separator.join(row) for row in rows), encoding="utf-8")  # as Excel writes it
    assert list(read_requests(file, ASKS)) == [
        Request(audio=sounds / "a.wav", text="who?", more={"n": 3}),
        Request(audio=sounds / "deep" / "c.flac", text="what now?", more={"near": 1.5}),
    ]


def test_rows_of_a_table_that_do_not_fit(sounds):
    file = sounds / "requests.csv"
    file.write_text('audio,text,n\na.wav,"one, two",1\na.wav,b,1,2\na.wav,c,x\na.wav\n')
    found = list(read_requests(file, ASKS))
    assert found[0] == Request(audio=sounds / "a.wav", text="one, two", more={"n": 1})
    assert [one.input.rsplit(", ", 1)[1] for one in found[1:3]] == ["line 3", "line 4"]
    assert "more cells than the 3 columns" in found[1].error
    assert "n='x' is no int" in found[2].error
    assert found[3] == Request(audio=sounds / "a.wav")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "r.csv",
            b"file,text\na.wav,b\n",
            "'asks' knows no column 'file'; columns can be audio, image, n, near, tags, t",
        ),
        ("r.csv", b"", "'asks' knows an empty table"),
        ("r.jsonl", '{"text": "w\u00f6rds"}'.encode("latin-1"), "not text in UTF-8"),
        ("r.csv", "audio,text\na.wav,w\u00f6rds".encode("latin-1"), "not text in UTF-8"),
    ],
)
def test_a_file_that_holds_no_requests_is_wrong_use(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_requests(tmp_path / name, ASKS))


def test_a_file_that_is_not_there_is_wrong_use(tmp_path):
    with pytest.raises(DataError, match=r"--requests .*none\.csv does not exist"):
        list(read_requests(tmp_path / "none.csv", ASKS))
    with pytest.raises(DataError, match="is a folder; give a file"):
        list(read_requests(tmp_path, ASKS))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"--requests .*pipe\.csv is a pipe, a socket or a device"):
        list(read_requests(tmp_path / "pipe.csv", ASKS))


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz", "r.csv.gz"])
def test_requests_are_read_as_every_text_is(sounds, name):
    rows = ["text,audio", "who?,a.wav", "what\u2028now?,b.wav"]
    if ".csv" not in name:
        rows = [
            json.dumps({"text": row.split(",")[0], "audio": row.split(",")[1]}, ensure_ascii=False) for row in rows[1:]
        ]
    text = ("\ufeff" + "\r\n".join(rows) + "\r\n").encode()
    (sounds / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert list(read_requests(sounds / name, ASKS)) == [
        Request(audio=sounds / "a.wav", text="who?"),
        Request(audio=sounds / "b.wav", text="what\u2028now?"),
    ]


def test_one_odd_line_of_requests_ends_nothing(sounds):
    file = sounds / "r.jsonl"
    file.write_text("[" * 100_000 + '\n{"audio": "a.wav", "n": ' + "9" * 5000 + '}\n{"audio": "a.wav", "text": "x"}\n')
    found = list(read_requests(file, ASKS))
    assert "nested too deeply" in found[0].error
    assert isinstance(found[1], Refused)
    assert found[2] == Request(audio=sounds / "a.wav", text="x")
    table = sounds / "r.csv"
    table.write_text("audio,text\na.wav," + "x" * 200_000 + "\na.wav,y\n")
    found = list(read_requests(table, ASKS))
    assert found[0] == Refused(f"{table}, line 2", "not a row of a table: field larger than field limit (131072)")
    assert found[1] == Request(audio=sounds / "a.wav", text="y")


def test_numbers_that_are_none_cannot_be_asked_with(sounds):
    file = sounds / "r.jsonl"
    file.write_text('{"audio": "a.wav", "text": "x", "near": NaN}\n{"audio": "a.wav", "text": "x", "near": 1e999}\n')
    found = list(requests(ASKS, read_requests(file, ASKS)))
    assert [one.error.split(" (")[0] for one in found] == [
        "near=nan has a number that is none",
        "near=inf has a number that is none",
    ]


def test_what_a_folder_leaves_out_is_given_to_who_asks(sounds):
    (sounds / "deep" / "song.mid").write_bytes(b"MThd")
    (sounds / "noname").write_bytes(b"fLaC")
    unread = []
    found = list(asked(HEARS, [str(sounds), str(sounds / "deep" / "song.mid")], unread=unread))
    assert [one.audio.name for one in found] == ["a.wav", "b.wav", "c.flac", "song.mid"]
    assert [path.name for path in unread] == ["song.mid", "noname"]
    assert told(unread).startswith("2 file(s) of the folders look like audio and were left out")
    many = told([sounds / f"{n}.mid" for n in range(9)])
    assert many.startswith("9 file(s)")
    assert " and 4 more; give a file by its name to try it" in many


def test_names_are_taken_as_they_are_from_standard_input():
    lines = ["a\u00a0.wav\n", "b\udcff.wav\r\n", "\u2028c.wav\n"]
    assert list(read_lines(lines, ASKS)) == ["a\u00a0.wav", "b\udcff.wav", "\u2028c.wav"]


# --- the command line -------------------------------------------------------------------------------------------------


def test_lines_are_paths_or_requests(sounds):
    lines = [f"{sounds / 'a.wav'}\n", "\n", '{"audio": "b.wav", "text": "who?"}\n', "{broken\n"]
    path, request, refused = read_lines(lines, ASKS)
    assert path == str(sounds / "a.wav")
    assert request.as_dict() == {"audio": "b.wav", "text": "who?"}  # relative to where the command runs
    assert refused.input == "standard input, line 4"


def test_everything_that_was_asked_comes_in_order_with_what_holds_for_all(sounds):
    file = sounds / "r.jsonl"
    file.write_text('{"audio": "b.wav", "text": "mine", "n": 1}\n{"audio": "b.wav"}')
    lines = [f"{sounds / 'b.wav'}\n"]
    found = list(asked(ASKS, [str(sounds / "a.wav"), "-"], file, "all", {"n": 2}, lines))
    assert [(one.audio.name, one.text, one.more["n"]) for one in found] == [
        ("a.wav", "all", 2),
        ("b.wav", "all", 2),
        ("b.wav", "mine", 1),
        ("b.wav", "all", 2),
    ]
    assert list(asked(SPEAKS, [], text="say this")) == [Request(text="say this")]


def test_wrong_use_of_what_can_be_asked():
    with pytest.raises(ConfigError, match="'mambo' takes no text; leave out --text"):
        asked(HEARS, ["a.wav"], text="who?")
    with pytest.raises(ConfigError, match="nothing was asked; give files, folders, - for standard input"):
        asked(HEARS, [])


def test_a_system_that_hears_and_sees_is_asked_by_both(sounds):
    whole = Request(audio=sounds / "a.wav", image=sounds / "face.png")
    assert list(requests(HEARS_AND_SEES, [whole])) == [whole]
    (refused,) = requests(HEARS_AND_SEES, [sounds / "face.png"])
    assert refused.error == "'both' needs audio, and the request has none; it takes audio, image"


# --- auricle infer ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(folder):
    """Requests of a file with four clips, one of which is not audio and one not there."""
    return [folder / "two.wav", folder / "broken.wav", folder / "gone.wav", folder / "short.wav"]


def answered(status, lines, names):
    """Hold the lines of a command to the inputs, the second and third of which cannot be answered."""
    assert status == 1
    assert [line["input"].rsplit("/", 1)[-1] for line in lines] == names
    assert ["error" in line for line in lines] == [False, True, True, False]
    assert "does not exist" in lines[2]["error"]
    return [line["score"] for line in lines if "score" in line]


def test_infer_takes_files_json_lines_tables_and_standard_input(command, run, folder, rows):
    names = [path.name for path in rows]
    plain = answered(*command("infer", "mambo", "--run", run, *rows)[:2], names)
    table, lines = folder / "r.csv", folder / "r.jsonl"
    table.write_text("audio\n" + "\n".join(names))
    lines.write_text("\n".join(json.dumps({"audio": name}) for name in names))
    piped = f"{rows[0]}\n{json.dumps({'audio': str(rows[1])})}\n{rows[2]}\n{rows[3]}\n"
    try:
        for arguments, stdin in ((("--requests", table), ""), (("--requests", lines), ""), (("-",), piped)):
            status, shown, _ = command("infer", "mambo", "--run", run, *arguments, stdin=stdin)
            assert answered(status, shown, names) == pytest.approx(plain, abs=1e-6)
            assert all("request" not in line for line in shown)
    finally:
        table.unlink()
        lines.unlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("two.wav", "--text", "who?"), "'mambo' takes no text; leave out --text"),
        (("two.wav", "--set", "n=3"), "--set n=3: 'mambo' has no such value; KEY=VALUE with: none"),
        (("two.wav", "--out-dir", "out"), "'mambo' writes no files beside its lines; leave out --out-dir"),
        (("--requests", "none.csv"), "--requests none.csv does not exist"),
        ((), "nothing was asked"),
    ],
)
def test_wrong_use_of_infer_is_one_line_and_exit_2(command, run, folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    status, shown, err = command("infer", "mambo", "--run", run, *arguments)
    assert (status, shown) == (2, [])
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_infer_with_text_values_and_a_folder_for_sounds(command, echo, tmp_path):
    run = echo(gives=("json", "audio"))
    (tmp_path / "a.wav").write_bytes(b"any bytes")
    out = ("--out-dir", tmp_path / "out")
    status, shown, err = command(
        "infer", "echo", "--run", run, tmp_path / "a.wav", "--text", "who?", "--set", "n=2", "--set", 'tags=["x"]', *out
    )
    assert (status, err) == (0, "")
    assert shown[0]["request"] == {"text": "who?", "n": 2, "tags": ["x"]}
    assert [file.read_text() for file in (tmp_path / "out").iterdir()] == ["who?"]
    status, shown, _ = command("infer", "echo", "--run", run, "--text", "alone", *out)
    assert [(line["input"], line["words"]) for line in shown] == [("alone", "alone")]
    assert status == 0
