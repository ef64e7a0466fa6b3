"""Answers in batches: audio decoded ahead in threads, batches scored side by side, results in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
import torch

from auricle.audio.check import Float
from auricle.audio.files import probe, read
from auricle.core.errors import AudioError, AuricleError
from auricle.core.request import Request

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
    """A request whose audio was decoded, or refused with a reason.

    Attributes:
        request: the request.
        wave: (T,), or (C, T) where all channels were asked for; empty where refused.
        rate_hz: its rate; 0 where refused.
        duration_s: of the whole file, of which `wave` may be the beginning.
        warnings: of the audio.
        error: why it is refused.
    """

    request: Request
    wave: Float
    rate_hz: int = 0
    duration_s: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None

    @property
    def input(self) -> str:
        """What stands for the request in its answer."""
        return self.request.input


def decoded(request: Request, longest_s: float | None = None, channels: Literal["mono", "all"] = "mono") -> Decoded:
    """Judge and decode the audio of a request at its own rate.

    Args:
        request: has audio.
        longest_s: of a longer file only this much is read, from its beginning.
        channels: the loudest one, or all of them.
    """
    try:
        if request.audio is None:
            raise AudioError("the request has no audio")
        audio = read(request.audio, duration_s=longest_s)
        duration_s = audio.duration_s
        if longest_s is not None and duration_s >= longest_s:
            duration_s = max(duration_s, probe(request.audio).duration_s)
        wave = audio.mono() if channels == "mono" else audio.wave
        return Decoded(request, wave, audio.rate_hz, duration_s, audio.warnings)
    except AudioError as error:
        return Decoded(request, np.zeros(0, np.float32), error=str(error))


def score_files(
    score: Callable[[Sequence[Decoded]], Sequence[Out]],
    requests: Iterable[Request],
    batch: int = 32,
    threads: int | None = None,
    longest_s: float | None = None,
    channels: Literal["mono", "all"] = "mono",
) -> Iterator[tuple[Decoded, Out | None]]:
    """Score the audio of requests: each thread reads a batch of files and scores it, several threads side by side.

    Reading in the scorer's own thread costs less than threads of their own for it: those would wait for Python's lock
    ten thousand times where a folder of 200 clips is scored.

    Args:
        score: gives one result a clip; it is called in several threads at once. What it refuses (`AuricleError`) is
            tried clip by clip, and the clip that it refuses alone is refused.
        requests: questions that have audio.
        batch: clips handed over at once.
        threads: batches at once; torch's own number of threads by default.
        longest_s: of a longer file only this much is read, from its beginning.
        channels: the loudest one, or all of them.

    Yields:
        Every request in order with its result; None beside one that was refused.
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
        parts = iter(partial(_batch, iter(requests), batch), [])
        for part in map_ahead(
            pool, lambda asked: scored([decoded(one, longest_s, channels) for one in asked]), parts, threads
        ):
            yield from part


def _batch(requests: Iterator[Request], size: int) -> list[Request]:
    return list(islice(requests, size))
