"""The clips of a run: the fields that `prepare` gives them, and which of them a detector trains and is tested on."""

from __future__ import annotations

import numpy as np

from auricle.data import fields
from auricle.data.clips import Clips

# fields of a clip beside those of `auricle.data.fields`: what it is for, the voice that is claimed, and the attack
ROLE, TARGET, TARGET_GROUP, ATTACK = "role", "target", "target_group", "attack"
ENROL, TEST, SPOOF = "enrol", "test", "spoof"  # roles; leak controls have roles of their own


def of_split(clips: Clips, *names: str) -> np.ndarray:
    """Mark the clips of the voices of some splits, booleans (N,)."""
    return np.isin(clips.values(fields.SPLIT), names)


def genuine_and_attacks(clips: Clips) -> np.ndarray:
    """Mark the clips that a detector is measured on: genuine test clips and attacks, booleans (N,)."""
    return np.asarray((clips.values(ROLE) == TEST) | ~clips.labels)


def real_and_recoded(clips: Clips, controls: Clips, split: str, fake: str, real: str = TEST) -> Clips:
    """Put genuine clips and recoded ones of a split together, the recoded ones labelled as spoofs.

    Args:
        clips: the run's clips.
        controls: the clips of the leak controls.
        split: train, dev or test.
        fake: role of the clips that stand for spoofs.
        real: role of the genuine ones.
    """
    waves, facts = [], []
    for source in (clips, controls):
        roles = source.values(ROLE)
        for index in np.flatnonzero(of_split(source, split) & np.isin(roles, (fake, real))):
            label = {fields.LABEL: fields.SPOOF, fields.FAMILY: fake} if roles[index] == fake else {}
            waves.append(source.waves[index])
            facts.append({**source.facts[index], **label})
    return Clips(waves, facts, clips.rate_hz)
