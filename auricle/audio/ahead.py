"""Work done ahead of its turn: files decoded in threads, batches scored side by side, results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from auricle.audio.check import Float
from auricle.audio.files import find_audio, probe, read
from auricle.core.errors import AudioError, AuricleError

In = TypeVar("In")
Out = TypeVar("Out")
DECODERS = 2  # threads that read files
AHEAD = 16  # files read before their turn


def map_ahead(pool: ThreadPoolExecutor, function: Callable[[In], Out], items: Iterable[In], most: int) -> Iterator[Out]:
    """Map in a pool's threads, in order, a bounded number of results ahead of the one that is asked for.

    Args:
        pool: whose threads work.
        function: what is done; what it raises is raised at the item's turn.
        items: taken one at a time, in the caller's thread.
        most: results that may wait.

    Yields:
        One result an item.
    """
    ahead: deque[Future[Out]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            while len(ahead) > most or ahead[0].done():
                yield ahead.popleft().result()
                if not ahead:
                    break
        while ahead:
            yield ahead.popleft().result()
    finally:
        for waiting in ahead:
            waiting.cancel()


@contextmanager
def torch_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool each of whose threads has one torch thread; the caller's own number stays as it was.

    Batches side by side with a thread each serve two cores far better than two threads inside each small operation.

    Args:
        threads: how many.
    """
    before = torch.get_num_threads()
    # torch keeps this count per thread, and gives the last one set to threads that come later
    pool = ThreadPoolExecutor(threads, "score", torch.set_num_threads, (1,))
    try:
        together = threading.Barrier(threads)
        for started in [pool.submit(together.wait) for _ in range(threads)]:
            started.result()
        torch.set_num_threads(before)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Decoded:
    """A file on its way: decoded, or refused with a reason.

    Attributes:
        path: as given or found.
        wave: (T,), empty where refused.
        rate_hz: its rate; 0 where refused.
        duration_s: of the whole file, of which `wave` may be the beginning.
        warnings: of the audio.
        error: why it is refused.
    """

    path: str
    wave: Float
    rate_hz: int = 0
    duration_s: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None


def decoded(path: Path | Decoded, longest_s: float | None = None) -> Decoded:
    """Judge and decode one file at its own rate; what was refused before stays so.

    Args:
        path: a file, or what was found to be none.
        longest_s: of a longer file only this much is read, from its beginning.
    """
    if isinstance(path, Decoded):
        return path
    try:
        audio = read(path, duration_s=longest_s)
        duration_s = audio.duration_s
        if longest_s is not None and duration_s >= longest_s:
            duration_s = max(duration_s, probe(path).duration_s)
        return Decoded(str(path), audio.mono(), audio.rate_hz, duration_s, audio.warnings)
    except AudioError as error:
        return _refused(path, error)


def found(inputs: Iterable[str | Path]) -> Iterator[Path | Decoded]:
    """Give files, and the files in folders, in order; an input without audio gives its refusal.

    Args:
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    for given in inputs:
        try:
            yield from find_audio([given])
        except AudioError as error:
            yield _refused(given, error)


def score_files(
    score: Callable[[Sequence[Decoded]], Sequence[Out]],
    inputs: Iterable[str | Path],
    batch: int = 32,
    threads: int | None = None,
    longest_s: float | None = None,
) -> Iterator[tuple[Decoded, Out | None]]:
    """Score files: each thread reads a batch of them and scores it, several threads side by side.

    Reading in the scorer's own thread costs less than threads of their own for it: those would wait for Python's lock
    ten thousand times where a folder of 200 clips is scored.

    Args:
        score: gives one result a clip; it is called in several threads at once. What it refuses (`AuricleError`) is
            tried clip by clip, and the clip that it refuses alone is refused.
        inputs: files, or folders whose audio files are taken in sorted order.
        batch: clips handed over at once.
        threads: batches at once; torch's own number of threads by default.
        longest_s: of a longer file only this much is read, from its beginning.

    Yields:
        Every file in order with its result; None beside a file that was refused.
    """

    def scored(clips: list[Decoded]) -> list[tuple[Decoded, Out | None]]:
        usable = [clip for clip in clips if clip.error is None]
        try:
            results = iter(score(usable) if usable else ())
        except AuricleError as error:
            if len(clips) > 1:  # one clip must not take its mates with it
                return [row for clip in clips for row in scored([clip])]
            return [(replace(clips[0], error=str(error)), None)]
        return [(clip, None if clip.error is not None else next(results)) for clip in clips]

    threads = threads or torch.get_num_threads()
    with torch_pool(threads) as pool:
        parts = iter(partial(_batch, iter(found(inputs)), batch), [])
        for part in map_ahead(pool, lambda files: scored([decoded(file, longest_s) for file in files]), parts, threads):
            yield from part


def _batch(files: Iterator[Path | Decoded], size: int) -> list[Path | Decoded]:
    return list(islice(files, size))


def _refused(path: str | Path, error: AudioError) -> Decoded:
    return Decoded(str(path), np.zeros(0, np.float32), error=str(error))
