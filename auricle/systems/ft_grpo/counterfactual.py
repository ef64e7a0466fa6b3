"""Counterfactuals: the same clip with its artefact elsewhere, and without it. Does the text follow the audio?

Everything but the artefact stays as it was, codec, noise and level included, so a text that follows has heard it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from auricle.core.errors import AudioError, DataError
from auricle.core.seed import rng
from auricle.data.worlds.artefacts import Artefact, inject, places_of
from auricle.data.worlds.artefacts import artefact as make_artefact
from auricle.metrics.evidence import Estimate, share
from auricle.systems.ft_grpo.config import DataConfig
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.rationale import Evidence, read
from auricle.systems.ft_grpo.world import Excerpt, World

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
    for index in order:
        by_type.setdefault(fakes[index].type, []).append(fakes[index])
    turns = zip_longest(*(by_type[kind] for kind in sorted(by_type)))
    queue = [item for turn in turns for item in turn if item is not None]
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
    claims = [read(text) for text in texts]
    # of each case what is claimed of the fake, of the moved artefact, of the clip without it
    rows = list(zip(cases, claims[::3], claims[1::3], claims[2::3], strict=True))
    estimates: dict[str, Estimate] = {}
    for domain in REACH:
        of_domain = [(case, fake, moved) for case, fake, moved, _ in rows if case.moved.domain == domain]
        if not of_domain:
            continue
        groups = [case.item.group for case, _, _ in of_domain]
        hit = [names(moved, domain, case.place) for case, _, moved in of_domain]
        stuck = [names(moved, domain, case.moved.place) for case, _, moved in of_domain]
        before = [names(fake, domain, case.moved.place) for case, fake, _ in of_domain]
        follows = [was and now for was, now in zip(before, hit, strict=True)]
        for title, values in (("follows", follows), ("moved_hit", hit), ("stuck", stuck)):
            estimates[f"{title}_{domain}"] = share(values, groups, n, seed=seed)
    groups = [case.item.group for case in cases]
    flips = [fake.label == "fake" and removed.label == "real" for _, fake, _, removed in rows]
    estimates["flips"] = share(flips, groups, n, seed=seed)
    estimates["removed_real"] = share([removed.label == "real" for *_, removed in rows], groups, n, seed=seed)
    return estimates


def names(claim: Evidence, domain: str, place: int) -> bool:
    """Say whether a text names a place of a domain, or in time one beside it."""
    claimed = claim.finding(domain).place
    return claimed is not None and abs(claimed - place) <= REACH[domain]


def _case(world: World, excerpt: Excerpt, item: Item) -> Case | None:
    """Move one artefact of a clip; None where the clip can carry it nowhere else."""
    clean = world.clean(excerpt)
    draws = rng(world.cfg.seed, "move", excerpt.id)
    artefacts = item.artefacts or ()
    moved = artefacts[int(draws.integers(len(artefacts)))]
    rest = [artefact for artefact in artefacts if artefact is not moved]
    places = [place for place in places_of(moved.kind) if abs(place - moved.place) >= LEAST_MOVE[moved.domain]]
    for place in draws.permutation(places):
        other = make_artefact(moved.kind, int(place), moved.strength, draws)
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
