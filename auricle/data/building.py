"""Clips built on every core: the workers, where their audio goes, and what every clip says of where it came from."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auricle.core.errors import DataError
from auricle.core.files import digest
from auricle.core.processes import interrupts_held, start_worker
from auricle.core.run import RunFolder
from auricle.data import fields

if TYPE_CHECKING:
    from auricle.data.embedded import Clip

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 4  # tasks that a worker takes at once


def build_all(make: Callable[[T], R], tasks: Sequence[T], workers: int, label: str = "building clips") -> Iterator[R]:
    """Do tasks on every core, in order, with a bar on standard error where that is a terminal.

    A worker is a fresh process that keeps its libraries to one thread. It ends with this process, and when the results
    are no longer asked for (Ctrl-C, an error).

    Args:
        make: does one task; it and the tasks must be picklable.
        tasks: what is to be done.
        workers: processes; 0 is one a core, 1 works in this process.
        label: of the bar.

    Yields:
        One result a task.

    Raises:
        DataError: a worker was ended from outside.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import track

    count = min(workers or os.cpu_count() or 1, len(tasks))
    console = Console(stderr=True)
    show = partial(track, description=escape(label), total=len(tasks), console=console, disable=not console.is_terminal)
    if count <= 1:
        yield from show(map(make, tasks))
        return
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(os.getpid(),))
    ours: set[multiprocessing.process.BaseProcess] = set()
    try:
        with interrupts_held():
            made = pool.map(make, tasks, chunksize=CHUNK)
            ours = set(multiprocessing.active_children()) - before
        yield from show(made)
    except BrokenProcessPool:
        for worker in ours:
            worker.kill()  # one that is slow to end would be waited for below
        raise DataError(
            "a process that prepared data was ended from outside, perhaps for want of memory; the same command goes on "
            "from here, with data.workers=1 in the least memory"
        ) from None
    except BaseException:
        for worker in ours:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start(parent: int) -> None:
    start_worker(parent)
    import torch

    torch.set_num_threads(1)


def audio_folder(run: RunFolder, settings: Mapping[str, Any]) -> Path:
    """Name a run's prepared audio by what decides its content: seeds share it, other settings never mix with it.

    Args:
        run: the run.
        settings: plain JSON values that decide the audio; ``workers`` among them decides nothing and is left out.
    """
    return run.cache / f"audio-{digest({key: value for key, value in settings.items() if key != 'workers'})}"


def provenance(clip: Clip) -> dict[str, Any]:
    """Give what a clip made of a recording keeps of it: source, coding, licence, author, speaker, language.

    Args:
        clip: the recording.

    Returns:
        Custom fields of a cut; what is not known of the recording is left out.
    """
    known = {
        fields.SOURCE: clip.package,
        fields.CODING: clip.coding,
        fields.LICENCE: clip.licence,
        fields.AUTHOR: clip.author,
        fields.SPEAKER: clip.speaker,
        fields.LANGUAGE: clip.language,
    }
    return {name: value for name, value in known.items() if value not in (None, "")}
