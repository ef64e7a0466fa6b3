"""Attack trials: who is claimed, with what the claim was enrolled, and what is played against it.

Our own list is a CSV with the columns target_spk, enrol_ids (apart by ``;``), test_path, kind (``target``,
``zero_effort``, ``spoof``), generator, train_minutes, condition, and optionally language, domain (``in``, ``out``),
speaker (who really speaks) and trial (a name for score files).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import DataError
from auricle.data.protocols.asv_scores import AsvTrial, read_asv_scores_2019, read_asv_scores_2021
from auricle.data.protocols.lines import finite, one_of, parse_number, text_lines, words
from auricle.metrics.audit import DOMAINS, KINDS, AttackTrials
from auricle.metrics.subsets import choose

COLUMNS = ("target_spk", "enrol_ids", "test_path", "kind", "generator", "train_minutes", "condition")
OPTIONAL = ("language", "domain", "speaker", "trial")

_SUFFIXES = ("", ".wav", ".flac")
_WIDTH_2019, _WIDTH_2021 = 3, 8  # columns of a verifier's trials
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class AttackTrial:
    """One trial. Texts that the list leaves empty are ``""``.

    Attributes:
        target: the claimed speaker.
        enrol: ids or paths of the enrolment utterances.
        test: path of the clip under test.
        kind: ``target``, ``zero_effort`` or ``spoof``.
        generator: what made a spoof.
        train_minutes: minutes of the target's speech that the generator had; None where it is not said.
        condition: noise, codec or the like.
        language: what is spoken.
        domain: ``in`` or ``out`` of what the detector was made for.
        speaker: who really speaks; of a target trial the target.
        trial: its name in score files.
        line: its line in the list.
    """

    target: str
    enrol: tuple[str, ...]
    test: str
    kind: str
    generator: str
    train_minutes: float | None
    condition: str
    language: str
    domain: str
    speaker: str
    trial: str
    line: int


def read_attack_trials(path: str | Path, audio_root: str | Path | None = None) -> list[AttackTrial]:
    """Read a list of attack trials and make sure that it can carry an audit.

    Args:
        path: the CSV.
        audio_root: the folder that its paths start at: every file has to be there (enrolment ids with .wav or .flac
            if need be), and no spoof may be a copy of a real file, whatever its name. None to read the list alone.

    Returns:
        One trial a line.

    Raises:
        DataError: a missing column, an unknown one, kind or domain; no claimed speaker, enrolment or clip; real speech
            with a generator or a spoof without; a trial that is there twice; a clip that its own claim enrolled; a
            clip that is real in one trial and spoof in another; a target speaker with one utterance, who cannot both
            enrol and be tested; files that are not there. Each with the file and the line, or all of their lines.
    """
    file = Path(path)
    trials: list[AttackTrial] = []
    seen: dict[tuple[str, tuple[str, ...], str, str], int] = {}
    named: dict[str, int] = {}
    for line, values in _table(file):
        trial = _trial(file, line, values)
        key = (trial.target, trial.enrol, trial.test, trial.condition)
        if key in seen:
            raise DataError(f"{file}, line {line}: {trial.test} against {trial.target} was already in line {seen[key]}")
        seen[key] = line
        if trial.trial and trial.trial in named:
            raise DataError(f"{file}, line {line}: trial {trial.trial!r} was already in line {named[trial.trial]}")
        named[trial.trial] = line
        trials.append(trial)
    if not trials:
        raise DataError(f"{file} has no trial; expected the header {','.join(COLUMNS)} and one line a trial")
    _need_no_overlap(file, trials)
    _need_utterances(file, trials)
    if audio_root is not None:
        _need_files(file, trials, Path(audio_root))
    return trials


def _table(file: Path) -> Iterable[tuple[int, dict[str, str]]]:
    header: list[str] | None = None
    for line, text in text_lines(file):
        try:
            values = [value.strip() for value in next(csv.reader([text], strict=True))]
        except csv.Error as error:
            raise DataError(f"{file}, line {line}: not CSV: {error}: {text.strip()!r}") from None
        if header is None:
            header = [value.lower() for value in values]
            missing = [name for name in COLUMNS if name not in header]
            strange = [name for name in header if name not in (*COLUMNS, *OPTIONAL)]
            if missing or strange or len(set(header)) != len(header):
                says = f"no column {', '.join(missing)}" if missing else f"unknown or repeated {', '.join(strange)}"
                raise DataError(
                    f"{file}, line {line}: {says}; expected {', '.join(COLUMNS)} and optionally {', '.join(OPTIONAL)}"
                )
            continue
        if len(values) != len(header):
            raise DataError(f"{file}, line {line}: {len(values)} columns; expected {', '.join(header)}")
        yield line, dict(zip(header, values, strict=True))


def _trial(file: Path, line: int, values: dict[str, str]) -> AttackTrial:
    for name in ("target_spk", "test_path"):
        if not values[name]:
            raise DataError(f"{file}, line {line}: no {name}")
    kind = one_of(file, line, "kind", values["kind"], KINDS)
    domain = values.get("domain", "")
    if domain:
        one_of(file, line, "domain", domain, DOMAINS[1:])
    enrol = tuple(part.strip() for part in values["enrol_ids"].split(";") if part.strip())
    if not enrol or len(set(enrol)) != len(enrol):
        raise DataError(f"{file}, line {line}: enrol_ids {values['enrol_ids']!r}; expected different ids apart by ;")
    if (kind == "spoof") != bool(values["generator"]):
        raise DataError(
            f"{file}, line {line}: a {kind} trial with the generator {values['generator'] or '-'!r}; expected one for "
            "a spoof, and none for the others"
        )
    target, speaker = values["target_spk"], values.get("speaker", "")
    if (kind == "target" and speaker not in ("", target)) or (kind == "zero_effort" and speaker == target):
        raise DataError(f"{file}, line {line}: a {kind} trial against {target} in which {speaker} speaks")
    if kind != "spoof" and any(_same(values["test_path"], part) for part in enrol):
        raise DataError(f"{file}, line {line}: {values['test_path']} is tested against its own enrolment")
    minutes = _minutes(file, line, values["train_minutes"])
    rest = (domain, target if kind == "target" else speaker, values.get("trial", ""), line)
    how = (values["generator"], minutes, values["condition"], values.get("language", ""))
    return AttackTrial(target, enrol, values["test_path"], kind, *how, *rest)


def _minutes(file: Path, line: int, text: str) -> float | None:
    if not text or text == "-":
        return None
    value = parse_number(text)
    if not 0 <= value < float("inf"):
        raise DataError(f"{file}, line {line}: train_minutes {text!r}; expected minutes, at least 0, or nothing")
    return value


def _stem(name: str) -> str:
    """Give a path as an id: without ./ and the suffix of audio."""
    plain = Path(name).as_posix()
    return plain.rsplit(".", 1)[0] if plain.lower().endswith((".wav", ".flac", ".mp3", ".ogg")) else plain


def _same(path: str, name: str) -> bool:
    """Whether a path is the utterance of a name: the same path, or an id that is the file's name."""
    one, other = _stem(path), _stem(name)
    return one == other or ("/" not in other and one.rsplit("/", 1)[-1] == other)


def _complain(file: Path, found: Sequence[str], says: str) -> None:
    if found:
        more = f"\n... and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise DataError(f"{file}: {len(found)} {says}:\n" + "\n".join(found[:_SHOWN]) + more)


def _need_no_overlap(file: Path, trials: list[AttackTrial]) -> None:
    """No clip is both real and fake: a folder of fakes that holds the real files would look like perfect clones."""
    real: dict[str, int] = {}
    for trial in trials:
        if trial.kind != "spoof":
            real.setdefault(_stem(trial.test), trial.line)
        for name in trial.enrol:
            real.setdefault(_stem(name), trial.line)
    both = [
        f"line {trial.line}: {trial.test} (real in line {real[_stem(trial.test)]})"
        for trial in trials
        if trial.kind == "spoof" and _stem(trial.test) in real
    ]
    _complain(file, both, "spoofs are also listed as real speech; a folder of fakes must not hold the real files")


def _need_utterances(file: Path, trials: list[AttackTrial]) -> None:
    """A target speaker needs an utterance to enrol and another one to be tested."""
    said: dict[str, set[str]] = {}
    first: dict[str, int] = {}
    for trial in trials:
        first.setdefault(trial.target, trial.line)
        names = said.setdefault(trial.target, set())
        names.update(_stem(name).rsplit("/", 1)[-1] for name in trial.enrol)
        if trial.kind == "target":
            names.add(_stem(trial.test).rsplit("/", 1)[-1])
    single = [f"line {first[name]}: {name}" for name, names in said.items() if len(names) == 1]
    _complain(file, single, "target speakers have one utterance and cannot both enrol and be tested")


def _need_files(file: Path, trials: list[AttackTrial], root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the one that the paths of {file} start at")
    places: dict[str, Path] = {}
    missing: dict[str, int] = {}
    real: dict[Path, int] = {}
    fake: dict[Path, int] = {}
    for trial in trials:
        for name in (trial.test, *trial.enrol):
            if name in missing:
                continue
            if name not in places:
                found = located(name, root)
                if found is None:
                    missing[name] = trial.line
                    continue
                places[name] = found.resolve()
            kinds = fake if trial.kind == "spoof" and name == trial.test else real
            kinds.setdefault(places[name], trial.line)
    _complain(file, [f"line {line}: {name}" for name, line in missing.items()], f"files are not below {root}")
    _complain(
        file,
        [f"line {fake[place]}: {place.name} ({copy.name} of line {real[copy]})" for place, copy in _copies(fake, real)],
        "spoofs are copies of real files; a folder of fakes must not hold the real files",
    )


def _copies(fake: dict[Path, int], real: dict[Path, int]) -> list[tuple[Path, Path]]:
    """Find fakes with the very bytes of a real file; only files of one size are read."""
    sizes: dict[int, list[Path]] = {}
    for place in real:
        sizes.setdefault(place.stat().st_size, []).append(place)
    digests: dict[Path, bytes] = {}

    def digest(place: Path) -> bytes:
        if place not in digests:
            with open(place, "rb") as opened:
                digests[place] = hashlib.file_digest(opened, "sha256").digest()
        return digests[place]

    found = []
    for place in fake:
        alike = (other for other in sizes.get(place.stat().st_size, ()) if digest(other) == digest(place))
        copy = next(alike, None)
        if copy is not None:
            found.append((place, copy))
    return found


def audit_subset(key_file: str | Path, subset: str | None = None) -> tuple[str | None, str]:
    """Say which subset of a key `read_audit_trials` takes, and what is left out; as `metrics.subsets.choose`."""
    key = Path(key_file)
    width = len(words(next(text_lines(key), (0, ""))[1]))
    held = (words(line)[7:8] for _, line in text_lines(key)) if width == _WIDTH_2021 else ()
    return choose((part[0] if part else None for part in held), subset, str(key))


def read_audit_trials(scores_file: str | Path, key_file: str | Path, subset: str | None = None) -> AttackTrials:
    """Read scores and the key that says what each trial is, for an audit without any model.

    Args:
        scores_file: lines of trial, score and optionally detector score, white space apart. A trial is called by the
            key's column ``trial``; without one by its test_path, and where a clip is tried more than once by
            ``target_spk:test_path``. Beside the keys of ASVspoof it is a score file of that challenge's verifier.
        key_file: a list of attack trials (CSV), or of ASVspoof: 2019, the verifier's score file (attack, kind, score,
            no names: the score file must have the same lines but for the scores); 2021, ``trial_metadata.txt`` of ASV.
        subset: of a key of 2021; None for ``eval``, ``all`` for all. `audit_subset` says which one is taken.

    Returns:
        The trials in the key's order. Those of 2019 name no speakers and have no intervals by speaker.

    Raises:
        DataError: as the readers; a trial without score, a score without trial or twice, a score that is not a finite
            number, some lines with a detector score and some without; with file and line.
    """
    key = Path(key_file)
    first = next(text_lines(key), (0, ""))[1]
    if "target_spk" in first.lower():
        return _own(Path(scores_file), key)
    width = len(words(first))
    if width == _WIDTH_2021:
        taken, _ = audit_subset(key, subset)
        return _of_asvspoof(read_asv_scores_2021(key, Path(scores_file), taken))
    if width != _WIDTH_2019:
        raise DataError(
            f"{key}: {width} columns in its first line; expected the header of an attack-trial CSV "
            f"({', '.join(COLUMNS)}), or 3 (ASVspoof 2019) or 8 columns (2021) of a verifier's trials"
        )
    return _of_asvspoof(_trials_2019(Path(scores_file), key))


def _own(scores_file: Path, key: Path) -> AttackTrials:
    trials = read_attack_trials(key)
    known = _read_scores(scores_file)
    once = len({trial.test for trial in trials}) == len(trials)
    names = [trial.trial or (trial.test if once else f"{trial.target}:{trial.test}") for trial in trials]
    if len(set(names)) != len(names):
        raise DataError(f"{key}: one clip is tried twice against one speaker; name the trials in a column 'trial'")
    detectors, values = [], []
    for trial, name in zip(trials, names, strict=True):
        if name not in known:
            raise DataError(f"{key}, line {trial.line}: trial {name!r} has no score in {scores_file}")
        score, detector, _ = known.pop(name)
        values.append(score)
        detectors.append(detector)
    if known:
        name, (_, _, line) = next(iter(known.items()))
        raise DataError(f"{scores_file}, line {line}: trial {name!r} is not in {key}")
    return scored_trials(trials, values, None if detectors[0] is None else [v for v in detectors if v is not None])


def scored_trials(
    trials: Sequence[AttackTrial], scores: Sequence[float], detector: Sequence[float] | None = None
) -> AttackTrials:
    """Join a list of attack trials and its scores, for an audit.

    Args:
        trials: N trials.
        scores: the verifier's, (N,).
        detector: the detector's of the clips under test, (N,); None where there is none.
    """
    domains = [trial.domain for trial in trials]
    return AttackTrials(
        scores,
        [trial.kind for trial in trials],
        [trial.target for trial in trials],
        [trial.speaker for trial in trials],
        [trial.generator for trial in trials],
        [trial.language for trial in trials],
        [trial.condition for trial in trials],
        detector=detector,
        domain=domains if any(domains) else None,
        # a clip under several conditions (noise added on the way) is several clips to a detector
        test=[f"{trial.test} {trial.condition}".strip() for trial in trials],
    )


def located(name: str, root: Path) -> Path | None:
    """Find the file that a list calls `name` below `root`, with .wav or .flac if need be; None if there is none."""
    return next((root / f"{name}{end}" for end in _SUFFIXES if (root / f"{name}{end}").is_file()), None)


def _read_scores(file: Path) -> dict[str, tuple[float, float | None, int]]:
    known: dict[str, tuple[float, float | None, int]] = {}
    width = 0
    for line, text in text_lines(file):
        parts = words(text)
        width = width or len(parts)
        if len(parts) not in (2, 3) or len(parts) != width:
            raise DataError(
                f"{file}, line {line}: {len(parts)} columns; expected trial, score and, in all lines or in none, a "
                f"detector score: {text.strip()!r}"
            )
        if parts[0] in known:
            raise DataError(f"{file}, line {line}: trial {parts[0]!r} was already in line {known[parts[0]][2]}")
        numbers = [finite(file, line, "score", part) for part in parts[1:]]
        known[parts[0]] = (numbers[0], numbers[1] if width == 3 else None, line)
    if not known:
        raise DataError(f"{file} is empty; expected lines of trial, score and optionally a detector score")
    return known


def _trials_2019(scores_file: Path, key: Path) -> list[AsvTrial]:
    keys, scored = read_asv_scores_2019(key), read_asv_scores_2019(scores_file)
    if len(keys) != len(scored):
        raise DataError(f"{scores_file} has {len(scored)} trials and {key} {len(keys)}; expected the same trials")
    for number, (one, other) in enumerate(zip(keys, scored, strict=True), 1):
        if (one.kind, one.attack) != (other.kind, other.attack):
            raise DataError(
                f"{scores_file}, trial {number}: {other.attack or 'bonafide'} {other.kind}; {key} has "
                f"{one.attack or 'bonafide'} {one.kind} there"
            )
    return scored


def _of_asvspoof(trials: list[AsvTrial]) -> AttackTrials:
    lines = ["-".join(part for part in (trial.codec, trial.transmission) if part) for trial in trials]
    return AttackTrials(
        [trial.score for trial in trials],
        ["zero_effort" if trial.kind == "nontarget" else trial.kind for trial in trials],
        # the claimed speaker's name has the line of the call at its end; the speaker is the same on each
        [(trial.speaker or "unnamed").removesuffix(f"-{line}") for trial, line in zip(trials, lines, strict=True)],
        generator=[trial.attack or "" for trial in trials],
        condition=lines,
        test=[str(trial.trial) for trial in trials] if trials[0].trial is not None else None,
    )
