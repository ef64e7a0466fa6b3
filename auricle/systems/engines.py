"""Where answers are made: in this process or on Ray's workers; and the files that an answer writes beside its row."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from auricle.core.answers import Answer, Output, Refused
from auricle.core.errors import AuricleError, ConfigError, DataError
from auricle.core.extras import require
from auricle.core.files import digest
from auricle.core.names import Spec
from auricle.core.request import Request, from_values
from auricle.core.run import RunFolder
from auricle.systems import System, load, system

Row = dict[str, Any]
RAY_BATCH = 64  # requests that a worker takes at once
RAY_RETRIES = 3  # of a batch whose worker was killed; without a limit a file that kills its worker would go on for ever
NAME_LENGTH, NAME_BYTES = 60, 180  # of an output's name that come from its request
FILES_OF = "_files"  # in a row on its way: which of its keys are files


def output_folder(spec: Spec, out_dir: str | Path | None) -> Path | None:
    """Hold the folder for outputs against what the system gives.

    Raises:
        ConfigError: a folder for a system that writes nothing, or none for one that gives sound.
    """
    files = [name for name in spec.gives if name != "json"]
    if out_dir is not None and not files:
        raise ConfigError(f"'{spec.name}' writes no files beside its lines; leave out --out-dir")
    if out_dir is None and {"audio", "video"} & set(files):
        raise ConfigError(f"'{spec.name}' gives {' and '.join(files)}; say where to with --out-dir DIR")
    return None if out_dir is None else Path(out_dir).absolute()


def named(request: Request) -> Row:
    """Give what every row begins with: ``input`` and, where the request has more, ``request``."""
    return {"input": request.input, **({"request": request.beside} if request.beside else {})}


def row_of(request: Request, answer: Answer | Refused, spec: Spec, target: Path | None) -> Row:
    """Give the row of an answer, with the files that it writes written."""
    row = {**named(request), **answer.as_dict()}
    outputs: Mapping[str, Output] = getattr(answer, "outputs", dict)()
    if target is None or not outputs:
        return row
    for name, output in outputs.items():
        path = target / output_name(request, "" if len(outputs) == 1 else name, output.suffix)
        try:
            if any(os.path.realpath(path) == os.path.realpath(file) for file in request.files):
                raise DataError(f"{path} is an input of the request; give another --out-dir")
            target.mkdir(parents=True, exist_ok=True)
            output.write(path)
            row[name] = str(path)
        except (OSError, AuricleError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problem = f"{path} cannot be written ({reason}); give another --out-dir"
            if "audio" in spec.gives or "video" in spec.gives:
                return {**named(request), "error": problem}
            row["warnings"] = [*row.get("warnings", ()), f"no-{name}: {problem}"]
    return {**row, FILES_OF: [name for name in outputs if row.get(name) is not None]}


def output_name(request: Request, what: str, suffix: str) -> str:
    """Name a file after its request: another request's file never has the same name, the same request's always has.

    Args:
        request: the question.
        what: which of several files of one answer; "" where there is one.
        suffix: of the name.
    """
    first = next(iter(request.files), None)
    stem = first.stem if first is not None else re.sub(r"[^\w-]+", "-", request.text or "").strip("-")
    whole = str(first.absolute()) if first is not None else request.text
    mark = digest([whole, request.beside] if request.beside else whole)[:6]
    stem = stem[:NAME_LENGTH]
    while len(os.fsencode(stem)) > NAME_BYTES:
        stem = stem[:-1]
    return "-".join(part for part in (stem, mark, what) if part) + suffix


def local(folder: Path, workers: int | None, target: Path | None) -> Callable[[Iterator[Request]], Iterator[Row]]:
    """Make the function that answers in this process.

    Args:
        folder: the run that answers.
        workers: torch's threads; None leaves them.
        target: folder for the files that answers write.
    """

    def score(asked: Iterator[Request]) -> Iterator[Row]:
        import torch

        one, model = _loaded(folder)
        before = torch.get_num_threads()
        torch.set_num_threads(workers or before)
        try:
            yield from rows_of(one, model, asked, target)
        finally:
            torch.set_num_threads(before)

    return score


def _loaded(folder: Path) -> tuple[System, Any]:
    model = load(folder)
    return system(str(RunFolder(folder).saved_config()["system"])), model


def rows_of(one: System, model: Any, asked: Iterable[Request], target: Path | None) -> Iterator[Row]:
    """Give a row a request; the system reads requests ahead, and answers in their order."""
    waiting: deque[Request] = deque()

    def seen() -> Iterator[Request]:
        for request in asked:
            waiting.append(request)
            yield request

    for answer in one.verb("infer")(model, seen()):
        yield row_of(waiting.popleft(), answer, one.spec, target)


class _Worker:
    """One of Ray's processes: it loads the run once and answers for batches of requests."""

    def __init__(self, folder: Path, target: Path | None) -> None:
        self.system, self.model = _loaded(folder)
        self.target = target

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        asked = [from_values(json.loads(text), self.system.spec) for text in batch["request"]]
        rows = rows_of(self.system, self.model, asked, self.target)
        return {"place": batch["place"], "row": [json.dumps(row) for row in rows]}


def on_ray(folder: Path, workers: int | None, target: Path | None) -> Callable[[Iterator[Request]], Iterator[Row]]:
    """Make the function that answers on Ray's workers; arguments as `local`.

    Raises:
        MissingExtra: no Ray.
        CheckpointError: a run that cannot be used.
    """
    if not os.environ.get("RAY_ADDRESS"):
        # read when Ray is imported: a Ray of this machine alone then listens on the loopback address only
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    ray = require("ray", "ray", "--engine ray")
    data = require("ray.data", "ray", "--engine ray")
    _loaded(folder)  # a run that cannot be used is refused here, with one clear error, and not on every worker

    def score(asked: Iterator[Request]) -> Iterator[Row]:
        rows = [{"place": place, "request": json.dumps(request.as_dict())} for place, request in enumerate(asked)]
        if not rows:
            return
        _connect(ray, workers)
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        blocks = max(count, -(-len(rows) // RAY_BATCH))
        scored = data.from_items(rows, override_num_blocks=min(blocks, len(rows))).map_batches(
            _Worker,
            fn_constructor_args=(folder, target),
            batch_size=RAY_BATCH,
            batch_format="numpy",
            num_cpus=1,
            max_task_retries=RAY_RETRIES,
            compute=data.ActorPoolStrategy(size=count),
        )
        try:
            yield from _by_place((int(one["place"]), json.loads(one["row"])) for one in scored.iter_rows())
        except ray.exceptions.RayError as error:
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
            raise DataError(f"Ray's workers failed: {last}; try --engine local, or see Ray's own logs") from error

    return score


def _by_place(rows: Iterable[tuple[int, Row]]) -> Iterator[Row]:
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
