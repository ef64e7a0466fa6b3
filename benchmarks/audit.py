"""An audit of scored trials with 1,000 speaker replicates, beside the plain way: copy the trials of the drawn speakers.

python benchmarks/audit.py [--quick] [--json]

Auricle's side reads the trials (NPZ), gives every row of the audit exactly and 1,000 replicates of each. The peer holds
the trials in memory, copies those of the drawn speakers, and takes threshold, bypass rate and false rejection with
NumPy and the EER from scikit-learn's ROC curve; it is run for a few replicates and its time is scaled to 1,000. Memory
is the peak of a process of its own (Linux), imports and the reading included; the peer's holds one replicate.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from contract import Case, run, seconds

from auricle.data.protocols import read_trials, write_trials
from auricle.metrics.audit import AttackTrials, Column, audit

FAR = 0.01
REPLICATES = 1000
KINDS = ("target", "zero_effort", "spoof")


def trials_of(size: int, speakers: int) -> AttackTrials:
    """Draw trials of three kinds, five generators, four conditions and two languages, with detector scores."""
    draws = np.random.default_rng(0)
    kind = draws.choice(3, size, p=[0.1, 0.8, 0.1]).astype(np.int32)
    target = draws.integers(0, speakers, size, dtype=np.int32)
    other = (target + draws.integers(1, speakers, size, dtype=np.int32)) % speakers
    names = [f"s{number:05d}" for number in range(speakers)]
    score = (
        np.array([0.65, 0.1, 0.5])[kind] + 0.12 * draws.normal(size=size) + 0.05 * draws.normal(size=speakers)[target]
    )
    made_by = np.where(kind == 2, draws.integers(1, 6, size), 0)
    return AttackTrials(
        score,
        Column(kind, KINDS),
        Column(target, names),
        Column(np.where(kind == 0, target, other), names),
        Column(made_by, ("", "a", "b", "c", "d", "e")),
        Column(draws.integers(0, 2, size), ("en", "fr")),
        Column(draws.integers(0, 4, size), ("clean", "noise", "codec", "gsm")),
        detector=np.where(kind == 2, -1.0, 1.0) + draws.normal(size=size),
        domain=Column(np.where(made_by > 3, 1, 0), ("in", "out")),
    )


def ours(file: Path) -> None:
    audit(read_trials(file), replicates=REPLICATES)


def by_speaker(trials: AttackTrials) -> list[np.ndarray]:
    """Give the trials of each claimed speaker."""
    order = np.argsort(trials.target.codes, kind="stable")
    ends = np.cumsum(np.bincount(trials.target.codes))
    return [rows for rows in np.split(order, ends[:-1]) if rows.size]


def plain(trials: AttackTrials, of: list[np.ndarray], replicates: int) -> np.ndarray:
    """Bootstrap by copying: EER, bypass rate and false rejection of each replicate, shape (replicates, 3)."""
    from sklearn.metrics import roc_curve

    draws = np.random.default_rng(0)
    out = []
    for _ in range(replicates):
        rows = np.concatenate([of[at] for at in draws.integers(0, len(of), len(of) - 1)])
        score, kind = trials.score[rows], trials.kind.codes[rows]
        yes, no, fake = (score[kind == number] for number in range(3))
        far, hit, _ = roc_curve(np.repeat([1, 0], [yes.size, no.size]), np.concatenate([yes, no]))
        at = np.argmin(np.abs(1 - hit - far))
        tau = np.sort(no)[-max(1, int(FAR * no.size))]
        out.append(((1 - hit[at] + far[at]) / 2, np.mean(fake >= tau), np.mean(yes < tau)))
    return np.asarray(out)


def _in_a_process(job: Callable[..., object], args: tuple[object, ...]) -> int:
    job(*args)
    # not getrusage: on Linux a child starts with the peak of its parent
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def peak_bytes(job: Callable[..., object], *args: object) -> float:
    """Give the peak memory of a call in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_in_a_process, (job, args)))


def plain_from(file: Path) -> None:
    trials = read_trials(file)
    plain(trials, by_speaker(trials), 1)


def cases(quick: bool) -> Iterator[Case]:
    shown = 2
    sizes = ((100_000, 200),) if quick else ((100_000, 200), (1_000_000, 1251), (10_000_000, 1251))
    with tempfile.TemporaryDirectory() as place:
        for size, speakers in sizes:
            file = Path(place) / f"{size}.npz"
            trials = trials_of(size, speakers)
            write_trials(file, trials)
            of = by_speaker(trials)  # not timed, and neither is the import of scikit-learn
            plain(trials, of, 1)
            name = f"audit {size:,} trials, {speakers:,} speakers"

            def peer_job(trials: AttackTrials = trials, of: list[np.ndarray] = of) -> object:
                return plain(trials, of, shown)

            def measure(job: Callable[[], object], peer_job: Callable[[], object] = peer_job) -> float:
                return seconds(job) * (REPLICATES / shown if job is peer_job else 1)

            peer = f"copied trials, scikit-learn ({shown} replicates, scaled)"
            yield Case(name, lambda file=file: ours(file), peer_job, peer, measure=measure)  # type: ignore[misc]
            yield Case(
                f"{name}, peak memory",
                lambda file=file: (ours, file),  # type: ignore[misc]
                lambda file=file: (plain_from, file),  # type: ignore[misc]
                "one replicate of the same",
                unit="MB",
                measure=lambda job: peak_bytes(*job()),
            )


if __name__ == "__main__":
    run(__doc__ or "", cases)
