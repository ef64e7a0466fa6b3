"""Which voices train, which tune, which test: split by speaker group, then by text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from auricle.core.errors import DataError
from auricle.core.seed import rng

_SPLITS = ("train", "dev", "test")
_ATTEMPTS = 1000  # small strata are drawn from one pool, so the first draw may leave a class out of a split
SHARES = {"test": 0.3, "dev": 0.12}  # of the voices of each source; the rest trains


def split_groups(
    sources: Mapping[str, str], split: int, shares: Mapping[str, float] = SHARES, attempt: int = 0
) -> dict[str, str]:
    """Assign speaker groups to train, dev and test, each kind of source spread over all three.

    Args:
        sources: kind of source of each speaker group (its package).
        split: number of the draw.
        shares: of the groups of each source that go to ``test`` and ``dev``.
        attempt: number of a further draw, where the first one did not do.

    Returns:
        ``train``, ``dev`` or ``test`` for each group.

    Raises:
        DataError: fewer than three groups.
    """
    if len(sources) < 3:
        raise DataError(
            f"{len(sources)} speaker group(s) cannot be split into train, dev and test; at least 3 are needed"
        )
    draws = rng(split, "voices", attempt) if attempt else rng(split, "voices")
    by_source: dict[str, list[str]] = defaultdict(list)
    for group in sorted(sources):
        by_source[sources[group]].append(group)
    # Sources with too few voices for three splits are pooled, so that none is left out of the draw.
    small = [group for source in sorted(by_source) if len(by_source[source]) < 3 for group in by_source[source]]
    strata = [by_source[source] for source in sorted(by_source) if len(by_source[source]) >= 3]
    assigned: dict[str, str] = {}
    for stratum in [*strata, *([small] if small else [])]:
        order = [stratum[i] for i in draws.permutation(len(stratum))]
        tests = max(1, round(shares["test"] * len(order)))
        devs = max(1, round(shares["dev"] * len(order))) if len(order) > 2 else 0
        for place, group in enumerate(order):
            assigned[group] = "test" if place < tests else "dev" if place < tests + devs else "train"
    return assigned


def split_classes(classes: Mapping[str, Set[str]], split: int) -> dict[str, str]:
    """Assign speaker groups to train, dev and test so that every class is in each of them.

    Args:
        classes: what each speaker group holds clips of: real, fake, or both.
        split: number of the draw.

    Returns:
        ``train``, ``dev`` or ``test`` for each group.

    Raises:
        DataError: a class is in fewer than three groups, so that it cannot be in all splits.
    """
    known = sorted({name for held in classes.values() for name in held})
    for name in known:
        count = sum(name in held for held in classes.values())
        if count < len(_SPLITS):
            raise DataError(
                f"{name} is in {count} speaker group(s); at least {len(_SPLITS)} are needed to have it in train, dev "
                "and test: give more voices of it, or a split column"
            )
    strata = {group: ", ".join(sorted(held)) for group, held in classes.items()}
    for attempt in range(_ATTEMPTS):
        assigned = split_groups(strata, split, attempt=attempt)
        held = {(assigned[group], name) for group, names in classes.items() for name in names}
        if len(held) == len(_SPLITS) * len(known):
            return assigned
    raise DataError(
        f"no split of {len(classes)} speaker groups was found that has {' and '.join(known)} in train, dev and test; "
        "give a split column"
    )


def drop_shared_texts(rows: Sequence[tuple[str, str, str]]) -> tuple[set[str], int]:
    """Find the clips whose words are also said in an earlier split, so that no text is in two.

    Args:
        rows: (clip id, split, text key) of each clip; an empty key is never shared.

    Returns:
        Ids to leave out (from test, then dev), and how many there are.
    """
    seen: dict[str, set[str]] = {
        name: {key for _, split, key in rows if split == name and key} for name in ("train", "dev")
    }
    out = {
        clip
        for clip, split, key in rows
        if key and ((split in ("dev", "test") and key in seen["train"]) or (split == "test" and key in seen["dev"]))
    }
    return out, len(out)
