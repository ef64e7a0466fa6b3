"""Recordings of a corpus by what they are the answer to, in three splits: apart by voice, recording and package.

Speech: a voice is in one split; of languages with one voice its sentences are (``known voice``). Sounds: kinds of a
package (such as footsteps on snow) are in one split where a class has four, else recordings are; two small packages
are in the test set alone (``new package``). Music is procedural but for drums, loops and tracks, which are apart too.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.audio import level
from auricle.audio.files import read_mono
from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data import corpora, fields
from auricle.data.embedded import Clip
from auricle.data.splits import drop_shared_texts, split_groups
from auricle.data.worlds.events import RATE_HZ

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
_TENS = {"30": "thirty", "40": "forty", "50": "fifty", "60": "sixty", "70": "seventy", "80": "eighty", "90": "ninety"}
NUMBERS = {str(number): word for number, word in enumerate(_UNITS + _TEENS)} | _TENS
LANGUAGES = {
    "be": "Belarusian",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ro": "Romanian",
    "ru": "Russian",
}

ACTED = "flight-of-the-amazon-queen"  # English alone: as language items these clips would be told by their style
HELD = ("gcompris-qt-data", "sound-theme-freedesktop")  # packages of sounds that are in the test set alone
DRUMS = ("kick_drum", "snare_drum", "tom_drum", "cymbal", "tabla")
LEAST_CLIPS = 5  # recordings of a class of sounds, that each split has some
SHORT_S, SAID_S = 0.5, 0.9
_SHARES = {"test": 0.3, "dev": 0.15}
_TEXT_SHARES = {"train": 0.55, "dev": 0.2}  # of the sentences of voices that every split has; the rest is for test


@dataclass(frozen=True)
class Stem:
    """A recording that clips are made of.

    Attributes:
        clip: the recording.
        group: voice, kind of sound, or track; in one split only, but for a ``known voice``.
        subset: of dev and test ``new voice``, ``known voice``, ``new sound`` or ``new package``; of train ``""``.
        words: what is said, in lower case, each once.
    """

    clip: Clip
    group: str
    subset: str
    words: frozenset[str] = frozenset()


Pools = dict[str, dict[str, list[Stem]]]  # pool -> class -> recordings
Stock = dict[str, Pools]  # split -> pools


@functools.lru_cache(maxsize=4096)
def sounding(clip: Clip) -> np.ndarray:
    """Decode a recording at 16 kHz without the silence around it, (T,) float32; kept in memory."""
    return level.trim_silence(read_mono(clip.file(), RATE_HZ)[0], RATE_HZ)[0].astype(np.float32)


def stock(source: str, split: int) -> Stock:
    """Sort the recordings of a corpus.

    Args:
        source: name of the corpus.
        split: number of the draw.

    Raises:
        DataError: a split without what the tasks need.
    """
    corpus = corpora.corpus(source)
    made: Stock = {name: defaultdict(lambda: defaultdict(list)) for name in fields.SPLITS}
    _add_speech(made, corpus.clips(kind="speech"), split)
    _add_sounds(made, corpus.clips(kind="sound"), split)
    _add_music(made, corpus.clips(kind="music"), split)
    return made


def _add_speech(made: Stock, clips: Sequence[Clip], split: int) -> None:
    clips = [clip for clip in clips if clip.split_group and clip.language]
    roles = voice_roles([clip for clip in clips if clip.package != ACTED], split)
    acted = [clip for clip in clips if clip.package == ACTED]
    if acted:
        roles |= split_groups({clip.split_group: clip.package for clip in acted}, split)
    for clip in clips:
        role = roles[clip.split_group]
        where, subset = (role, "new voice") if role != "train" else ("train", "known voice")
        if not clip.label and clip.package != ACTED:
            text = _text_split(clip, split)
            if role == "train":
                where = text
            elif text != role:
                continue  # its sentence is another split's
        subset = "" if where == "train" else subset
        stem = Stem(clip, f"voice {clip.split_group}", subset, frozenset(re.findall(r"[a-z']+", clip.text.lower())))
        for pool, name in _said(clip):
            # only to tell languages are voices of training heard again, with other sentences
            if pool == "language" or where == "train" or subset == "new voice":
                made[where][pool][name].append(stem)
    _new_languages(made)
    _texts_apart(made)
    _add_words(made)


def voice_roles(clips: Iterable[Clip], split: int) -> dict[str, str]:
    """Say in which split each voice is: of every language the training set has one.

    Where a language has two voices that say numbers or letters, one is held out, in turn for test and for dev; of three
    or more, one for each.

    Args:
        clips: recordings with voice and language.
        split: number of the draw.
    """
    clips = list(clips)
    voices: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.label in NUMBERS or re.fullmatch("[a-z]", clip.label):
            voices[clip.language].add(clip.split_group)
    languages: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        languages[clip.split_group].add(clip.language)
    roles = dict.fromkeys(sorted(languages), "train")
    draws, turn = rng(split, "held voices"), 0
    several = sorted(language for language, groups in voices.items() if len(groups) > 1)
    for at in draws.permutation(len(several)):
        groups = sorted(voices[several[int(at)]])
        # who speaks two languages stays, for the other one may have no one else
        free = [group for group in groups if len(languages[group]) == 1 and roles[group] == "train"]
        order = [free[int(place)] for place in draws.permutation(len(free))]
        for group in order[: 2 if len(groups) > 2 else 1]:
            roles[group] = ("test", "dev")[turn % 2]
            turn += 1
    return roles


def _text_split(clip: Clip, split: int) -> str:
    """Say in which split a sentence is, whoever says it."""
    draw = rng(split, "sentence", clip.prompt or clip.text or clip.id).random()
    train = _TEXT_SHARES["train"]
    return "train" if draw < train else "dev" if draw < train + _TEXT_SHARES["dev"] else "test"


def _said(clip: Clip) -> list[tuple[str, str]]:
    """Name the pools and classes that a recording of speech belongs to."""
    found = [("said", "")]
    if clip.label in NUMBERS:
        found.append(("number", NUMBERS[clip.label]))
    elif re.fullmatch("[a-z]", clip.label):
        found.append(("letter", f"letter {clip.label}"))
    elif not clip.label and clip.package != ACTED and clip.language in LANGUAGES:
        found.append(("language", LANGUAGES[clip.language]))
    elif clip.package == ACTED and clip.text and clip.duration_s <= 2.5:
        found.append(("sentence", ""))
    return found


def _new_languages(made: Stock) -> None:
    """Keep, of each language, the sentences of new voices alone where dev or test has one.

    A known voice tells its language whatever it says; where there is no other, its sentences stay and say so.
    """
    for pools in made.values():
        for language, stems in pools["language"].items():
            new = [stem for stem in stems if stem.subset == "new voice"]
            pools["language"][language] = new or stems


def _texts_apart(made: Stock) -> None:
    """Leave out sentences that an earlier split says too, word for word."""
    rows = [
        (stem.clip.id, split, f"{stem.clip.language}:{' '.join(stem.clip.text.lower().split())}")
        for split, pools in made.items()
        for stem in pools["said"][""]
        if stem.clip.text and not stem.clip.label
    ]
    out, _ = drop_shared_texts(rows)
    for pools in made.values():
        for pool in ("said", "sentence"):
            pools[pool][""] = [stem for stem in pools[pool][""] if stem.clip.id not in out]


def _add_words(made: Stock) -> None:
    """Sort sentences by the words that three or more of training, and some of dev and of test, have."""
    least = {"train": 3, "dev": 1, "test": 2}
    counts = {
        split: {word: [s for s in made[split]["sentence"][""] if word in s.words] for word in _words(made, split)}
        for split in least
    }
    common = {
        word
        for word in counts["train"]
        if len(word) >= 3 and all(len(counts[split].get(word, ())) >= number for split, number in least.items())
    }
    for split in least:
        for word in sorted(common):
            made[split]["word"][word] = counts[split][word]


def _words(made: Stock, split: str) -> set[str]:
    return {word for stem in made[split]["sentence"][""] for word in stem.words}


def _add_sounds(made: Stock, clips: Sequence[Clip], split: int) -> None:
    by_label: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.label:
            by_label[clip.label].append(clip)
    for label, known in sorted(by_label.items()):
        own = [clip for clip in known if clip.package not in HELD]
        if label in DRUMS:
            _share_out(made, "drum", label, own, split)
        elif len(own) >= LEAST_CLIPS:
            _share_out(made, "event", label, own, split)
            _add(made, "test", "event", label, [clip for clip in known if clip.package in HELD], "new package")
    for pools in made.values():
        every = [stem for stems in pools["event"].values() for stem in stems]
        pools["short"][""] = [stem for stem in every if 0.1 <= len(sounding(stem.clip)) / RATE_HZ <= SHORT_S]


def _share_out(made: Stock, pool: str, label: str, clips: Sequence[Clip], split: int) -> None:
    """Split the recordings of a class by kind where it has four kinds or more, else by recording."""
    kinds = {clip.id: f"{clip.package} {clip.detail}" for clip in clips}
    units = sorted(set(kinds.values()))
    if len(units) < 4:
        kinds = {clip.id: clip.id for clip in clips}
        units = sorted(kinds)
    order = [units[int(at)] for at in rng(split, "sounds", label).permutation(len(units))]
    tests = max(1, round(_SHARES["test"] * len(order)))
    devs = max(1, round(_SHARES["dev"] * len(order)))
    where = {unit: "test" if at < tests else "dev" if at < tests + devs else "train" for at, unit in enumerate(order)}
    for name in fields.SPLITS:
        _add(made, name, pool, label, [clip for clip in clips if where[kinds[clip.id]] == name], "new sound")


def _add(made: Stock, split: str, pool: str, label: str, clips: Sequence[Clip], subset: str) -> None:
    for clip in clips:
        group = f"{clip.package} {clip.label} {clip.detail}".strip()
        made[split][pool][label.replace("_", " ")].append(Stem(clip, group, "" if split == "train" else subset))


def _add_music(made: Stock, clips: Sequence[Clip], split: int) -> None:
    """Split loops and tracks by title."""
    titles = {clip.id: f"{clip.label} {clip.detail}".strip() for clip in clips}
    where = split_groups(dict.fromkeys(titles.values(), "music"), split)
    for clip in clips:
        split_of = where[titles[clip.id]]
        subset = "" if split_of == "train" else "new sound"
        made[split_of]["played"][""].append(Stem(clip, f"music {titles[clip.id]}", subset))
    missing = [name for name in fields.SPLITS if not made[name]["played"][""]]
    if missing:
        raise DataError(f"the corpus has no music for {', '.join(missing)}; use another corpus, or leave out pace")
