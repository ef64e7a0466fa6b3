"""Speech to text: windows, guards, word times, cache; with a tiny random Whisper whose logits a test may write."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from auricle.audio.resample import resample
from auricle.backbones.tiny import save_tiny_whisper
from auricle.backbones.transcriber import Transcriber, Transcript, Word, windows
from auricle.backbones.whisper_tokens import loop
from auricle.backbones.word_times import grouped, starts
from auricle.core import extras
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.data import embedded


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(base / "en", seed=3)
    save_tiny_whisper(base / "many", seed=3, languages=("en", "de", "zh"))
    return base


@pytest.fixture
def tiny(folders):
    return Transcriber(str(folders / "en"), context_s=5)


def scripted(made, text, silence=0.0, sure=True):
    """Let a transcriber write `text` for every row, whatever it hears; "*" stands for the end."""
    words = made.words
    ids = [words.end if letter == "*" else words.tokenizer.get_vocab()[letter.replace(" ", "Ġ")] for letter in text]
    asked = itertools.count()

    def step(states, tokens, past):
        place = next(asked)
        logits = torch.zeros(len(states), tokens.shape[1], len(words.never))
        logits[:, -1, ids[min(place, len(ids) - 1)]] = 50.0 if sure else 1.0
        if place == 0 and silence:
            logits[:, 0, words.no_speech] = 50.0
        return SimpleNamespace(logits=logits, past_key_values=None)

    made._step = step
    return made


def test_what_is_written_and_when(tiny):
    wave = np.concatenate([np.zeros(8000, np.float32), noise(32_000)])
    found = scripted(tiny, " it is so.*").transcribe([wave], [16_000])[0]
    assert (found.text, found.language, found.warnings) == ("it is so.", "en", ())
    assert [word.text for word in found.words] == ["it", "is", "so."]
    times = [time for word in found.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[0] >= 0.4  # never in the silence before
    assert times[-1] <= 2.5


def test_a_loop_ends_after_its_first_turn(tiny):
    found = scripted(tiny, " we" + " ha no" * 40).transcribe([noise(32_000)], [16_000])[0]
    assert found.text == "we ha no"
    assert found.warnings == ("repetition: window at 0.0 s",)
    assert [word.text for word in found.words] == ["we", "ha", "no"]


def test_a_window_with_too_many_words_says_so(tiny):
    found = scripted(tiny, " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRS").transcribe([noise(32_000)], [16_000])[0]
    assert found.text == "abcdefghijklmnopqrstuvwxyzABCDE"  # half of the 64 positions
    assert found.warnings == ("cut-off: window at 0.0 s",)


@pytest.mark.parametrize(
    ("text", "silence", "sure", "kept"),
    [
        (" you*", 1, True, ""),
        (" you*", 0, True, "you"),
        (" ...*", 0, True, ""),
        ("*", 0, True, ""),
        (" a long answer*", 1, True, "a long answer"),
        (" a long answer*", 1, False, ""),
    ],
)
def test_nothing_is_heard_where_nobody_speaks(tiny, text, silence, sure, kept):
    found = scripted(tiny, text, silence, sure).transcribe([noise(32_000)], [16_000])[0]
    assert found.text == kept
    assert found.warnings == (() if kept else ("no-speech: window at 0.0 s",))
    assert bool(found.words) == bool(kept)


def test_silence_is_not_even_asked_about(tiny):
    tiny._step = lambda *_: pytest.fail("the model was asked")
    found = tiny.transcribe([np.zeros(16_000, np.float32), np.full(500, 0.25, np.float32)], [16_000, 16_000])
    assert found == [Transcript("", warnings=("no-speech: window at 0.0 s",))] * 2


def test_long_files_are_cut_where_it_is_quiet():
    wave = noise(70 * 16_000)
    wave[25 * 16_000 : 25 * 16_000 + 4800] = 0
    parts = windows(wave)
    assert parts[0][0] == 0
    assert parts[-1][1] == len(wave)
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(parts))
    assert all(20 * 16_000 <= end - start <= 30 * 16_000 for start, end in parts[:-1])
    assert 25.0 <= parts[0][1] / 16_000 <= 25.3
    assert windows(wave[: 30 * 16_000]) == [(0, 30 * 16_000)]
    assert len(windows(np.zeros(61 * 16_000, np.float32))) == 3


def test_windows_are_joined_in_order(tiny):
    wave = noise(70 * 16_000)
    tiny.batch = 2
    said = iter((" one*", " two*", " three*"))
    greedy = tiny._greedy

    def each(states):
        found = []
        for row in states:
            scripted(tiny, next(said))
            found += greedy(row[None])
        return found

    tiny._greedy = each
    found = tiny.transcribe([wave], [16_000])[0]
    assert found.text == "one two three"
    cuts = [end / 16_000 for _, end in windows(wave)]
    assert found.words[0].end_s <= cuts[0] <= found.words[1].start_s
    assert found.words[1].end_s <= cuts[1] <= found.words[2].start_s


def test_batch_mates_change_nothing(folders):
    waves = [noise(size, size) for size in (16_000, 40_000, 8_000, 100_000, 32_000)]
    rates = [16_000, 16_000, 8_000, 16_000, 16_000]
    together = Transcriber(str(folders / "en"), context_s=5, batch=4).transcribe(waves, rates)
    alone = Transcriber(str(folders / "en"), context_s=5, batch=1)
    assert together == [alone.transcribe([wave], [rate])[0] for wave, rate in zip(waves, rates, strict=True)]
    assert any(found.text for found in together)


def test_transcripts_are_kept_by_content(folders, tmp_path):
    waves, rates = [noise(16_000), np.zeros(16_000, np.float32)], [16_000, 16_000]
    make = Transcriber(str(folders / "en"), context_s=5, cache=tmp_path)
    first = scripted(make, " it is*").transcribe(waves, rates)
    again = Transcriber(str(folders / "en"), context_s=5, cache=tmp_path)
    again._step = lambda *_: pytest.fail("decoded again")
    assert again.transcribe(waves[::-1], rates) == first[::-1]
    assert first[0].words[0] == Word("it", first[0].words[0].start_s, first[0].words[0].end_s)
    other = Transcriber(str(folders / "en"), context_s=10, cache=tmp_path)
    assert other.cache.file != again.cache.file
    assert Transcriber(str(folders / "many"), context_s=5, cache=tmp_path).cache.file != again.cache.file


def test_what_is_done_is_kept_when_the_rest_fails(folders, tmp_path):
    make = Transcriber(str(folders / "en"), context_s=5, batch=1, cache=tmp_path)
    with pytest.raises(AudioError, match="waveform 3 of 3"):
        scripted(make, " so*").transcribe([noise(16_000), noise(16_000, 1), noise(10)], [16_000] * 3)
    assert len(Transcriber(str(folders / "en"), context_s=5, cache=tmp_path).cache) == 1


def test_languages(folders):
    made = Transcriber(str(folders / "many"), context_s=5)
    assert set(made.words.languages) == {"en", "de", "zh"}
    found = made.transcribe([noise(16_000)], [16_000])[0]
    assert found.language in {"en", "de", "zh", ""}
    german = Transcriber(str(folders / "many"), context_s=5, language="de")
    prompt = german.words.prompts(["de"])[0].tolist()
    assert german.words.tokenizer.convert_ids_to_tokens(prompt) == [
        "<|startoftranscript|>",
        "<|de|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    assert scripted(german, " so*").transcribe([noise(16_000)], [16_000])[0].language == "de"
    with pytest.raises(ConfigError, match="no language 'fr'; it has de, en, zh"):
        Transcriber(str(folders / "many"), language="fr")
    with pytest.raises(ConfigError, match="no language 'de'; it has en"):
        Transcriber(str(folders / "en"), language="de")


def test_wrong_use_is_refused(folders, tiny, tmp_path):
    with pytest.raises(ConfigError, match="5 to 30 seconds"):
        Transcriber(str(folders / "en"), context_s=0)
    with pytest.raises(DataError, match="1 waveforms and 0 rates"):
        tiny.transcribe([noise(16_000)], [])
    for wave, message in (
        (noise(1000), "waveform 1 of 1: .* at least 0.1 s"),
        (np.ones((2, 16_000), np.float32), "takes one channel"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.zeros(16_000, np.int16), "divide integers"),
    ):
        with pytest.raises(AudioError, match=message):
            tiny.transcribe([wave], [16_000])
    with pytest.raises(AudioError, match="a rate of 100 Hz"):
        tiny.transcribe([np.zeros(16_000, np.float32)], [100])
    save_tiny_whisper(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="holds no tokenizer of Whisper"):
        Transcriber(str(tmp_path))


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([1] * 15, 0),
        ([1] * 16, 1),
        ([9, 1, 2] + [1, 2] * 7, 3),
        ([1, 2, 3, 4] * 4, 4),
        ([1, 2, 3, 4] * 3, 0),
        (list(range(24)) * 4, 24),
        (list(range(50)), 0),
        ([], 0),
        ([5, 5, 5, 5], 0),
    ],
)
def test_loops(tokens, kept):
    assert loop(tokens) == kept


def test_frames_are_dealt_out_in_the_best_way():
    generator = np.random.default_rng(0)
    for _ in range(20):
        one = generator.normal(size=(1, 3, 9))
        found = starts(one)
        # the same smoothing, all ways tried
        from scipy.ndimage import median_filter

        plain = (one - one.mean(1, keepdims=True)) / one.std(1, keepdims=True)
        matrix = median_filter(plain, (1, 1, 7), mode="mirror").mean(0)
        ways = [
            (matrix[0, :a].sum() + matrix[1, a:b].sum() + matrix[2, b:].sum(), (0, a, b))
            for a, b in itertools.combinations(range(1, 9), 2)
        ]
        best = max(ways)[0]
        _, a, b = found
        assert matrix[0, :a].sum() + matrix[1, a:b].sum() + matrix[2, b:].sum() == pytest.approx(best)


def test_blocks_of_attention_are_found():
    attention = np.zeros((2, 4, 100))
    for row, (start, end) in enumerate(((0, 20), (20, 50), (50, 60), (60, 100))):
        attention[:, row, start:end] = 1
    assert starts(attention).tolist() == [0, 20, 50, 60]
    assert starts(np.ones((1, 1, 5))).tolist() == [0]
    more = starts(np.random.default_rng(0).normal(size=(1, 9, 4)))  # more tokens than frames
    assert more.tolist() == sorted(more)
    assert more.max() < 4


def test_tokens_become_words():
    letters = {0: " it", 1: "'s", 2: " a", 3: " \ufffd", 5: ".", 6: " -", 7: "你", 8: "好", 9: ' "', 10: " "}

    def decode(tokens):
        return " é" if list(tokens) == [3, 4] else "".join(letters[token] for token in tokens)

    assert grouped([0, 1, 2, 3, 4, 5, 6], decode, True) == [("it's", 0, 2), ("a", 2, 3), ("é. -", 3, 7)]
    assert grouped([0, 9, 1, 10, 5, 2], decode, True) == [("it", 0, 1), ("\"'s .", 1, 5), ("a", 5, 6)]
    assert grouped([6, 0], decode, True) == [("- it", 0, 2)]
    assert grouped([7, 8, 5], decode, False) == [("你", 0, 1), ("好.", 1, 3)]
    assert grouped([], decode, True) == []


@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_the_real_one_puts_words_where_they_are_said():
    clips = [embedded.clip("en-b-210009p3"), embedded.clip("en-b-20001ep3")]
    parts = [resample(clip.read().mono(), clip.rate_hz, 16_000) for clip in clips]
    gap = np.zeros(16_000, np.float32)
    found = Transcriber(context_s=15).transcribe([np.concatenate([parts[0], gap, parts[1]])], [16_000])[0]
    assert found.text.split()[:6] == clips[0].text.split()
    words = found.words
    assert " ".join(word.text for word in words) == found.text
    first = len(parts[0]) / 16_000
    assert words[5].start_s < first
    assert abs(words[6].start_s - first - 0.5) < 0.75  # within the pause or soon after it
    assert words[-1].end_s <= (len(parts[0]) + 16_000 + len(parts[1])) / 16_000
