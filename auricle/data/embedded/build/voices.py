"""Which characters of the game are one voice: measured once with a speaker encoder, kept in ``voices.json``.

Run it again with ``python -m auricle.data.embedded.build.voices --packages DIR --wheel Resemblyzer-0.1.4-py3-none-any.whl``
(``pip download --no-deps resemblyzer==0.1.4`` gives the wheel, Apache-2.0). Only the weights are taken from it. The
corpus itself is built from the file and needs no encoder.
"""  # noqa: E501

from __future__ import annotations

import argparse
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.audio.files import decode
from auricle.audio.resample import resample
from auricle.audio.spectral import MelSpectrogram
from auricle.core.files import write_json
from auricle.data.embedded.build.amazon_queen import Line, entries, spoken_lines
from auricle.data.embedded.build.deb import read_package
from auricle.data.embedded.build.items import Item, measure, order_key
from auricle.data.embedded.build.names import GAME, GAME_FILE, MAX_S, MIN_S, VOICES_JSON
from auricle.data.embedded.build.prompts import prompt_items
from auricle.data.embedded.build.sources import PACKAGES

# Of verification error. Characters of different sex, certainly two people, reach 0.24 on these short 11 kHz lines;
# at 0.30 and above two characters count as one speaker group.
_THRESHOLD = 0.30
_PER_CHARACTER = 150
_MIN_MINUTES = 1.0

# Left out before or after measuring; the figures behind "mixed" and "between" are in the file.
_LEFT_OUT = {
    "DOG": "an animal",
    "WEDGE": "a parrot",
    "ORACLE": "a statue; not a human voice",
    "DEATH": "not a human voice",
    "ZOMBIE": "an effect: the level between words is 6 dB above that of the others",
    "APE": "several voices under one name: its conversations differ (centroid similarity 0.84)",
    "MAN": "several voices under one name: its conversations differ (centroid similarity 0.84)",
    "SPARKY": "between two groups",
    "BUD": "between two groups",
    "FRANK": "between two groups",
    "IAN": "between two groups",
    "PRIN": "between two groups",
    "AND": "between two groups",
}

Array = np.ndarray


class Encoder(torch.nn.Module):
    """Speaker encoder of Wan et al. (2018), generalised end-to-end loss: three LSTM layers over 40 mels."""

    window = 160  # frames of 10 ms

    def __init__(self, wheel: Path) -> None:
        """Read the weights from a Resemblyzer wheel."""
        super().__init__()
        raw = zipfile.ZipFile(wheel).read("resemblyzer/pretrained.pt")
        self.checksum = hashlib.sha256(raw).hexdigest()
        state = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)["model_state"]
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)
        self.load_state_dict({key: value for key, value in state.items() if key.startswith(("lstm.", "linear."))})
        self.mel = MelSpectrogram(16_000, n_mels=40, n_fft=400, hop=160, win=400)

    @torch.no_grad()
    def embed(self, wave: Array, rate_hz: int) -> Array:
        """Give the unit vector (256,) of one recording (T,), the mean over windows of 1.6 s with half overlap."""
        wave = resample(wave, rate_hz, 16_000).astype(np.float32)
        wave = wave * max(1.0, 10 ** (-30 / 20) / max(float(np.sqrt((wave**2).mean())), 1e-9))
        mel = self.mel(torch.from_numpy(wave)[None])[0]  # (frames, 40)
        mel = torch.nn.functional.pad(mel, (0, 0, 0, max(0, self.window - len(mel))))
        starts = sorted({*range(0, len(mel) - self.window + 1, self.window // 2), len(mel) - self.window})
        batch = torch.stack([mel[start : start + self.window] for start in starts])
        _, (hidden, _) = self.lstm(batch)
        vectors = torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        mean: Array = torch.nn.functional.normalize(vectors.mean(0), dim=0).numpy()
        return mean


def candidates(found: dict[str, bytes]) -> dict[str, list[Line]]:
    """Give each character's usable lines, 1.2 to 8 s long, in the order in which they are taken."""
    lines: dict[str, list[Line]] = {}
    for line in sorted(spoken_lines(found), key=lambda line: order_key(line.entry)):
        if MIN_S <= measure(found[line.entry], ".mp3")[1] <= MAX_S:
            lines.setdefault(line.character, []).append(line)
    return lines


def damaged(data: bytes) -> bool:
    """Say whether the MP3 decoder complains about a clip; it only does so on the process's standard error."""
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            decode(data, ".mp3", check=False)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        return caught.tell() > 0 or os.fstat(caught.fileno()).st_size > 0


def equal_error(same: Array, different: Array) -> float:
    """Give the equal error rate of scores that should be high (`same`) and low (`different`)."""
    thresholds = np.sort(np.concatenate([same, different]))
    miss = np.searchsorted(np.sort(same), thresholds) / len(same)
    false = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    nearest = int(np.argmin(np.abs(miss - false)))
    return float(miss[nearest] + false[nearest]) / 2


def _within(vectors: Array) -> Array:
    scores: Array = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return scores


def verification_error(a: Array, b: Array) -> float:
    """Give the mean equal error rate of telling pairs of one character from pairs across two."""
    across = (a @ b.T).ravel()
    return (equal_error(_within(a), across) + equal_error(_within(b), across)) / 2


def linked(names: Sequence[str], pairs: set[tuple[str, str]]) -> list[list[str]]:
    """Give the connected groups of `names` under `pairs`, largest first."""
    group = {name: {name} for name in names}
    for a, b in pairs:
        merged = group[a] | group[b]
        for name in merged:
            group[name] = merged
    unique = {tuple(sorted(members)) for members in group.values()}
    return [list(members) for members in sorted(unique, key=lambda members: (-len(members), members))]


def _matrix(names: list[str], value: Any) -> dict[str, dict[str, float]]:
    return {a: {b: round(float(value(a, b)), 3) for b in names if b != a} for a in names}


def measured(vectors: dict[str, Array], entry_names: dict[str, list[str]], professional: dict[str, Array]) -> Any:
    """Group the characters and collect the figures that show why.

    Args:
        vectors: per character, (lines, 256).
        entry_names: per character, the names of those lines.
        professional: per speaker group of the other voices, (clips, 256).
    """
    names = sorted(vectors)
    centres = {name: v.mean(0) / np.linalg.norm(v.mean(0)) for name, v in vectors.items()}
    errors = _matrix(names, lambda a, b: verification_error(vectors[a], vectors[b]))
    kept = [name for name in names if name not in _LEFT_OUT]
    groups = linked(kept, {(a, b) for a in kept for b in kept if a < b and errors[a][b] >= _THRESHOLD})
    of = {name: index for index, members in enumerate(groups) for name in members}
    rejected = []
    for name in kept:
        scores = {other: vectors[name] @ centres[other] for other in kept}
        for row, entry in enumerate(entry_names[name]):
            best = max(kept, key=lambda other, row=row, scores=scores: scores[other][row])  # type: ignore[misc]
            if of[best] != of[name]:
                rejected.append(entry)
    bad = set(rejected)
    pools = dict(professional)
    for index, members in enumerate(groups):
        pools[f"a{index + 1}"] = np.concatenate(
            [vectors[name][[entry not in bad for entry in entry_names[name]]] for name in members]
        )
    same = np.concatenate([_within(pool) for pool in pools.values()])
    ordered = sorted(pools)
    across = {(a, b): (pools[a] @ pools[b].T).ravel() for a in ordered for b in ordered if a < b}
    different = np.concatenate(list(across.values()))
    closest = max(across, key=lambda pair: across[pair].mean())
    return {
        "threshold": _THRESHOLD,
        "groups": {f"a{index + 1}": members for index, members in enumerate(groups)},
        "left_out": _LEFT_OUT,
        "rejected": sorted(rejected),
        "check": {
            "speaker_groups": len(pools),
            "mean_similarity_same_group": round(float(same.mean()), 3),
            "mean_similarity_different_groups": round(float(different.mean()), 3),
            "equal_error_rate": round(equal_error(same, different), 4),
            "closest_pair_of_groups": [*closest, round(float(across[closest].mean()), 3)],
        },
        "lines": {name: len(vectors[name]) for name in names},
        "verification_error": errors,
        "centroid_similarity": _matrix(names, lambda a, b: centres[a] @ centres[b]),
    }


def _professional(encoder: Encoder, items: list[Item]) -> dict[str, Array]:
    chosen: dict[str, list[Item]] = {}
    for item in items:
        if "prompt" in item.extra and len(chosen.setdefault(item.extra["speaker"], [])) < 30:
            chosen[item.extra["speaker"]].append(item)
    pools: dict[str, list[Array]] = {}
    for clips in chosen.values():
        for item in clips:
            audio = decode(item.data, item.suffix)
            pools.setdefault(item.extra["speaker_group"], []).append(encoder.embed(audio.wave[0], audio.rate_hz))
    return {group: np.stack(rows) for group, rows in pools.items()}


def main() -> None:
    """Measure the voices and write ``voices.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder with the Debian packages")
    parser.add_argument("--wheel", type=Path, required=True, help="the Resemblyzer wheel that holds the weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoder = Encoder(arguments.wheel)
    packages = {name: read_package(arguments.packages / source.deb, source.sha256) for name, source in PACKAGES.items()}
    found = entries(packages[GAME].read(GAME_FILE))
    vectors: dict[str, Array] = {}
    names: dict[str, list[str]] = {}
    broken: list[str] = []
    for character, lines in candidates(found).items():
        minutes = sum(measure(found[line.entry], ".mp3")[1] for line in lines) / 60
        if minutes < _MIN_MINUTES:
            continue
        chosen = [line.entry for line in lines[:_PER_CHARACTER]]
        broken += [entry for entry in chosen if damaged(found[entry])]
        names[character] = [entry for entry in chosen if entry not in broken]
        audio = [decode(found[entry], ".mp3", check=False) for entry in names[character]]
        vectors[character] = np.stack([encoder.embed(clip.wave[0], clip.rate_hz) for clip in audio])
        print(f"{character}: {len(lines)} lines, {minutes:.1f} min")
    result = measured(vectors, names, _professional(encoder, prompt_items(packages)))
    kept = {entry for members in result["groups"].values() for name in members for entry in names[name]}
    result["used"] = sorted(kept - set(result["rejected"]))
    result["damaged"] = sorted(broken)
    source = {"encoder": "GE2E, weights of resemblyzer 0.1.4 (Apache-2.0)", "weights_sha256": encoder.checksum}
    write_json(VOICES_JSON, {**source, "per_character": _PER_CHARACTER, **result})
    print(f"wrote {VOICES_JSON}: {result['groups']} {result['check']}")


if __name__ == "__main__":
    main()
