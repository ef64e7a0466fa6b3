"""Claim 4: the collapse of the codebook, by quantiser and size."""

from __future__ import annotations

from typing import Any

from auricle.claims.claim import Cell, Claim, Measured, Settings, Verdict
from auricle.claims.statistics import over_seeds
from auricle.claims.verdict import compare, difference, verdict
from auricle.systems.unisrcodec.claims.arms import (
    BASE,
    CODES,
    SMALL,
    CodecArm,
    codebook_usage,
    mean_part,
    mel_metrics,
)

ENOUGH = 80.0  # percent of the codes that can appear
KINDS = {"simvq": "SimVQ", "vq": "plain VQ", "ema": "EMA-VQ with reset", "fsq": "FSQ"}
SIZES = ("small", "large")
BEGUN, AS_DRAWN = "begun on latents of the fresh encoder", "as drawn: a Gaussian table, PyTorch's linear map"
ARMS = {
    f"{kind}_{size}": f"{title}, {size} codebook, {'no table' if kind == 'fsq' else BEGUN}"
    for size in SIZES
    for kind, title in KINDS.items()
} | {f"{kind}_small_own": f"{KINDS[kind]}, small codebook, {AS_DRAWN}" for kind in ("simvq", "vq")}


def _arm(cell: Cell) -> CodecArm:
    """Give the codec of one quantiser; the small SimVQ is the one that all claims share."""
    kind, size, *own = cell.arm.split("_")
    shared = (kind, size) == ("simvq", "small")
    settings = (f"model.quantizer={kind}", f"model.codes={CODES[cell.budget][size]}")
    return CodecArm(BASE.settings if shared else settings, as_drawn=bool(own))


def _run(cell: Cell) -> dict[str, Any]:
    """Train with one quantiser; measure log-mels and the use of codes."""
    return {**mel_metrics(cell, _arm(cell)), **codebook_usage(cell, _arm(cell))}


def _settings(cell: Cell) -> Settings:
    return _arm(cell).about(cell)


def _decide(measured: Measured) -> Verdict:
    parts, unbeaten = [], []
    for size in SIZES:
        share = over_seeds(measured.values(f"simvq_{size}", "share"))
        gap = difference(measured, "mel_l1", f"simvq_{size}", f"vq_{size}")
        parts += [
            compare(f"codes that SimVQ uses of those that can appear, {size} codebook, %", share, above=ENOUGH),
            compare(f"log-mel L1, SimVQ less VQ, {size} codebook", gap, below=0.0),
        ]
        for kind in ("ema", "fsq"):
            gap = difference(measured, "mel_l1", f"simvq_{size}", f"{kind}_{size}")
            parts.append(compare(f"log-mel L1, SimVQ less {kind}, {size} codebook", gap))
            if gap.ci95[1] >= 0:
                unbeaten.append(f"{kind} ({size})")
    drawn = difference(measured, "mel_l1", "simvq_small_own", "vq_small_own")
    parts.append(compare("log-mel L1, SimVQ less VQ, small codebook as drawn", drawn))
    parts += [
        mean_part(f"codes used of those that can appear, {arm}, %", measured, arm, "share")
        for arm in measured.cells
        if arm not in ("simvq_small", "simvq_large")
    ]
    notes = []
    if unbeaten:
        notes.append(f"not beaten in L1 by SimVQ: {', '.join(unbeaten)}; against these simplicity is its only argument")
    fewest = min(float(measured.values(f"simvq_{size}", "tokens_a_code").min()) for size in SIZES)
    notes.append(f"at least {fewest:.0f} tokens a code were counted")
    return verdict(difference(measured, "mel_l1", "simvq_large", "vq_large"), parts, notes=notes)


C4 = Claim(
    id="4",
    statement="SimVQ avoids the collapse of the codebook.",
    rule="256 and 1024 codes (FSQ 240 and 1000), every table begun on latents of the fresh encoder: SimVQ's map by "
    "their mean and covariance, VQ and EMA by drawn latents. Confirmed if, at both sizes, SimVQ uses more than "
    f"{ENOUGH:g} % of the codes that so many tokens can show (95 % t interval over seeds wholly above) and its "
    "log-mel L1 on test lies wholly below plain VQ's. Refuted if one of these lies wholly on the other side, "
    "otherwise not resolved. EMA, FSQ, and SimVQ and VQ as drawn are reported.",
    metric="log-mel L1 at 1024 codes, SimVQ less plain VQ; below 0 favours the claim",
    arms=ARMS,
    run=_run,
    decide=_decide,
    settings=_settings,
    equal=(tuple(ARMS),),
    cuts=(
        *SMALL,
        "256 and 1024 codes instead of 512, 2048 and 8192; codes are counted over train, dev and test, since test "
        "alone has fewer than 20 tokens for each of 1024 codes; use on test alone is measured too",
        "parameters are counted outside the codebook, whose size is what differs; tables as drawn at 256 codes",
    ),
)
