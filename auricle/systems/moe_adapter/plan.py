"""Which clips a split has and what is asked about them: everything is drawn before a sample is made.

Items come in fours: one set of four options, each of them once the answer, each answer at another letter. Of every
class a task needs, clips are made in turn from the recordings of the split, and each is asked about a few times.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data.choices import OPTIONS, ChoiceItem, balanced, option_sets
from auricle.data.worlds.events import PACES
from auricle.data.worlds.listening import TIMES, ClipPlan
from auricle.data.worlds.recordings import Stem, Stock
from auricle.data.worlds.tunes import CHORDS, CONTOURS, INSTRUMENTS, TEMPI_BPM
from auricle.systems.moe_adapter.config import DOMAINS, DataConfig
from auricle.systems.moe_adapter.questions import (
    COLOURS,
    fact_table,
    heard_facts,
    in_order,
    item,
    orders,
)

_FIXED = {"mode": tuple(CHORDS), "tempo": tuple(TEMPI_BPM), "contour": tuple(CONTOURS), "pace": tuple(PACES)}
_WORD_TRIES = 200


@dataclass(frozen=True)
class _Asked:
    """One item whose clip is not chosen yet."""

    task: str
    options: tuple[str, ...]
    place: int
    pool: str  # of the clip
    answer: str  # class of the clip; of a fact its key
    stems: tuple[Stem, ...] = ()  # where the question itself decides the recording


@dataclass(frozen=True)
class SplitPlan:
    """The clips and items of one split."""

    clips: list[ClipPlan]
    items: list[ChoiceItem]


def facts_of(cfg: DataConfig, found: Stock) -> dict[str, str]:
    """Give the table of facts: a colour for every number and letter that training, dev and test say."""
    keys = [
        key
        for pool in ("number", "letter")
        for key in sorted(found["train"][pool])
        if all(found[split][pool].get(key) for split in found)
    ]
    return fact_table(keys, cfg.seed)


def plan(cfg: DataConfig, found: Stock, split: str) -> SplitPlan:
    """Draw the clips and items of a split.

    Args:
        cfg: sizes, tasks and seed.
        found: recordings of every split.
        split: ``train``, ``dev`` or ``test``.

    Raises:
        DataError: a task for which the corpus has too few classes.
    """
    clips: list[ClipPlan] = []
    items: list[ChoiceItem] = []
    for domain in DOMAINS:
        tasks = cfg.tasks_of(domain)
        count = max(1, getattr(cfg, split) // len(tasks) // OPTIONS)
        asked = [one for task in tasks for one in _asked(cfg, found, split, domain, task, count)]
        made = _with_clips(cfg, found[split], split, domain, asked)
        clips += list({clip.id: clip for clip, _ in made}.values())
        items += [one for _, one in made]
    return SplitPlan(clips, items)


def _asked(cfg: DataConfig, found: Stock, split: str, domain: str, task: str, count: int) -> list[_Asked]:
    """Draw the items of one task, `count` sets of four."""
    draws = rng(cfg.seed, "questions", split, domain, task)
    if task == "fact":
        return _facts(cfg, found, split, count, draws)
    if task == "word":
        return _words(found, split, count, draws)
    pool = "speech pace" if (task, domain) == ("pace", "speech") else "music pace" if task == "pace" else task
    if task in _FIXED:
        sets = [_FIXED[task]] * count
    elif task == "count":
        sets = [TIMES] * count
    else:
        classes = _classes(found, split, "event" if task == "order" else task)
        sets = option_sets(classes, count, draws)
        sets = [orders(classes) for classes in sets] if task == "order" else sets
    return [
        _Asked(task, shown, place, pool, options[own])
        for options in sets
        for own, (shown, place) in enumerate(balanced(options, draws))
    ]


def _classes(found: Stock, split: str, pool: str) -> list[str]:
    """Name the classes that training and this split both have."""
    if pool == "instrument":
        return [*INSTRUMENTS, *_classes(found, split, "drum")]
    classes = [name for name in sorted(found["train"][pool]) if found[split][pool].get(name)]
    if len(classes) < OPTIONS:
        raise DataError(
            f"the corpus has {len(classes)} classes of {pool} in both train and {split}; {OPTIONS} are needed: leave "
            f"{pool} out of data.tasks, or use another corpus"
        )
    return classes


def _facts(cfg: DataConfig, found: Stock, split: str, count: int, draws: np.random.Generator) -> list[_Asked]:
    """Ask for colours; training asks by audio about some keys only, the others it knows from texts."""
    table = facts_of(cfg, found)
    heard = heard_facts(table, cfg.facts_by_audio, cfg.seed) if cfg.facts_by_audio else set()
    if split == "train" and not heard:
        return []
    keys = {
        colour: [key for key in sorted(table) if table[key] == colour and (split != "train" or key in heard)]
        for colour in COLOURS
    }
    for own in keys.values():
        draws.shuffle(own)
    turn = dict.fromkeys(COLOURS, 0)
    asked = []
    for colours in option_sets(COLOURS, count, draws):
        for colour, (shown, place) in zip(colours, balanced(colours, draws), strict=True):
            key = keys[colour][turn[colour] % len(keys[colour])]
            turn[colour] += 1
            pool = "letter" if key.startswith("letter ") else "number"
            asked.append(_Asked("fact", shown, place, pool, key))
    return asked


def _words(found: Stock, split: str, count: int, draws: np.random.Generator) -> list[_Asked]:
    """Ask which word a sentence has; none of the other options is in it."""
    classes = _classes(found, split, "word")
    turn: Counter[str] = Counter()
    asked: list[_Asked] = []
    for _ in range(count):
        for _ in range(_WORD_TRIES):
            words = option_sets(classes, 1, draws)[0]
            fitting = [
                [stem for stem in found[split]["word"][word] if stem.words.isdisjoint(set(words) - {word})]
                for word in words
            ]
            if all(fitting):
                break
        else:
            raise DataError(f"no four sentences of {split} were found with a word each that the others lack")
        for word, stems, (shown, place) in zip(words, fitting, balanced(words, draws), strict=True):
            asked.append(_Asked("word", shown, place, "word", word, (stems[turn[word] % len(stems)],)))
            turn[word] += 1
    return asked


def _with_clips(
    cfg: DataConfig, pools: dict[str, dict[str, list[Stem]]], split: str, domain: str, asked: Sequence[_Asked]
) -> list[tuple[ClipPlan, ChoiceItem]]:
    """Give every item a clip: those of its class in turn, each for `cfg.questions` items of a task."""
    uses = Counter((one.pool, one.answer) for one in asked)
    sharing: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in asked:
        sharing[one.pool, one.answer].add(one.task)
    turn: Counter[tuple[str, str, str]] = Counter()
    made = []
    for number, one in enumerate(asked):
        key = one.pool, one.answer
        variants = -(-uses[key] // (cfg.questions * len(sharing[key])))
        variant = turn[(*key, one.task)] % variants
        turn[(*key, one.task)] += 1
        clip = _clip(cfg, pools, split, domain, one, variant)
        what = _what(one, clip)
        worded = item(f"{split}-{domain}-{one.task}-{number:05d}", domain, one.task, one.options, one.place, what)
        facts: dict[str, Any] = {"recordings": list(clip.recordings)}
        if one.task == "fact":
            facts |= {"key": one.answer}
        made.append((clip, replace(worded, clip=clip.id, group=clip.group, subset=clip.subset, facts=facts)))
    return made


def _what(one: _Asked, clip: ClipPlan) -> str:
    """Say what evidence and naming tell beside the answer."""
    if one.task == "word":
        return clip.stems[0].clip.text
    if one.task == "count":
        return clip.stems[0].clip.label.replace("_", " ")
    return one.answer


def _clip(
    cfg: DataConfig,
    pools: dict[str, dict[str, list[Stem]]],
    split: str,
    domain: str,
    one: _Asked,
    variant: int,
) -> ClipPlan:
    """Choose the recordings of the n-th clip of a class."""
    if one.stems:  # the same sentence is the same clip for every word in it
        return ClipPlan(f"{split}-word-{one.stems[0].clip.id}", domain, "word", one.answer, one.stems)
    slug = one.answer.replace(" ", "_").replace(",", "")
    name = f"{split}-{one.pool.replace(' ', '_')}-{slug}-{variant:03d}"
    plain = ClipPlan(name, domain, one.pool, one.answer)

    def turn(pool: str, label: str) -> Stem:
        stems = pools[pool].get(label, [])
        if not stems:
            raise DataError(f"the corpus has no {pool} {label} for {split}; leave {one.task} out of data.tasks")
        order = rng(cfg.seed, "turn", split, one.pool, one.answer, pool, label).permutation(len(stems))
        return stems[int(order[variant % len(stems)])]

    draws = rng(cfg.seed, "stems", name)
    if one.pool == "order":
        first, second = next(
            (a, b) for a in pools["event"] for b in pools["event"] if in_order(a, b) == one.answer and a != b
        )
        return replace(plain, stems=(turn("event", first), turn("event", second)))
    if one.pool == "count":
        return replace(plain, stems=(turn("short", ""),))
    if one.pool in ("speech pace", "music pace"):
        return replace(plain, stems=(turn("said" if domain == "speech" else "played", ""),))
    if one.pool == "instrument":
        return plain if one.answer in INSTRUMENTS else replace(plain, stems=(turn("drum", one.answer),))
    if one.pool == "tempo":
        drums = sorted(name for name in pools["drum"] if pools["drum"][name])
        own = turn("drum", drums[int(draws.integers(len(drums)))]) if drums and draws.random() < 0.5 else None
        return replace(plain, stems=(own,) if own else ())
    if one.pool in ("mode", "contour"):
        return plain
    return replace(plain, stems=(turn(one.pool, one.answer),))
