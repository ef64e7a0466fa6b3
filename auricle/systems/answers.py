"""Answers about many files: in this process or on Ray's workers, from a cache, and into a file that resumes.

Whatever the way, the rows are those of `infer`, one per input and in the order of the inputs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.cache import ResultCache, combined_key, content_key
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.core.extras import require
from auricle.core.files import read_json, write_json

ENGINES = ("local", "ray")
Row = dict[str, Any]
RAY_BATCH = 64  # files that a worker takes at once


def fingerprint(folder: str | Path) -> str:
    """Name what decides the answers of a run: config, final checkpoint (its meta data hold a checksum), our version.

    Args:
        folder: a run folder.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: the folder has no final checkpoint.
    """
    files = [Path(folder) / "config.json", Path(folder) / "checkpoints" / "final" / "meta.json"]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{missing[0]} does not exist; give the folder of a trained run")
    return combined_key([importlib.metadata.version("auricle"), *(file.read_bytes() for file in files)])


def answers(
    run: str | Path,
    inputs: Iterable[str | Path],
    *,
    engine: str = "local",
    workers: int | None = None,
    cache: str | Path | None = None,
    plots: str | Path | None = None,
    known: Callable[[str], Row | None] = lambda name: None,
) -> Iterator[Row]:
    """Answer for files and folders.

    Args:
        run: the run folder; for `ray` on several machines it lies, like the inputs, where all of them can read.
        inputs: audio files, or folders of them.
        engine: ``local`` or ``ray``; a Ray cluster that this process is connected to, or that RAY_ADDRESS names, is
            used, else Ray is started on this machine.
        workers: local: batches at once (torch's number of threads by default); ray: processes, each of which loads
            the run once (one a processor of the cluster by default).
        cache: folder of earlier answers, found by the content of a file and of the checkpoint.
        plots: folder for the pictures of a system that draws some; an answer from the cache draws none.
        known: gives the row of an input that needs no answer any more.

    Yields:
        One row per input, in order: the answer, or ``{input, error}``.

    Raises:
        ConfigError: unknown engine, fewer than one worker, or `plots` for a system that draws nothing.
        CheckpointError: a folder that is no trained run.
        MissingExtra: ``ray`` without Ray.
    """
    if engine not in ENGINES:
        raise ConfigError(f"engine '{engine}'; it can be {' or '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers; at least 1 is needed")
    folder = _trained(run)
    drawn = None if plots is None else Path(plots).absolute()
    score = _local(folder, workers, drawn) if engine == "local" else _ray(folder, workers, drawn)
    with contextlib.ExitStack() as stack:
        kept = ResultCache(cache, fingerprint(folder)) if cache is not None else None
        if kept is not None:
            stack.callback(kept.close)
        yield from _merged(_found(inputs), score, kept, known)


def _trained(run: str | Path) -> Path:
    """Give the folder that answers; of a run with several seeds, that of seed 0."""
    path = Path(run)
    several = not (path / "config.json").exists() and (path / "seed-0" / "config.json").exists()
    return (path / "seed-0" if several else path).absolute()


@dataclass
class _Item:
    """One input: its row, if there is one already, and the key of its content, if there is a cache."""

    path: str
    row: Row | None = None
    key: str | None = None


def _found(inputs: Iterable[str | Path]) -> Iterator[_Item]:
    from auricle.audio.files import find_audio

    for given in inputs:
        try:
            yield from (_Item(str(path)) for path in find_audio([given]))
        except AudioError as error:
            yield _Item(str(given), {"input": str(given), "error": str(error)})


def _merged(
    items: Iterable[_Item],
    score: Callable[[Iterator[str]], Iterator[Row]],
    cache: ResultCache | None,
    known: Callable[[str], Row | None],
) -> Iterator[Row]:
    """Put the rows that exist between those that are made, in the order of the items."""
    order: deque[_Item] = deque()

    def unknown() -> Iterator[str]:
        for item in items:
            item.row = item.row or known(item.path) or _cached(item, cache)
            order.append(item)
            if item.row is None:
                yield item.path

    for row in score(unknown()):
        while order[0].row is not None:
            yield order.popleft().row or {}
        item = order.popleft()
        if cache is not None and item.key is not None and "error" not in row:
            cache.put(item.key, {name: value for name, value in row.items() if name != "input"})
        yield row
    while order:
        yield order.popleft().row or {}


def _cached(item: _Item, cache: ResultCache | None) -> Row | None:
    if cache is None:
        return None
    try:
        item.key = content_key(item.path)
    except DataError:
        return None  # scoring it will say why it cannot be read
    value = cache.get(item.key)
    return None if value is None else {"input": item.path, **value}


def _local(folder: Path, workers: int | None, plots: Path | None) -> Callable[[Iterator[str]], Iterator[Row]]:
    def score(paths: Iterator[str]) -> Iterator[Row]:
        import torch

        model, infer = _loaded(folder, plots)
        before = torch.get_num_threads()
        torch.set_num_threads(workers or before)
        try:
            for result in infer(model, paths):
                yield result.as_dict()
        finally:
            torch.set_num_threads(before)

    return score


def _loaded(folder: Path, plots: Path | None) -> tuple[Any, Callable[[Any, Iterable[str]], Iterator[Any]]]:
    import auricle
    from auricle.core.run import RunFolder
    from auricle.systems import system

    name = RunFolder(folder).saved_config()["system"]
    model = auricle.load(folder)
    if plots is not None:
        if not hasattr(model, "drawing"):
            raise ConfigError(f"'{name}' draws no pictures; leave out --plots")
        model = model.drawing(plots)
    return model, system(name).infer


class _Worker:
    """One of Ray's processes: it loads the run once and answers for batches of files."""

    def __init__(self, folder: Path, plots: Path | None) -> None:
        self.model, self.infer = _loaded(folder, plots)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [json.dumps(result.as_dict(), ensure_ascii=False) for result in self.infer(self.model, batch["path"])]
        return {"place": batch["place"], "row": rows}


def _ray(folder: Path, workers: int | None, plots: Path | None) -> Callable[[Iterator[str]], Iterator[Row]]:
    if not os.environ.get("RAY_ADDRESS"):
        # read when Ray is imported: a Ray of this machine alone then listens on the loopback address only
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = require("ray", "ray", "--engine ray")
    data = require("ray.data", "ray", "--engine ray")
    _loaded(folder, plots)  # a run that cannot be used is refused here, with one clear error, and not on every worker

    def score(paths: Iterator[str]) -> Iterator[Row]:
        rows = [{"place": place, "path": path} for place, path in enumerate(paths)]
        if not rows:
            return
        _connect(ray, workers)
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        blocks = max(count, -(-len(rows) // RAY_BATCH))
        scored = data.from_items(rows, override_num_blocks=min(blocks, len(rows))).map_batches(
            _Worker,
            fn_constructor_args=(folder, plots),
            batch_size=RAY_BATCH,
            batch_format="numpy",
            num_cpus=1,
            compute=data.ActorPoolStrategy(size=count),
        )
        try:
            yield from _in_order((int(one["place"]), json.loads(one["row"])) for one in scored.iter_rows())
        except ray.exceptions.RayError as error:
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise DataError(f"Ray's workers failed: {last}; try --engine local, or see Ray's own logs") from error

    return score


def _in_order(rows: Iterable[tuple[int, Row]]) -> Iterator[Row]:
    """Blocks come as they are finished; a row waits until its turn."""
    early: dict[int, Row] = {}
    due = 0
    for place, row in rows:
        early[place] = row
        while due in early:
            yield early.pop(due)
            due += 1


def _connect(ray: Any, workers: int | None) -> None:
    """Use the cluster there is, or start one on this machine alone."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level="error")
        return
    cpus = max(os.cpu_count() or 1, (workers or 1) + 1)
    ray.init(
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _node_ip_address="127.0.0.1",
    )


@dataclass
class Written:
    """What `write_answers` did: rows in the file, how many of them stood there before, how many are errors."""

    rows: int = 0
    before: int = 0
    errors: int = 0


def write_answers(run: str | Path, inputs: Iterable[str | Path], out: str | Path, **settings: Any) -> Written:
    """Write the answers to a file, line by line; after a kill the same call goes on and repeats nothing.

    A file that was changed after the answers were last written is answered again. Beside `out` stands
    ``OUT.run.json``, which names the checkpoint.

    Args:
        run: as in `answers`.
        inputs: as in `answers`.
        out: the file of JSON lines.
        **settings: `engine`, `workers`, `cache` and `plots` of `answers`.

    Returns:
        Counts.

    Raises:
        ConfigError: `out` holds answers of another checkpoint, or as `answers`.
        DataError: `out` is there and is not a file of answers.
    """
    out, side = Path(out), Path(f"{out}.run.json")
    maker = fingerprint(_trained(run))
    rows, ends = _earlier(out, side, maker)
    stamp = out.stat().st_mtime_ns if rows else 0
    earlier = {str(row["input"]): row for row in rows}
    write_json(side, {"checkpoint": maker})
    count = Written()

    def known(name: str) -> Row | None:
        row = earlier.get(name)
        if row is None or os.stat(name).st_mtime_ns > stamp:
            return None
        count.before += 1
        return row

    with open(out, "ab", buffering=0) as target:
        target.truncate(ends[-1] if ends else 0)  # a line torn by a kill
        for row in answers(run, inputs, known=known, **settings):
            place, count.rows = count.rows, count.rows + 1
            count.errors += "error" in row
            if place < len(rows) and row == rows[place]:
                continue  # it stands there
            if place < len(rows):
                # the inputs are others than before: from here on the file is written anew, and what it held reused
                target.truncate(ends[place - 1] if place else 0)
                del rows[place:]
            target.write((json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode())
        if count.rows < len(rows):
            target.truncate(ends[count.rows - 1] if count.rows else 0)
    return count


def _earlier(out: Path, side: Path, maker: str) -> tuple[list[Row], list[int]]:
    """Read the whole lines of an earlier call, and the byte after each; a line torn by a kill is left out."""
    if not out.exists():
        return [], []
    found = read_json(side).get("checkpoint") if side.is_file() else None
    if found != maker:
        what = "of another checkpoint or version" if found else f"that nothing is known about ({side} is missing)"
        raise ConfigError(f"{out} holds answers {what}; give another --out, or remove it")
    rows: list[Row] = []
    ends: list[int] = []
    at = 0
    for line in out.read_bytes().splitlines(keepends=True):
        at += len(line)
        if not line.endswith(b"\n"):
            break
        try:
            row = json.loads(line)
            rows.append({"input": row["input"], **row})
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{out}, line {len(rows) + 1}: not an answer; give another --out, or remove it") from None
        ends.append(at)
    return rows, ends
