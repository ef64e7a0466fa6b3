"""Answers to many requests: in this process or on Ray's workers, from a cache, and into a file that resumes.

Whatever the way, the rows are those of `infer`, one per request and in the order of the requests.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from auricle.core.answers import Answer, Refused
from auricle.core.cache import ResultCache, combined_key, content_key
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json
from auricle.core.request import FILES, Request
from auricle.core.run import RunFolder, seed_zero
from auricle.systems import System, system
from auricle.systems.contents import EVALUATION, contents
from auricle.systems.engines import FILES_OF, Row, local, named, on_ray, output_folder
from auricle.systems.requests import Asked, requests

ENGINES = ("local", "ray")
NOT_ANSWERING = ("data.", EVALUATION)  # begin the keys of settings that decide no answer
ANSWERS = b"2"  # raised where the same weights come to answer otherwise; 2: `reason` beside the label
T = TypeVar("T")


def fingerprint(folder: str | Path) -> str:
    """Name what decides the answers of a run: config, final checkpoint (its meta data hold a checksum), our version.

    What lies behind paths of the config (the folder of an encoder, say) counts by its content. What only training or
    evaluation reads does not.

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
    read = {key: name for key, name in contents(_config(files[0])).items() if not key.startswith(NOT_ANSWERING)}
    parts = [json.dumps(read, sort_keys=True)] if read else []
    return combined_key(
        [importlib.metadata.version("auricle"), ANSWERS, *(file.read_bytes() for file in files), *parts]
    )


def _config(file: Path) -> Mapping[str, Any]:
    try:
        values = read_json(file)["config"]
    except (DataError, KeyError, TypeError):
        return {}  # who loads the run says what is wrong with it
    return values if isinstance(values, dict) else {}


def in_order(
    asked: Iterable[Asked],
    answer: Callable[[Iterator[Request]], Iterator[T]],
    known: Callable[[Asked], T | None],
) -> Iterator[tuple[Asked, T, bool]]:
    """Put the answers that exist between those that are made.

    Args:
        asked: what was asked, in order.
        answer: answers for requests, in order, however far ahead it reads them.
        known: the answer to what needs none any more: what was refused, what is known from before.

    Yields:
        What was asked, its answer, and whether it was made now.
    """
    order: deque[tuple[Asked, T | None]] = deque()

    def unknown() -> Iterator[Request]:
        for one in asked:
            row = known(one)
            order.append((one, row))
            if row is None and isinstance(one, Request):
                yield one

    def before() -> Iterator[tuple[Asked, T, bool]]:
        while order and order[0][1] is not None:
            one, row = order.popleft()
            if row is not None:
                yield one, row, False

    for made in answer(unknown()):
        yield from before()
        yield order.popleft()[0], made, True
    yield from before()


def requested(one: System, model: Any, inputs: Iterable[str | Path | Request]) -> Iterator[Answer | Refused]:
    """Answer for requests, files and folders, in order; see `auricle.systems.System.infer`."""
    infer = one.verb("infer")

    def refused(asked: Asked) -> Answer | Refused | None:
        return asked if isinstance(asked, Refused) else None

    for _, answer, _ in in_order(requests(one.spec, inputs), partial(infer, model), refused):
        yield answer


def answers(
    run: str | Path,
    inputs: Iterable[str | Path | Asked],
    *,
    engine: str = "local",
    workers: int | None = None,
    cache: str | Path | None = None,
    out_dir: str | Path | None = None,
    known: Callable[[Request], Row | None] = lambda request: None,
) -> Iterator[Row]:
    """Answer for requests, files and folders.

    Args:
        run: the run folder; for `ray` on several machines it lies, like the inputs, where all of them can read.
        inputs: requests, files, or folders of them.
        engine: ``local`` or ``ray``; a Ray cluster that this process is connected to, or that RAY_ADDRESS names, is
            used, else Ray is started on this machine.
        workers: local: batches at once (torch's number of threads by default); ray: processes, each of which loads
            the run once (one a processor of the cluster by default).
        cache: folder of earlier answers, found by the content of the request and of the checkpoint.
        out_dir: folder for the sounds or pictures that a system gives beside its lines; each line names its files.
        known: gives the row of a request that needs no answer any more.

    Yields:
        One row per request, in order: the answer, or ``{input, error}``. Of a request that has more than one file or
        one text, ``request`` holds the rest.

    Raises:
        ConfigError: unknown engine, fewer than one worker, `out_dir` for a system that writes nothing, or none for one
            that gives sound.
        CheckpointError: a folder that is no trained run.
        MissingExtra: ``ray`` without Ray.
    """
    if engine not in ENGINES:
        raise ConfigError(f"engine '{engine}'; it can be {' or '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers; at least 1 is needed")
    folder = seed_zero(run).absolute()
    spec = system(str(RunFolder(folder).saved_config()["system"])).spec
    target = output_folder(spec, out_dir)
    score = local(folder, workers, target) if engine == "local" else on_ray(folder, workers, target)
    keys: dict[int, str] = {}  # of requests on their way: what names their content
    with contextlib.ExitStack() as stack:
        kept = ResultCache(cache, fingerprint(folder)) if cache is not None else None
        if kept is not None:
            stack.callback(kept.close)

        def earlier(one: Asked) -> Row | None:
            if isinstance(one, Refused):
                return one.as_dict()
            return known(one) or (None if kept is None else _cached(one, kept, target, keys))

        for one, row, made in in_order(requests(spec, inputs), score, earlier):
            key = keys.pop(id(one), None)
            if made and kept is not None and key is not None and "error" not in row:
                kept.put(key, {name: value for name, value in row.items() if name not in ("input", "request")})
            yield {name: value for name, value in row.items() if name != FILES_OF}


def _cached(request: Request, cache: ResultCache, target: Path | None, keys: dict[int, str]) -> Row | None:
    """Find an answer by content; one whose files are gone is made again."""
    try:
        keys[id(request)] = key = request_key(request, target)
    except DataError:
        return None  # answering it will say why it cannot be read
    value = cache.get(key)
    if value is None or not all(os.path.exists(value[name]) for name in value.get(FILES_OF, ())):
        return None
    return {**named(request), **value}


def request_key(request: Request, target: Path | None = None) -> str:
    """Name a request by the content of its files and its words and values.

    Args:
        request: the question.
        target: folder of the files that the answer writes.

    Raises:
        DataError: a file cannot be read.
    """
    plain = request.as_dict()
    if plain.keys() == {"audio"} and target is None:
        return content_key(plain["audio"])
    files = {name: content_key(path) for name in FILES if (path := plain.get(name)) is not None}
    return combined_key([json.dumps({**plain, **files}, sort_keys=True, ensure_ascii=False), str(target or "")])
