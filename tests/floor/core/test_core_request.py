from pathlib import Path

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.names import More, Spec, Take
from auricle.core.request import Request, assigned, from_path, from_values, joined, need, takes_text, value_of


def spec(*takes, more=()):
    return Spec("x", "a system", ("infer",), "score", "task", takes=takes, more=more)


HEARS = spec(Take("audio"))
ASKS = spec(Take("audio"), Take("text"), more=(More("n", int, "how many answers"), More("loud", bool, "louder")))
SEES = spec(Take("image", needed=False), Take("video", needed=False), Take("text", needed=False))


def test_a_path_fills_the_field_that_takes_it():
    assert from_path("a.wav", HEARS) == Request(audio=Path("a.wav"))
    assert from_path("odd.bin", HEARS) == Request(audio=Path("odd.bin"))  # the bytes decide, not the name
    assert from_path("face.PNG", SEES) == Request(image=Path("face.PNG"))
    assert from_path("clip.mp4", SEES) == Request(video=Path("clip.mp4"))
    assert from_path("clip.mp4", HEARS) == Request(audio=Path("clip.mp4"))  # the sound of a video
    with pytest.raises(ConfigError, match="takes no file and was given a.wav; it takes text"):
        from_path("a.wav", spec(Take("text")))


def test_values_become_fields_and_further_values_with_paths_relative_to_their_folder(tmp_path):
    found = from_values({"audio": "b/c.wav", "text": "tired", "n": "3", "loud": None, "image": ""}, ASKS, tmp_path)
    assert found == Request(audio=tmp_path / "b" / "c.wav", text="tired", more={"n": 3})
    assert from_values({"audio": str(tmp_path / "x.wav"), "text": "a"}, ASKS, Path("other")).audio == tmp_path / "x.wav"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"audoi": "a.wav"}, "knows no 'audoi'; a request has audio, text, image, video, n, loud"),
        ({"audio": 3}, "audio of a request is a text, and was given 3"),
        ({"n": "three"}, "n='three' is no int; how many answers"),
        ({"n": True}, "n=True is no int"),
        ({"n": 1.5}, "n=1.5 is no int"),
        ({"loud": "yes"}, "loud='yes' is no bool"),
    ],
)
def test_wrong_values_are_named(values, message):
    with pytest.raises(DataError, match=message):
        from_values(values, ASKS)


def test_numbers_and_lists_from_a_command_line():
    speed = More("speed", float, "of the speech")
    assert value_of(speed, "2") == 2.0
    assert isinstance(value_of(speed, 2), float)
    assert value_of(More("parts", list, "sentences"), '["a", "b"]') == ["a", "b"]
    assert value_of(More("word", str, "a word"), "12") == "12"


def test_what_keeps_a_system_from_answering_is_said():
    assert need(Request(audio=Path("a.wav"), text="who?"), ASKS) is None
    assert "'x' needs text, and the request has none; it takes audio, text" in str(need(Request(audio=Path("a")), ASKS))
    assert "takes no text; it takes audio" in str(need(Request(audio=Path("a"), text="who?"), HEARS))
    assert "the request is empty" in str(need(Request(), SEES))
    must = spec(Take("text"), more=(More("voice", str, "whose", needed=True),))
    assert "needs voice with each request; give --set voice=" in str(need(Request(text="a"), must))


def test_set_values_are_checked():
    assert assigned(["n=4", "loud=true"], ASKS) == {"n": 4, "loud": True}
    with pytest.raises(ConfigError, match=r"--set m=4: 'x' has no such value; KEY=VALUE with: n \(int: how many"):
        assigned(["m=4"], ASKS)
    with pytest.raises(ConfigError, match="no such value; KEY=VALUE with: none"):
        assigned(["n"], HEARS)
    with pytest.raises(ConfigError, match="--set n='x' is no int"):
        assigned(["n=x"], ASKS)


def test_what_holds_for_all_gives_way_to_a_request_of_its_own():
    given = [Request(audio=Path("a")), Request(audio=Path("b"), text="mine", more={"n": 1})]
    first, second = joined(given, "all", {"n": 2, "loud": True})
    assert (first.text, dict(first.more)) == ("all", {"n": 2, "loud": True})
    assert (second.text, dict(second.more)) == ("mine", {"n": 1, "loud": True})


def test_what_stands_for_a_request_and_what_stands_beside():
    plain = Request(audio=Path("a.wav"))
    assert (plain.input, plain.beside) == ("a.wav", {})
    asked = Request(audio=Path("a.wav"), text="who?", more={"n": 2})
    assert (asked.input, asked.beside) == ("a.wav", {"text": "who?", "n": 2})
    assert (Request(text="who?").input, Request(text="who?").beside) == ("who?", {})
    assert asked.as_dict() == {"audio": "a.wav", "text": "who?", "n": 2}


def test_takes_in_words():
    both = spec(Take("audio", channels="all"), Take("text", needed=False))
    assert takes_text(both) == "audio (all channels), text if given"
