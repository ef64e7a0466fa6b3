"""Counterfactuals: the same clip with its artefact elsewhere, and without it. Does the text follow the audio?

Everything but the artefact stays as it was, codec, noise and level included, so a text that follows has heard it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AudioError, DataError
from auricle.core.seed import rng
from auricle.data.worlds.artefacts import Artefact, artefact, inject, places_of
from auricle.metrics.evidence import Estimate, share
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.rationale import Evidence, read
from auricle.systems.ft_grpo.world import Excerpt, World
from auricle.systems.ft_grpo.world_config import DataConfig

REACH = {"frequency": 0, "time": 1}  # how far from the true place a text may say; bins are short
LEAST_MOVE = {"frequency": 1, "time": 3}  # a move goes at least so far, so that no text is near both places

Answer = Callable[[np.ndarray], Sequence[str]]


@dataclass(frozen=True)
class Case:
    """A fake clip and its two counterfactuals.

    Attributes:
        item: the fake as it stands in its set.
        moved: what was moved, at its old place.
        place: its new place.
        waves: (3, N) int16: the fake, with the artefact moved, and with no artefact at all.
    """

    item: Item
    moved: Artefact
    place: int
    waves: np.ndarray


def build(cfg: DataConfig, items: Sequence[Item], count: int, name: str = "test") -> list[Case]:
    """Make counterfactuals of fakes whose artefacts are known, of every type in turn.

    Args:
        cfg: the config that the clips were made with.
        items: clips of one set.
        count: how many cases; fewer where there are fewer fakes, or clips that can carry the artefact nowhere else.
        name: the set.

    Raises:
        DataError: no fake with known artefacts, or clips of another world.
    """
    fakes = [item for item in items if item.label == "fake" and item.artefacts]
    if not fakes:
        raise DataError("no fake with known artefacts among the clips; counterfactuals need the artefact world")
    order = rng(cfg.seed, "counterfactuals", name).permutation(len(fakes))
    by_type: dict[str, list[Item]] = {}
    for place in order:
        by_type.setdefault(fakes[place].type, []).append(fakes[place])
    turns = max(len(some) for some in by_type.values())
    queue = [by_type[kind][turn] for turn in range(turns) for kind in sorted(by_type) if turn < len(by_type[kind])]
    world = World(cfg)
    excerpts = world.named(name, {item.pair for item in queue})
    cases: list[Case] = []
    for item in queue:
        if len(cases) == count:
            break
        case = _case(world, excerpts[item.pair], item)
        if case is not None:
            cases.append(case)
    return cases


def score(cases: Sequence[Case], answer: Answer, n: int = 1000, *, seed: int) -> dict[str, Estimate]:
    """Ask for the text of every clip of every case, and see whether it follows.

    Args:
        cases: from `build`.
        answer: waves (B, N) int16 -> one text each.
        n: bootstrap replicates, by group.
        seed: of the resampling.

    Returns:
        ``follows_frequency``, ``follows_time``: the text names the old place before and the new one after the move.
        ``moved_hit_*``: it names the new place after the move. ``stuck_*``: it still names the old one. ``flips``:
        the verdict is fake with the artefacts and real without. ``removed_real``: it is real without. A band must be
        the right one, a bin within one. A domain without cases has no rows.

    Raises:
        DataError: no cases, or another number of texts than clips.
    """
    if not cases:
        raise DataError("there are no cases to ask about")
    texts = list(answer(np.concatenate([case.waves for case in cases])))
    if len(texts) != 3 * len(cases):
        raise DataError(f"{len(texts)} texts for {3 * len(cases)} clips; give one a clip")
    said = [read(text) for text in texts]
    triples = [said[3 * place : 3 * place + 3] for place in range(len(cases))]
    found: dict[str, Estimate] = {}
    for domain in REACH:
        rows = [(case, triple) for case, triple in zip(cases, triples, strict=True) if case.moved.domain == domain]
        if not rows:
            continue
        hit = [_names(triple[1], domain, case.place) for case, triple in rows]
        was = [_names(triple[0], domain, case.moved.place) for case, triple in rows]
        stuck = [_names(triple[1], domain, case.moved.place) for case, triple in rows]
        groups = [case.item.group for case, _ in rows]
        follows = [before and after for before, after in zip(was, hit, strict=True)]
        for title, values in (("follows", follows), ("moved_hit", hit), ("stuck", stuck)):
            found[f"{title}_{domain}"] = share(values, groups, n, seed=seed)
    groups = [case.item.group for case in cases]
    flips = [triple[0].label == "fake" and triple[2].label == "real" for triple in triples]
    found["flips"] = share(flips, groups, n, seed=seed)
    found["removed_real"] = share([triple[2].label == "real" for triple in triples], groups, n, seed=seed)
    return found


def _names(said: Evidence, domain: str, place: int) -> bool:
    claimed = said.band if domain == "frequency" else said.bin
    return claimed is not None and abs(claimed - place) <= REACH[domain]


def _case(world: World, excerpt: Excerpt, item: Item) -> Case | None:
    """Move one artefact of a clip; None where the clip can carry it nowhere else."""
    clean = world.clean(excerpt)
    draws = rng(world.cfg.seed, "move", excerpt.id)
    known = item.artefacts or ()
    moved = known[int(draws.integers(len(known)))]
    rest = [one for one in known if one is not moved]
    places = [place for place in places_of(moved.kind) if abs(place - moved.place) >= LEAST_MOVE[moved.domain]]
    for place in draws.permutation(places):
        other = artefact(moved.kind, int(place), moved.strength, draws)
        if moved.domain == "time":
            # as long as it was: only where it lies changes
            other = dataclasses.replace(other, end_s=round(other.start_s + moved.end_s - moved.start_s, 4))
        try:
            changed = inject(clean, [*rest, other], draws)
        except AudioError:
            continue
        waves = [item.wave, world.carried(excerpt, changed, "fake"), world.carried(excerpt, clean, "fake")]
        return Case(item, moved, int(place), np.stack(waves))
    return None
