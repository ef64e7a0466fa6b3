"""Evidence as boxes of a spectrogram: what a text claims, and where artefacts really are."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.data.worlds.artefacts import BAND_EDGES_HZ, CLIP_S, Artefact
from auricle.report.spectrogram import Box
from auricle.systems.ft_grpo.rationale import Evidence

HIGH_HZ = BAND_EDGES_HZ[-1] + 400  # upper end of the pictures


def claimed_boxes(claim: Evidence) -> list[Box]:
    """Give what a text claims as boxes of a clip of 1.5 s: a whole band, a whole bin."""
    boxes = []
    if claim.band_hz is not None:
        boxes.append(Box(f"{claim.frequency}, band {claim.band}", *claim.band_hz, 0.0, CLIP_S))
    if claim.bin_s is not None:
        boxes.append(Box(f"{claim.time}, bin {claim.bin}", BAND_EDGES_HZ[0], BAND_EDGES_HZ[-1], *claim.bin_s))
    return boxes


def true_boxes(artefacts: Sequence[Artefact]) -> list[Box]:
    """Give where artefacts really are, to the sample."""
    boxes = []
    for artefact in artefacts:
        text = f"{artefact.kind}, {'band' if artefact.domain == 'frequency' else 'bin'} {artefact.place}"
        edges = (artefact.low_hz, artefact.high_hz, artefact.start_s, artefact.end_s)
        boxes.append(Box(text, *edges, claimed=False))
    return boxes
