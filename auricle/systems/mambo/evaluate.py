"""`evaluate`: the result, its baselines, and whether to believe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.hearing import part, sound_of
from auricle.backbones.classical import lfcc_gmm, metadata
from auricle.backbones.vad import speech_share
from auricle.core.errors import DataError
from auricle.core.files import read_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder
from auricle.core.seed import derive, rng
from auricle.data import corpora, embedded, fields, manifest
from auricle.data.clips import Clips, load_clips
from auricle.data.labelled import need_both_classes, need_labels
from auricle.data.protocols import read_asv_scores
from auricle.metrics import scores as score_files
from auricle.metrics.bootstrap import PairedScores, paired_bootstrap, paired_bootstrap_runs
from auricle.metrics.calibration import Decision, decide
from auricle.metrics.decision_rows import pooled_rows, share_rows
from auricle.metrics.detection import auc, min_dcf
from auricle.metrics.rows import FEWEST_SPEAKERS, eer_row, percent
from auricle.report.evaluation import Evaluation, Page
from auricle.systems.mambo import controls, data
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.domain import speech_warnings
from auricle.systems.mambo.infer import LAPTOP, Detector, load
from auricle.systems.mambo.page import page
from auricle.systems.mambo.rows import Beside, Table, speakers

TOY = "a laptop model on a small corpus: it shows that the method works, not how well"
REPLICATES = 1000  # of the intervals of a score file
TOLD_APART = 10.0  # EER of the metadata baseline in percent; below it the labels lie in the files, not in the speech
SPEECH_CLIPS = 400  # of the embedded voices, for the check for speech
SPEECH_S = 10  # of each recording


def evaluate(cfg: MamboConfig, run: RunFolder) -> Evaluation:
    """Measure on the test voices.

    A baseline, a control or a plot that cannot be had costs its own rows: a warning names it, the rest is reported.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        EER on seen families, on each family and pooled, with 95 % speaker-bootstrap intervals; the baselines; the leak
        checks; the scores of every clip.
    """
    detector = load(run.path)
    cuts = data.load(run, "test")
    test = load_clips(cuts, cfg.data.rate_hz)
    scores, decisions = detector.cut_decisions(cuts)
    table = Table(cfg)
    rows = table.groups(scores, test) + pooled_rows(scores, test.labels, detector.calibration)
    rows += share_rows(decisions, test.labels)
    beside = Beside()
    baselines: dict[str, np.ndarray] = {}
    if cfg.eval.controls:
        train, dev = (load_clips(data.load(run, name), cfg.data.rate_hz) for name in ("train", "dev"))
        make: dict[str, Callable[[], np.ndarray]] = {
            "lfcc_gmm": lambda: lfcc_gmm(train, [test], cfg.data.band_hz, cfg.seed)[0],
            "metadata": lambda: metadata(train, [test], cfg.seed)[0],
        }
        for name, scored in make.items():
            values = beside(f"the baseline {name}", scored)
            if values is not None:
                baselines[name] = values
        rows += baseline_rows(cfg, table, test, scores, baselines, beside)
        rows += beside("the frame scores", lambda: [controls.localisation(cfg, detector.network, test)]) or []
        rows += controls.run_all(cfg, run, train, dev, test, table, beside)
        rows += beside("the speech check", lambda: speech_rows(cfg.seed)) or []
    drawn = beside("the page's plots", lambda: page(cfg, test, scores, decide(detector.calibration, 0.0).threshold))
    return Evaluation(
        rows=rows,
        data=cfg.data.source if cfg.data.source in corpora.NAMES else Path(cfg.data.source).stem,
        warnings=[
            *told_apart(rows),
            *unsaid(detector),
            *([TOY] if detector.toy else []),
            *table.notes,
            *beside.facts,
            *beside.notes(),
        ],
        leak=beside.leak,
        toy=detector.toy,
        scores={"test.jsonl": score_rows(scores, test, decisions, baselines)},
        page=drawn or Page(),
    )


def told_apart(rows: Sequence[MetricRow]) -> list[str]:
    """Warn of data whose classes differ in plain numbers of the files, from the rows of the metadata baseline."""
    own = [row.value for row in rows if (row.name, row.baseline) == ("eer", "metadata") and row.value is not None]
    if not own or min(own) > TOLD_APART:
        return []
    return [
        f"your labels can be told without listening: ten numbers of each file, such as its level, length and silence, "
        f"have an EER of {min(own):.1f} %; no detector's score means anything here until real and fake clips have gone "
        "through the same recording, coding and cutting"
    ]


def unsaid(detector: Detector) -> list[str]:
    """Say why the detector gives no probability or no label to anything, where that is so."""
    reason = decide(detector.calibration, 0.0).reason
    return [] if reason is None else [reason]


def baseline_rows(
    cfg: MamboConfig,
    table: Table,
    test: Clips,
    scores: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    beside: Beside,
) -> list[MetricRow]:
    """Give the rows of the baselines, and the paired differences to LFCC+GMM on seen and unseen families."""
    rows: list[MetricRow] = []
    for name, values in baselines.items():
        rows += beside(f"the rows of {name}", partial(table.groups, values, test, name, each=False)) or []
    rows.append(percent("eer", 0.5, len(test), group="pooled", baseline="constant"))
    if "lfcc_gmm" not in baselines:
        return rows

    def paired(group: str, chosen: np.ndarray) -> MetricRow:
        clips = test.where(chosen)
        pair = paired_bootstrap(
            scores[chosen],
            baselines["lfcc_gmm"][chosen],
            clips.labels,
            speakers(clips),
            cfg.eval.bootstrap,
            seed=derive(cfg.seed, "paired"),
        )
        return percent("eer minus lfcc_gmm", pair.difference, len(clips), pair.ci95, group=group)

    for group, families in (("seen", cfg.data.seen), ("unseen", cfg.data.unseen)):
        chosen = test.labels | np.isin(test.values(fields.FAMILY), families)
        if (chosen & ~test.labels).any():
            row = beside(f"the difference to lfcc_gmm, {group}", partial(paired, group, chosen))
            rows += [] if row is None else [row]
    return rows


def speech_rows(seed: int) -> list[MetricRow]:
    """Measure the check for speech on the embedded recordings, none of which it was made from.

    Returns:
        The share of real speech that is taken for speech, that of music and other sounds which is not, and their mean.
    """
    speech = embedded.clips(kind="speech")
    speech = [speech[index] for index in rng(seed, "speech check").permutation(len(speech))[:SPEECH_CLIPS]]
    other = [*embedded.clips(kind="sound"), *embedded.clips(kind="music")]
    right = [
        float(np.mean([_is_speech(clip) == wanted for clip in clips]))
        for clips, wanted in ((speech, True), (other, False))
    ]
    sizes = [len(speech), len(other)]
    return [
        percent("speech_check", float(np.mean(right)), sum(sizes), group="speech or not"),
        percent("speech_check", right[0], sizes[0], group="real speech"),
        percent("speech_check", right[1], sizes[1], group="music and sounds"),
    ]


def _is_speech(clip: embedded.Clip) -> bool:
    audio = clip.read()
    wave = audio.mono()[: SPEECH_S * audio.rate_hz]
    return not speech_warnings(speech_share(part(wave, sound_of(wave, audio.rate_hz)), audio.rate_hz))


def score_rows(
    scores: np.ndarray, clips: Clips, decisions: Sequence[Decision], baselines: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Give one row a clip, for ``scores/``: its score and decision, its facts, and the scores of the baselines."""
    kept = (fields.LABEL, fields.FAMILY, fields.GENERATOR, fields.SPEAKER_GROUP, fields.LANGUAGE, fields.PAIR)
    rows = []
    for index, fact in enumerate(clips.facts):
        score = float(scores[index])
        row = {"id": fact["id"], "score": score, "decision": decisions[index].label}
        row |= {name: fact.get(name) for name in kept}
        row |= {name: float(values[index]) for name, values in baselines.items()}
        rows.append(row)
    return rows


def pool_runs(folders: Sequence[Path]) -> Report:
    """Pool finished runs, over seeds and splits, with the paired difference to LFCC+GMM over all of them.

    Voices are resampled once for all runs, so a voice that several runs test counts equally in each.

    Args:
        folders: run folders that have been evaluated.

    Returns:
        The pooled report.

    Raises:
        DataError: a folder without a report or scores.
    """
    pooled = pool([Report.load(folder / "report.json") for folder in folders])
    rows = []
    for group in ("seen", "unseen"):
        pairs = [pair for folder in folders if (pair := _paired_scores(folder, group)) is not None]
        if len(pairs) < len(folders):
            continue
        gap = paired_bootstrap_runs(pairs, seed=0)
        trials = sum(int(np.size(pair.labels)) for pair in pairs)
        row = percent("eer minus lfcc_gmm", gap.difference, trials, gap.ci95, group=f"{group}, paired over voices")
        rows.append(row.model_copy(update={"n_seeds": len(pairs), "data": pooled.data}))
    return pooled.model_copy(update={"metrics": [*pooled.metrics, *rows]})


def _paired_scores(folder: Path, group: str) -> PairedScores | None:
    """Give a run's scores beside those of LFCC+GMM on one group of families; None where it has none."""
    families = set(RunFolder(folder).saved_config()["config"]["data"][group])
    rows = [
        row
        for row in read_jsonl(folder / "scores" / "test.jsonl")
        if row[fields.LABEL] == fields.BONAFIDE or row[fields.FAMILY] in families
    ]
    labels = np.array([row[fields.LABEL] == fields.BONAFIDE for row in rows], dtype=bool)
    if labels.all() or not all("lfcc_gmm" in row and row[fields.SPEAKER_GROUP] for row in rows):
        return None
    scores, baseline = (np.array([row[name] for row in rows]) for name in ("score", "lfcc_gmm"))
    return PairedScores(scores, baseline, labels, np.array([row[fields.SPEAKER_GROUP] for row in rows]))


def evaluate_manifest(cfg: MamboConfig, run: RunFolder, path: str | Path) -> Evaluation:
    """Measure a trained run on a labelled manifest of the user's.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a manifest with labels; see ``auricle manifest``.

    Raises:
        DataError: not a manifest, no labels, or a class is missing.
    """
    detector = load(run.path)
    cuts = manifest.read(path)
    need_labels(cuts, path)
    clips = load_clips(cuts, cfg.data.rate_hz)
    need_both_classes(Path(path).name, cuts)
    scores, decisions = detector.cut_decisions(cuts)
    table, name = Table(cfg), Path(path).stem
    return Evaluation(
        rows=[
            *table.groups(scores, clips),
            *pooled_rows(scores, clips.labels, detector.calibration),
            *share_rows(decisions, clips.labels),
        ],
        data=name,
        warnings=[*unsaid(detector), *([LAPTOP] if detector.toy else []), *table.notes],
        toy=detector.toy,
        scores={f"{name}.jsonl": score_rows(scores, clips, decisions, {})},
    )


def evaluate_scores(
    score_file: str | Path,
    key_file: str | Path,
    *,
    by: str | None = None,
    subset: str | None = None,
    asv_scores: str | Path | None = None,
) -> Evaluation:
    """Measure any detector by its score file; no model is needed.

    Args:
        score_file: lines of ``trial score``, higher for bona fide.
        key_file: which trial is what; see `auricle.metrics.scores`.
        by: column of the key to report by; ``attack`` where the key has it.
        subset: part of the key that is scored; ``eval`` for a key of ASVspoof 2021, else all.
        asv_scores: scores of a speaker verifier of ASVspoof 2019 or 2021 LA, for the tandem cost (min t-DCF).

    Returns:
        EER, AUC, minDCF and, with a verifier, min t-DCF, in each part of the column and pooled.

    Raises:
        DataError: as `auricle.metrics.scores.evaluate_scores` and `auricle.data.protocols.read_asv_scores`; or a class
            is missing.
        ConfigError: the key has no such column or subset.
    """
    asv = None if asv_scores is None else read_asv_scores(asv_scores)
    trials = score_files.evaluate_scores(score_file, key_file, by, subset, asv)
    by_speaker = trials.speakers is not None and len(set(trials.speakers)) >= FEWEST_SPEAKERS
    if (lacking := trials.parts[-1].note) and not (trials.labels.any() and not trials.labels.all()):
        raise DataError(f"{key_file}: {lacking}; an EER needs both classes")
    rows: list[MetricRow] = []
    notes = [*trials.notes, *(part.note for part in trials.parts if part.note)]
    for one in trials.parts:
        real, fake = trials.split(one)
        if not (len(real) and len(fake)):
            continue
        labels = trials.labels[one.chosen]
        by_voice = np.array(trials.speakers)[one.chosen] if by_speaker else None
        row, note = eer_row(
            trials.scores[one.chosen], labels, by_voice, group=one.name, replicates=REPLICATES, seed=0, fewest=0
        )
        notes += [note] if note else []
        rows.append(row)
        rows.append(MetricRow(name="auc", value=auc(real, fake), n=len(labels), group=one.name))
        rows.append(MetricRow(name="min_dcf", value=min_dcf(real, fake), n=len(labels), group=one.name))
        try:
            cost = trials.min_tdcf(one)
        except DataError as error:
            notes.append(f"min t-DCF of {one.name}: {error}")
            continue
        if cost is not None:
            rows.append(MetricRow(name="min_tdcf", value=cost, n=len(labels), group=one.name))
    few = f"trials, as the key names fewer than {FEWEST_SPEAKERS} speakers"
    return Evaluation(
        rows=rows,
        data=Path(score_file).stem + (f", subset {trials.subset}" if trials.subset else ""),
        warnings=[*notes, f"intervals are over {'speakers' if by_speaker else few}"],
        toy=False,
    )
