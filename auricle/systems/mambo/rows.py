"""The rows of a report: EER per group of clips, with its interval over speakers."""

from __future__ import annotations

import numpy as np

from auricle.core.report import MetricRow
from auricle.core.seed import derive
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.rows import eer_row
from auricle.report.spared import Spared
from auricle.systems.mambo.config import MamboConfig


class Beside(Spared):
    """What stands beside the result: whatever fails of it costs its own rows, and is named.

    Attributes:
        facts: what else a reader has to know.
        leak: whether a leak check failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[str] = []
        self.leak = False


class Table:
    """Makes the EER rows of one report.

    Args:
        cfg: families and bootstrap of the run.

    Attributes:
        notes: what a reader of the rows has to know, one sentence each.
    """

    def __init__(self, cfg: MamboConfig) -> None:
        self.cfg = cfg
        self.notes: list[str] = []

    def eer(
        self, scores: np.ndarray, clips: Clips, group: str, baseline: str | None = None, name: str = "eer"
    ) -> MetricRow:
        """Give one row, in percent, with the interval over speakers (over clips where there are too few speakers)."""
        row, note = eer_row(
            scores,
            clips.labels,
            speakers(clips),
            name=name,
            group=group,
            baseline=baseline,
            replicates=self.cfg.eval.bootstrap,
            seed=derive(self.cfg.seed, "bootstrap", group),
        )
        self.notes += [note] if note else []
        return row

    def groups(
        self, scores: np.ndarray, clips: Clips, baseline: str | None = None, *, each: bool = True
    ) -> list[MetricRow]:
        """Give seen, each family (unless not `each`), unseen and pooled; every group has all the real clips."""
        families = clips.values(fields.FAMILY)
        present = [name for name in dict.fromkeys(families) if name]
        seen = [name for name in present if name in self.cfg.data.seen]
        expected = [name for name in dict.fromkeys(self.cfg.data.unseen) if name in present]
        unseen = expected + [name for name in present if name not in (*seen, *expected)]
        chosen = [("seen", seen)] if seen else []
        if each:
            chosen += [(f"seen: {name}", [name]) for name in seen]
            chosen += [(f"unseen: {name}" if name in expected else name, [name]) for name in unseen]
        chosen += [("unseen", unseen)] if seen and unseen else []
        rows = []
        for title, names in chosen:
            inside = clips.labels | np.isin(families, names)
            rows.append(self.eer(scores[inside], clips.where(inside), title, baseline))
        return [*rows, self.eer(scores, clips, "pooled", baseline)]


def speakers(clips: Clips) -> np.ndarray:
    """Name what is resampled: the speaker group of each clip; a clip without one stands for itself."""
    named = clips.values(fields.SPEAKER_GROUP)
    return np.where(named == "", clips.values("id"), named)
