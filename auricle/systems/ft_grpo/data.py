"""`prepare`: the artefact world, or a labelled manifest, as manifests of a run; and its clips in memory.

Sets of the world: ``train``, ``dev``, ``test`` (half fake), ``skewed`` (the test clips with 85 % fakes, for claim C10),
``weak`` (artefacts weaker than any in training) and ``hard`` (vocoded speech, which has no place). A set's audio is one
FLAC file; its cuts are stretches of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from auricle.audio.files import read_mono
from auricle.core.errors import AudioError, DataError
from auricle.core.files import atomic_path
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import corpora, fields, manifest
from auricle.data.building import audio_folder, provenance
from auricle.data.cut_audio import fingerprint, mono_cut
from auricle.data.labelled import group_of, need_both_classes, split_manifest
from auricle.data.worlds.artefacts import RATE_HZ, Artefact, from_dict
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.features import SAMPLES, heard
from auricle.systems.ft_grpo.model import need_model
from auricle.systems.ft_grpo.rationale import NONE, Evidence, Label, evidence
from auricle.systems.ft_grpo.world import PROCEDURAL, Excerpt, World

if TYPE_CHECKING:
    from lhotse.cut import Cut

SETS = ("train", "dev", "test", "skewed", "weak", "hard")
SKEWED_FAKE = 0.85  # as in the corpora of the paper, where 85 to 91 % of the test clips are fake
ARTEFACT = "artefact"  # the generator and family of fakes whose artefacts are known
_AGAIN = "delete it with its manifests, and run auricle prepare again"
_MISSES = 20  # excerpts in a row of which nothing could be made


@dataclass(frozen=True)
class Item:
    """One clip in memory.

    Attributes:
        id: of its cut.
        type: one of `fields.AUDIO_TYPES`; ``""`` where a manifest does not say.
        label: ``real`` or ``fake``.
        artefacts: what was done to it; None where that is not known (vocoded speech, real corpora).
        wave: samples (N,) int16 at 16 kHz, 1.5 s in the world's own sets.
        group: voice, track or kind of sound; intervals resample whole groups.
        pair: what a real clip and its fake share.
    """

    id: str
    type: str
    label: Label
    artefacts: tuple[Artefact, ...] | None
    wave: np.ndarray
    group: str
    pair: str

    @property
    def truth(self) -> Evidence:
        """What a rationale should say; frequency and time are None where that is not known."""
        return Evidence(self.label) if self.artefacts is None else evidence(self.artefacts)

    @property
    def samples(self) -> np.ndarray:
        """The wave as float32 (N,)."""
        return self.wave.astype(np.float32) / 32768.0


def prepare(cfg: FtGrpoConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/NAME.jsonl`` of every set; the audio goes to the run's cache and is made once.

    Args:
        cfg: ``data.source`` names a corpus, or is the path of a labelled manifest (then there are train, dev and test).
        run: the run folder.

    Returns:
        Counts of each set: by label, type, and kind of artefact; and how many excerpts carried nothing.

    Raises:
        ConfigError: no such corpus or manifest, or a model that cannot be built or trained on these data.
        CheckpointError: a folder that `cfg.model` names holds no such model.
        DataError: a type without recordings, or a split without one of the classes.
    """
    need_model(cfg)
    if cfg.data.source not in corpora.NAMES:
        sets, how = split_manifest(cfg.data.source, cfg.data.split)
        for name, cuts in sets.items():
            need_both_classes(name, cuts)
            manifest.write(cuts, run.manifests / f"{name}.jsonl")
        return {"split": how, **{name: _counts(cuts) for name, cuts in sets.items()}}
    world = World(cfg.data)
    facts: dict[str, Any] = {}
    for name in SETS:
        if name == "skewed":
            cuts = _skewed(list(manifest.read(run.manifests / "test.jsonl")))
        elif getattr(cfg.data, name):
            cuts = _built(world, name, audio_folder(run, cfg.data.model_dump(mode="json")))
        else:
            continue
        manifest.write(cuts, run.manifests / f"{name}.jsonl")
        facts[name] = {**_counts(cuts), "could_carry_nothing": _left_out(cuts)}
    return facts


def sets(run: RunFolder) -> list[str]:
    """Name the sets that a run has."""
    return [name for name in SETS if (run.manifests / f"{name}.jsonl").is_file()]


def load(run: RunFolder, name: str) -> list[Item]:
    """Read a set into memory; the audio of the world's own sets is one file, which is read once.

    Of a user's cut the channel and the segment are heard, tiled to 1.5 s or their middle.

    Args:
        run: a prepared run.
        name: one of `SETS`.

    Raises:
        DataError: it was not prepared, or its audio is gone, damaged or another than it was.
    """
    items = []
    opened, recording = "", np.zeros(0, np.float32)
    for cut in manifest.read(run.manifests / f"{name}.jsonl"):
        if not _of_the_world(cut):
            items.append(_item(cut, heard(mono_cut(cut, RATE_HZ)[0])))
            continue
        path = str(cut.recording.sources[0].source)
        if opened != path:
            opened, recording = path, _whole(cut, path)
        start = round(cut.start * RATE_HZ)
        wave = recording[start : start + SAMPLES]
        if len(wave) != SAMPLES:
            raise DataError(f"{cut.id}: it lies past the end of {path}; {_AGAIN}")
        items.append(_item(cut, np.round(wave * 32768.0).astype(np.int16)))
    return items


def _whole(cut: Cut, path: str) -> np.ndarray:
    """Read the audio of one of the world's sets, if it is what its manifest was made of."""
    made_of = (cut.custom or {}).get(fields.FINGERPRINT)  # runs of before do not have it
    try:
        if made_of is not None and fingerprint(path) != made_of:
            raise DataError(f"{cut.id}: {path} has changed since its manifest was made; {_AGAIN}")
        return read_mono(path, RATE_HZ)[0]
    except AudioError as error:
        raise DataError(f"{cut.id}: {error}; {_AGAIN}") from None


def places(items: Sequence[Item], domain: str) -> list[int]:
    """Give the bands, or bins, of the artefacts of one domain of all clips."""
    return [artefact.place for item in items for artefact in item.artefacts or () if artefact.domain == domain]


def spoil_rationales(items: Sequence[Item], share: float, seed: int) -> list[Evidence]:
    """Give the evidence that a share of training rationales claim: findings of another clip, against the label (C5).

    Args:
        items: clips whose artefacts are known.
        share: of the clips whose rationale comes to contradict its label.
        seed: of the draw.

    Returns:
        One a clip: the label stays true; of a real clip something is found, of a fake one nothing.

    Raises:
        DataError: no fake clip whose findings could be given to a real one.
    """
    draws = rng(seed, "spoiled rationales")
    fakes = [item.truth for item in items if item.label == "fake" and item.artefacts]
    if share > 0 and not fakes:
        raise DataError("no fake clip with known artefacts; a contradicting rationale takes its findings from one")
    rationales = []
    for item in items:
        if draws.random() >= share:
            rationales.append(item.truth)
        elif item.label == "fake":
            rationales.append(Evidence("fake", NONE, None, NONE, None))
        else:
            rationales.append(replace(fakes[int(draws.integers(len(fakes)))], label="real"))
    return rationales


def _of_the_world(cut: Cut) -> bool:
    """Say whether a cut is of the world itself: then it went through the chain already."""
    named = {fields.CHANNEL, fields.AUDIO_TYPE} <= (cut.custom or {}).keys()
    plain = cut.recording is not None and cut.recording.num_channels == 1 and not cut.recording.transforms
    return named and plain and round(cut.duration * RATE_HZ) == SAMPLES


def _item(cut: Cut, wave: np.ndarray) -> Item:
    custom = cut.custom or {}
    artefacts = custom.get(fields.ARTEFACTS)
    return Item(
        id=cut.id,
        type=str(custom.get(fields.AUDIO_TYPE, "")),
        label="real" if custom.get(fields.LABEL) == fields.BONAFIDE else "fake",
        artefacts=None if artefacts is None else tuple(map(from_dict, artefacts)),
        wave=wave,
        group=group_of(cut),
        pair=str(custom.get(fields.PAIR, cut.id)),
    )


def _built(world: World, name: str, folder: Path) -> list[Cut]:
    """Make a set's audio and cuts, or find them from an earlier run."""
    audio, index = folder / f"{name}.flac", folder / f"{name}.jsonl"
    if audio.is_file() and index.is_file():
        return list(manifest.read(index))
    clips = list(_clips(world, name))
    folder.mkdir(parents=True, exist_ok=True)
    _write_flac(audio, np.concatenate([wave for _, wave in clips]))
    cuts = _cuts(audio, [row for row, _ in clips])
    manifest.write(cuts, index)
    return cuts


def _left_out(cuts: Sequence[Cut]) -> int:
    """Count the excerpts that could carry nothing: they have numbers and no clips."""
    numbers: dict[str, set[int]] = {}
    for cut in cuts:
        kind, _, number = cut.custom[fields.PAIR].rpartition("-")
        numbers.setdefault(kind, set()).add(int(number))
    return sum(max(used) + 1 - len(used) for used in numbers.values())


def _clips(world: World, name: str) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Make the clips of a set, the two of a pair after each other."""
    types = ("speech",) if name == "hard" else world.cfg.types
    pairs = max(1, getattr(world.cfg, name) // (2 * len(types)))
    console = Console(stderr=True)
    for kind in types:
        excerpts = world.excerpts(name, kind)
        show = track(range(pairs), f"{name} {kind}", console=console, disable=not console.is_terminal, transient=True)
        for _ in show:
            yield from _next_pair(world, name, excerpts)


def _next_pair(world: World, name: str, excerpts: Iterator[Excerpt]) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Make a pair of the next excerpt that carries an artefact."""
    for missed, excerpt in enumerate(excerpts):
        try:
            return _pair(world, name, excerpt)
        except AudioError as error:
            if missed == _MISSES:
                raise DataError(f"{_MISSES} excerpts in a row can carry nothing: {error}") from None
    raise DataError("there are no excerpts")


def _pair(world: World, name: str, excerpt: Excerpt) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Make the real and the fake clip of an excerpt; one that carries no artefact gives neither."""
    clean = world.clean(excerpt)
    facts = _facts(world, excerpt, name)
    real: dict[str, Any] = {**facts, fields.LABEL: fields.BONAFIDE, fields.ARTEFACTS: []}
    fake: dict[str, Any] = {**facts, fields.LABEL: fields.SPOOF, fields.SYNTHETIC: True}
    if name == "hard":
        changed, fake[fields.FAMILY], fake[fields.GENERATOR] = world.vocoded(excerpt, clean)
    else:
        strength = world.cfg.weak_strength if name == "weak" else world.cfg.strength
        changed, artefacts = world.spoiled(excerpt, clean, strength)
        fake |= {
            fields.FAMILY: ARTEFACT,
            fields.GENERATOR: ARTEFACT,
            fields.ARTEFACTS: [artefact.as_dict() for artefact in artefacts],
        }
    pair = [(real, world.carried(excerpt, clean, "real")), (fake, world.carried(excerpt, changed, "fake"))]
    # neither the id nor the order tells which is which
    if rng(world.cfg.seed, "turn", excerpt.id).random() >= 0.5:
        pair.reverse()
    return [({**row, "id": f"{excerpt.id}-{letter}"}, wave) for letter, (row, wave) in zip("ab", pair, strict=True)]


def _facts(world: World, excerpt: Excerpt, name: str) -> dict[str, Any]:
    """Give what both clips of a pair share."""
    clips = [stem.clip for stem in (excerpt.stem, *excerpt.others) if stem.clip is not None]
    kind = excerpt.type if excerpt.type in ("music", "sound") else "voice"
    return {
        **(provenance(clips[0]) if clips else {}),
        fields.SPLIT: excerpt.split,
        fields.SUBSET: name,
        fields.AUDIO_TYPE: excerpt.type,
        fields.PAIR: excerpt.id,
        fields.CLIP: excerpt.stem.id,
        fields.SPEAKER_GROUP: f"{kind} {excerpt.stem.group}",
        fields.CHANNEL: world.codec(excerpt),
        # singing is resynthesis and a procedural piece is a machine's, real or not
        fields.SYNTHETIC: excerpt.type == "singing" or not clips,
        fields.SOURCE: ", ".join(sorted({clip.package for clip in clips})) or PROCEDURAL,
        fields.LICENCE: ", ".join(sorted({clip.licence for clip in clips})) or "Apache-2.0",
        fields.AUTHOR: "; ".join(sorted({clip.author for clip in clips})) or "The Auricle authors",
    }


def _write_flac(path: Path, wave: np.ndarray) -> None:
    import soundfile

    with atomic_path(path) as part:
        soundfile.write(part, wave, RATE_HZ, format="FLAC", subtype="PCM_16", compression_level=0.0)


def _cuts(audio: Path, rows: Sequence[dict[str, Any]]) -> list[Cut]:
    """Make one cut a clip, all over one recording."""
    from lhotse import MonoCut, SupervisionSegment

    whole = manifest.cut(audio.stem, audio, {})
    recording, made_of = whole.recording, {fields.FINGERPRINT: whole.custom[fields.FINGERPRINT]}
    length_s = SAMPLES / RATE_HZ
    cuts: list[Cut] = []
    for index, row in enumerate(rows):
        custom = {**row, **made_of}
        name = custom.pop("id")
        spoken = {"speaker": row.get(fields.SPEAKER), "language": row.get(fields.LANGUAGE)}
        supervision = SupervisionSegment(name, recording.id, 0.0, length_s, **spoken)
        cut = MonoCut(name, index * length_s, length_s, 0, [supervision], recording=recording, custom=custom)
        cuts.append(cut)
    return cuts


def _skewed(cuts: Sequence[Cut]) -> list[Cut]:
    """Keep all fakes and so many real clips, spread evenly over the set, that 85 % are fake."""
    fakes = [cut for cut in cuts if cut.custom[fields.LABEL] == fields.SPOOF]
    real = [cut for cut in cuts if cut.custom[fields.LABEL] == fields.BONAFIDE]
    count = max(1, round(len(fakes) * (1 - SKEWED_FAKE) / SKEWED_FAKE))
    return fakes + [real[index * len(real) // count] for index in range(count)]


def _counts(cuts: Sequence[Cut]) -> dict[str, Any]:
    """Count labels, types and kinds of artefact."""
    custom = [cut.custom for cut in cuts]
    kinds = Counter(artefact["kind"] for row in custom for artefact in row.get(fields.ARTEFACTS) or [])
    return {
        "labels": dict(sorted(Counter(row[fields.LABEL] for row in custom).items())),
        "types": dict(sorted(Counter(str(row.get(fields.AUDIO_TYPE, "")) for row in custom).items())),
        "artefacts": dict(sorted(kinds.items())),
    }
