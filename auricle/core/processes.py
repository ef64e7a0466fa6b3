"""Child processes that end with their parent and say nothing when they are stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1  # of Linux's prctl


def start_worker(parent: int) -> None:
    """Make this process a good child: it ends when its parent does, and Ctrl-C ends it without a word.

    To be called first thing in a child of `multiprocessing`; the initializer of a pool is the place.

    Args:
        parent: number of the parent, ``os.getpid()`` there.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # no such call in this C library: the watch below is left
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    above = multiprocessing.parent_process()
    if above is not None:
        threading.Thread(target=_end_after, args=(above,), name="parent-watch", daemon=True).start()
    # it may have died before anybody watched
    if hasattr(os, "getppid") and os.name == "posix" and os.getppid() != parent:
        os._exit(1)


def _end_after(above: multiprocessing.process.BaseProcess) -> None:
    above.join()
    os._exit(1)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting while the block runs; processes started in it do not hear it until they ask for it.

    Without this, a child that is still importing its libraries prints a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_children() -> None:
    """End the processes that this one has started with `multiprocessing`, without waiting for their work."""
    for child in multiprocessing.active_children():
        child.terminate()
