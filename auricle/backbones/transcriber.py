"""Speech to text with word times, by any Whisper model; deterministic, in batches, for files of any length.

Decoding is greedy and without timestamp tokens. A long file is cut into windows of at most 30 s at its quietest places,
which are decoded on their own: nothing said in one window can be repeated because of another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.audio.check import SILENCE_PEAK_TO_PEAK, Float, check, check_rate
from auricle.audio.level import trim_silence
from auricle.audio.resample import resample
from auricle.backbones.whisper import (
    FRAMES_PER_S,
    HOP,
    RATE_HZ,
    WhisperEncoder,
    load_whisper,
    whisper_architecture,
)
from auricle.backbones.whisper_features import wave_key, weights_key
from auricle.backbones.whisper_tokens import ENGLISH, Vocabulary, loop
from auricle.backbones.word_times import grouped, starts
from auricle.core.cache import ResultCache, combined_key
from auricle.core.errors import AudioError, ConfigError, DataError

WINDOW_S = 30.0
LEAST_S = 5.0  # of zeros behind a window, or its last words are said again and again (unless it has 30 s)
SEARCH_S = 10.0  # the end of a window, in which the quietest place is looked for
QUIET_S = 0.2  # how long that place is
# A window holds no speech if the model says so with this probability, and what it wrote all the same is unsure (the
# rule of Whisper's authors) or short: over noises small models write "you" and are sure of it. On the embedded
# recordings 8 of 10 sounds are found so, and of speech in the model's language nothing is lost; over music it may still
# write a word.
NO_SPEECH, LEAST_LOGPROB, FEW_TOKENS = 0.6, -1.0, 4
UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")
DECODER = 2  # the version of what this file does with a model: part of the key of what is cached


@dataclass(frozen=True)
class Word:
    """A word with its punctuation.

    Attributes:
        text: as it is written.
        start_s: when it begins, in seconds from the start of the file.
        end_s: when it ends.
    """

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Transcript:
    """What was said.

    Attributes:
        text: all of it; empty where there is no speech.
        words: its words in order.
        language: ISO 639-1 code of the first window with speech.
        warnings: ``no-speech`` (a window was judged to hold none), ``repetition`` (a loop was cut off after its first
            turn) and ``cut-off`` (a window had more words than the model can give), each with the time of its window.
    """

    text: str
    words: tuple[Word, ...] = ()
    language: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Window:
    """A part of a clip, (T,) at 16 kHz, and where it begins."""

    clip: int
    start_s: float
    wave: Float


@dataclass(frozen=True)
class _Said:
    """What a window was decoded to."""

    tokens: list[int]
    language: str
    warning: str


class Transcriber:
    """Speech to text.

    Args:
        name_or_folder: ``whisper-tiny-en`` (``auricle models add whisper-tiny-en``), a folder with a Whisper model in
            the format of Transformers, or a Hub id.
        revision: commit of a Hub id, 40 hex digits.
        language: of all clips, such as ``de``; None lets the model find out. An English model takes ``en`` alone.
        batch: windows that are decoded together.
        context_s: length to which a window is padded with zeros before it is encoded, 5 to 30 s (and at least 5 s more
            than it has). 30 s is what the model was trained with; with 15 s a short clip takes a quarter of the time
            and the text differs a little.
        cache: folder for transcripts, by the content of waveform and model; None keeps none.

    Raises:
        ConfigError: no such model, a Hub id without a pinned revision, or a language that it does not have.
        MissingWeights: the named weights are not installed or not converted; the message has the command.
        CheckpointError: a model that cannot be read.
        MissingExtra: Transformers is not installed.
    """

    def __init__(
        self,
        name_or_folder: str = "whisper-tiny-en",
        revision: str | None = None,
        *,
        language: str | None = None,
        batch: int = 8,
        context_s: float = WINDOW_S,
        cache: str | Path | None = None,
    ) -> None:
        if batch < 1 or not LEAST_S <= context_s <= WINDOW_S:
            raise ConfigError(
                f"batch {batch}, context_s {context_s}; give at least 1, and {LEAST_S:g} to {WINDOW_S:g} seconds"
            )
        self.batch, self.context_s = batch, context_s
        # the attention of other implementations cannot be looked at
        self.model = load_whisper(name_or_folder, revision, attn_implementation="eager")
        self.encoder = WhisperEncoder(whisper_architecture(self.model.config))
        self.encoder.take(self.model.get_encoder())
        self.words = Vocabulary(self.model, name_or_folder, revision)
        self.language = self.words.checked(language)
        how = {"language": self.language, "context_s": context_s, "decoder": DECODER}
        self.cache: ResultCache | None = None
        if cache is not None:
            maker = combined_key([weights_key(name_or_folder, revision), json.dumps(how, sort_keys=True)])
            self.cache = ResultCache(cache, maker)

    @torch.inference_mode()
    def transcribe(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> list[Transcript]:
        """Write down what is said in recordings of any length from 0.1 s.

        Args:
            waves: N mono waveforms, (T,).
            rates_hz: their N sampling rates.

        Returns:
            N transcripts; of digital silence an empty one.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        if len(waves) != len(rates_hz):
            raise DataError(f"{len(waves)} waveforms and {len(rates_hz)} rates; give one rate for each waveform")
        keys = ["" if self.cache is None else wave_key(wave, rate) for wave, rate in zip(waves, rates_hz, strict=True)]
        found: dict[int, Transcript] = {}
        if self.cache is not None:
            known = ((number, self.cache.get(key)) for number, key in enumerate(keys))
            found = {number: _read(value) for number, value in known if value is not None}
        due = [number for number in range(len(waves)) if number not in found]
        said: dict[int, list[tuple[_Window, _Said, list[Word]]]] = {number: [] for number in due}
        for some in _batches(self._windows(waves, rates_hz, due), self.batch):
            for window, one, words in self._decoded(some):
                said[window.clip].append((window, one, words))
            # the last clip may go on in the next batch; those before it are kept now, if the caller is killed then
            for number in [number for number in said if number < some[-1].clip]:
                found[number] = self._finished(said.pop(number), keys[number])
        found |= {number: self._finished(parts, keys[number]) for number, parts in said.items()}
        return [found[number] for number in range(len(waves))]

    def _finished(self, parts: Sequence[tuple[_Window, _Said, list[Word]]], key: str) -> Transcript:
        """Join the windows of a clip and keep the result."""
        made = self._joined(parts)
        if self.cache is not None:
            self.cache.put(key, asdict(made))
        return made

    def _windows(self, waves: Sequence[Float], rates_hz: Sequence[int], due: Sequence[int]) -> Iterable[_Window]:
        for number in due:
            wave, rate = _checked(waves[number], rates_hz[number], f"waveform {number + 1} of {len(waves)}")
            ready = np.ascontiguousarray(resample(wave, rate, RATE_HZ), dtype=np.float32)
            for start, end in windows(ready):
                yield _Window(number, start / RATE_HZ, ready[start:end])

    def _decoded(self, some: Sequence[_Window]) -> list[tuple[_Window, _Said, list[Word]]]:
        """Decode windows together: those with a signal, padded to the same length."""
        silent = [window for window in some if np.ptp(window.wave) <= SILENCE_PEAK_TO_PEAK]
        heard = [window for window in some if np.ptp(window.wave) > SILENCE_PEAK_TO_PEAK]
        none: list[tuple[_Window, _Said, list[Word]]] = [(one, _Said([], "", "no-speech"), []) for one in silent]
        if not heard:
            return none
        sizes = [self._context(len(window.wave)) for window in heard]
        batch = torch.zeros(len(heard), max(sizes))
        for row, window in zip(batch, heard, strict=True):
            row[: len(window.wave)] = torch.from_numpy(window.wave)
        states, mask = self.encoder(batch, torch.tensor(sizes))
        made: list[tuple[_Window, _Said, list[Word]]] = []
        # the decoder has no mask for frames: rows of one length go through it together
        for size in sorted(set(mask.sum(1).tolist())):
            rows = (mask.sum(1) == size).nonzero()[:, 0]
            own = states[rows, :size]
            said = self._greedy(own)
            times = self._times(own, said, [heard[row] for row in rows.tolist()])
            made += [(heard[row], one, words) for row, one, words in zip(rows.tolist(), said, times, strict=True)]
        return none + made

    def _context(self, samples: int) -> int:
        """Give the samples that a window is padded to, in steps of 5 s."""
        seconds = max(self.context_s, LEAST_S * math.ceil(samples / RATE_HZ / LEAST_S + 1))
        return round(min(seconds, WINDOW_S) * RATE_HZ)

    def _greedy(self, states: Tensor) -> list[_Said]:
        """Decode rows of frames (B, T, D) token by token."""
        languages = self._languages(states)
        size, end = len(states), self.words.end
        tokens: list[list[int]] = [[] for _ in range(size)]
        warnings = ["cut-off"] * size
        total, silence = [0.0] * size, [0.0] * size
        open_rows, past, given = set(range(size)), None, self.words.prompts(languages)
        for step in range(self.model.config.max_target_positions // 2):
            out = self._step(states, given, past)
            past = out.past_key_values
            if step == 0 and self.words.no_speech is not None:
                silence = out.logits[:, 0].softmax(-1)[:, self.words.no_speech].tolist()
            logits = out.logits[:, -1] + (self.words.never_first if step == 0 else self.words.never)
            best = logits.log_softmax(-1).max(-1)
            given = best.indices[:, None]
            for row in sorted(open_rows):
                token = int(given[row, 0])
                total[row] += float(best.values[row])
                tokens[row].append(token)
                phrase = loop(tokens[row])
                if token == end or phrase:
                    open_rows.discard(row)
                    tokens[row] = tokens[row][: -1 if token == end else phrase]
                    warnings[row] = "" if token == end else "repetition"
            if not open_rows:
                break
        rows = zip(tokens, languages, warnings, total, silence, strict=True)
        return [self._judged(*row) for row in rows]

    def _judged(self, tokens: list[int], language: str, warning: str, logprob: float, silence: float) -> _Said:
        """Take away what was written over no speech."""
        unsure = logprob / (len(tokens) + 1) < LEAST_LOGPROB or len(tokens) <= FEW_TOKENS
        says = any(character.isalnum() for character in self.words.decode(tokens))
        if says and not (silence > NO_SPEECH and unsure):
            return _Said(tokens, language, warning)
        return _Said([], language, "no-speech")

    def _languages(self, states: Tensor) -> list[str]:
        """Give the language of each row: the one that was asked for, or the likeliest."""
        if self.language is not None or not self.words.languages:
            return [self.language or ENGLISH] * len(states)
        logits = self._step(states, torch.full((len(states), 1), self.words.start), None).logits[:, -1]
        codes, ids = zip(*sorted(self.words.languages.items()), strict=True)
        return [codes[place] for place in logits[:, list(ids)].argmax(-1).tolist()]

    def _step(self, states: Tensor, tokens: Tensor, past: Any) -> Any:
        return self.model(
            encoder_outputs=(states,), decoder_input_ids=tokens, past_key_values=past, use_cache=True, return_dict=True
        )

    def _times(self, states: Tensor, said: Sequence[_Said], some: Sequence[_Window]) -> list[list[Word]]:
        """Give the words of each row with their times."""
        found: list[list[Word]] = [[] for _ in said]
        rows = [row for row, one in enumerate(said) if one.tokens]
        if not rows:
            return found
        head = self.words.prompts([said[row].language for row in rows])
        longest = max(len(said[row].tokens) for row in rows)
        tail = [said[row].tokens + [self.words.end] * (longest - len(said[row].tokens)) for row in rows]
        ids = torch.cat([head, torch.tensor(tail)], dim=1)
        out = self.model(
            encoder_outputs=(states[rows],),
            decoder_input_ids=ids,
            output_attentions=True,
            use_cache=False,
            return_dict=True,
        )
        heads = torch.stack([out.cross_attentions[layer][:, number] for layer, number in self.words.heads], 1).float()
        for place, row in enumerate(rows):
            tokens, window = said[row].tokens, some[row]
            frames = min(states.shape[1], max(1, math.ceil(len(window.wave) / (2 * HOP))))
            first = head.shape[1] - 1  # what the last token of the prompt looks at is the first word
            own = heads[place, :, first : first + len(tokens) + 1, :frames]
            edges = starts(own.numpy()) / FRAMES_PER_S
            found[row] = self._words(tokens, edges, window, said[row].language)
        return found

    def _words(self, tokens: list[int], edges: np.ndarray, window: _Window, language: str) -> list[Word]:
        _, onset, offset = trim_silence(window.wave, RATE_HZ)
        low, high = onset / RATE_HZ, offset / RATE_HZ
        inside = window.start_s + np.clip(edges, low, high)
        pieces = grouped(tokens, self.words.decode, language not in UNSPACED)
        return [Word(text, round(float(inside[a]), 3), round(float(inside[b]), 3)) for text, a, b in pieces]

    def _joined(self, parts: Sequence[tuple[_Window, _Said, list[Word]]]) -> Transcript:
        """Join the windows of a clip."""
        ordered = sorted(parts, key=lambda part: part[0].start_s)
        texts = [self.words.decode(said.tokens).strip() for _, said, _ in ordered]
        warned = tuple(f"{said.warning}: window at {at.start_s:.1f} s" for at, said, _ in ordered if said.warning)
        words = tuple(word for _, _, own in ordered for word in own)
        language = next((said.language for _, said, _ in ordered if said.tokens), "")
        return Transcript(" ".join(filter(None, texts)), words, language, warned)


def windows(wave: Float) -> list[tuple[int, int]]:
    """Cut a waveform into parts of at most 30 s, each at the quietest 0.2 s of the last 10 s it may have.

    Args:
        wave: (T,) at 16 kHz.

    Returns:
        First sample and the one after the last of each part; together they are the whole.
    """
    longest, search, frame = (round(seconds * RATE_HZ) for seconds in (WINDOW_S, SEARCH_S, QUIET_S / 10))
    found, start = [], 0
    while len(wave) - start > longest:
        part = wave[start + longest - search : start + longest]
        power = np.square(part[: len(part) // frame * frame].reshape(-1, frame), dtype=np.float64).sum(1)
        running = np.convolve(power, np.ones(10), mode="valid")
        # of equally quiet places the last one
        quietest = len(running) - 1 - int(np.argmin(running[::-1]))
        cut = start + longest - search + (quietest + 5) * frame
        found.append((start, cut))
        start = cut
    return [*found, (start, len(wave))]


def _batches(windows: Iterable[_Window], size: int) -> Iterable[list[_Window]]:
    some: list[_Window] = []
    for window in windows:
        some.append(window)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _checked(wave: Float, rate_hz: int, where: str) -> tuple[Float, int]:
    array = np.asarray(wave)
    if array.ndim != 1:
        raise AudioError(f"{where} has the shape {array.shape}; a transcriber takes one channel, (T,)")
    try:
        if array.size and array.dtype.kind == "f" and np.ptp(array) <= SILENCE_PEAK_TO_PEAK:
            check_rate(int(rate_hz))  # silence is no error here: nothing was said
        else:
            check(array, int(rate_hz))
    except AudioError as error:
        raise AudioError(f"{where}: {error}") from None
    return array.astype(np.float32), int(rate_hz)


def _read(value: dict[str, Any]) -> Transcript:
    words = tuple(Word(**word) for word in value["words"])
    return Transcript(value["text"], words, value["language"], tuple(value["warnings"]))
