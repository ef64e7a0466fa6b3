"""Error rates of words and characters: jiwer's counts, one normaliser, intervals over speakers."""

import numpy as np
import pytest

from auricle.core import extras
from auricle.core.errors import ConfigError, DataError, MissingExtra
from auricle.metrics.asr import character_error_rate, normalised, word_error_rate


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Don't  STOP!", "dont stop"),
        ("It’s a well-known café…", "its a well known café"),
        ("[Music] Hello (laughs) there *cough*", "hello there"),
        ("Uncle E.A. left. He ran", "uncle ea left he ran"),
        ("press 7, then 12", "press seven then twelve"),
        ("1,234 and 10,000,000", "one thousand two hundred thirty four and ten million"),
        ("3.14 is 50% of it", "three point one four is fifty percent of it"),
        ("the 1st, 2nd, 12th, 20th, 21st", "the first second twelfth twentieth twenty first"),
        ("007 0", "zero zero seven zero"),
        ("9" * 20 + "th", " ".join(["nine"] * 20) + " th"),
        ("salt & pepper", "salt and pepper"),
        ("ﬁne Ａ", "fine a"),
        ("... !", ""),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
    ],
)
def test_the_normaliser(text, plain):
    assert normalised(text) == plain
    assert normalised(plain) == plain


def test_numbers_stay_in_other_languages():
    assert normalised("7 Zwerge, 50%", "de") == "7 zwerge 50"


def test_the_rate_is_that_of_the_corpus():
    pytest.importorskip("jiwer")
    found = word_error_rate(["One two three four.", "five"], ["one x three four", "five six"], seed=0)
    assert (found.rate, found.units, found.utterances) == (pytest.approx(2 / 5), 5, 2)
    assert (found.substitutions, found.deletions, found.insertions) == (1, 0, 1)
    assert found.over == "utterances"
    low, high = found.ci95
    assert low <= found.rate <= high
    nothing = word_error_rate(["one two"], [""], seed=0)
    assert (nothing.rate, nothing.deletions, nothing.ci95) == (1.0, 2, None)
    assert word_error_rate(["yes"], ["a b c"], seed=0).rate == 3.0


def test_characters_count_the_spaces_between_words():
    pytest.importorskip("jiwer")
    found = character_error_rate(["ab cd"], ["abcd"], seed=0)
    assert (found.rate, found.units, found.deletions) == (pytest.approx(1 / 5), 5, 1)


def test_the_interval_is_over_speakers():
    pytest.importorskip("jiwer")
    said, speakers = ["one two three four"] * 40, np.repeat(np.arange(8), 5)
    # four speakers are always understood and four never
    heard = [text if speaker < 4 else "x x x x" for text, speaker in zip(said, speakers, strict=True)]
    by_speaker = word_error_rate(said, heard, speakers, seed=1)
    by_clip = word_error_rate(said, heard, seed=1)
    assert by_speaker.rate == by_clip.rate == 0.5
    assert (by_speaker.over, by_clip.over) == ("speakers", "utterances")
    wide, narrow = (high - low for low, high in (by_speaker.ci95, by_clip.ci95))
    assert wide > 1.5 * narrow
    assert word_error_rate(said, heard, speakers, seed=1) == by_speaker
    few = word_error_rate(said, heard, speakers // 3, seed=1)
    assert few.over == "utterances"


def test_what_cannot_be_counted_is_refused(monkeypatch):
    with pytest.raises(DataError, match="1 references and 0 hypotheses"):
        word_error_rate(["a"], [], seed=0)
    with pytest.raises(DataError, match="0 references"):
        word_error_rate([], [], seed=0)
    with pytest.raises(DataError, match=r"reference 2, '\.\.\.', has no word"):
        word_error_rate(["a", "..."], ["a", "b"], seed=0)
    monkeypatch.setattr(extras, "available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[asr\]"):
        word_error_rate(["a"], ["a"], seed=0)


def test_wrong_groups_and_replicates_are_refused():
    pytest.importorskip("jiwer")
    with pytest.raises(DataError, match="2 utterances and 1 speakers"):
        word_error_rate(["a", "b"], ["a", "b"], ["x"], seed=0)
    with pytest.raises(ConfigError, match="at least 100 replicates"):
        word_error_rate(["a", "b"], ["a", "b"], replicates=10, seed=0)
