"""Decoding in another process, which may hang, crash or eat memory: that file is refused, the others are answered.

Processes are kept for the next file and end by themselves when nothing is asked of them, or when this process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from auricle.audio.check import Float
from auricle.audio.worker import AUDIO, HEAD, JSON, MEMORY_BYTES, STEP_CPU_S, opening_s
from auricle.core.errors import AudioError

ANSWER_S = 20.0  # for one step, waiting included
_START_S = 60.0  # for the first answer: the process imports its libraries
_CODE = """import sys
sys.path[:], sys.dont_write_bytecode = sys.argv[2:], True
from auricle.audio.worker import main
main()"""


class _GoneError(Exception):
    """The process ended, or did not answer in time."""


class _Worker:
    """One process."""

    def __init__(self) -> None:
        """Start it."""
        if not sys.executable:
            raise AudioError("this kind of file is decoded in a process of its own, and Python's own path is unknown")
        ours, theirs = socket.socketpair()
        with theirs:
            paths = [path or os.getcwd() for path in sys.path]
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, str(theirs.fileno()), *paths],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # one thread, which is all that decoding needs; each more would take address space
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for this process, which ends the other one
            )
        self.line = ours
        self.fresh = True
        self.more_s = 0.0
        self.limit_s = ANSWER_S

    def ask(self, request: dict[str, Any], descriptor: int | None = None) -> None:
        """Send a request, with a file."""
        try:
            socket.send_fds(self.line, [json.dumps(request).encode()], [] if descriptor is None else [descriptor])
        except OSError:
            raise _GoneError from None

    def answer(self) -> tuple[bytes, bytearray | int]:
        """Wait for an answer: its kind and its bytes, or its number for a tick.

        Raises:
            _GoneError: there is none.
        """
        self.limit_s = (_START_S if self.fresh else ANSWER_S) + self.more_s
        self.line.settimeout(self.limit_s)
        try:
            kind, length = HEAD.unpack(self._exactly(HEAD.size))
            self.fresh = False
            return kind, self._exactly(length) if kind in (AUDIO, JSON) else length
        except OSError:
            raise _GoneError from None

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self.line.recv_into(view)
            if not got:
                raise ConnectionError
            view = view[got:]
        return data

    def end(self) -> str:
        """End it and say how it ended."""
        self.line.close()
        # it may have ended by itself, which takes a moment to be seen
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)
        ended = self.process.poll()
        if ended is None:
            self.process.kill()
            self.process.wait()
            return f"did not answer within {self.limit_s:.0f} s and was stopped"
        if ended == -getattr(signal, "SIGXCPU", 0):
            return f"did not come to an end within {STEP_CPU_S} s and was stopped"
        if ended < 0:
            return f"crashed ({signal.Signals(-ended).name})"
        return f"gave up; it may have asked for more than {MEMORY_BYTES >> 30} GiB of memory"


_IDLE: list[_Worker] = []
_LOCK = threading.Lock()


def _forget() -> None:
    """Leave the processes of a parent to it, after a fork."""
    global _LOCK
    _LOCK = threading.Lock()
    _IDLE.clear()


def _end_all() -> None:
    while _IDLE:
        _IDLE.pop().end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
atexit.register(_end_all)


def _taken() -> _Worker:
    with _LOCK:
        while _IDLE:
            worker = _IDLE.pop()
            if worker.process.poll() is None:
                return worker
            worker.line.close()
    return _Worker()


class SupervisedSource:
    """A file that another process decodes."""

    def __init__(self, handle: BinaryIO, size_bytes: int, suffix: str) -> None:
        """Have a file opened.

        Args:
            handle: the file, with a descriptor.
            size_bytes: its length.
            suffix: of its name, in lower case.

        Raises:
            AudioError: it is refused, or its decoder came to no end.
        """
        self._request: dict[str, Any] = {"size": size_bytes, "suffix": suffix}
        self._worker: _Worker | None = None
        try:
            head = self._opened(handle)
        except BaseException:  # Ctrl-C too
            self._ended()
            raise
        if "error" in head:
            self._give_back()
            raise AudioError(head["error"])
        self.rate_hz, self.channels = int(head["rate_hz"]), int(head["channels"])
        self.frames: int | None = head["frames"]
        self.format = str(head["format"])
        self.warnings: list[str] = list(head["warnings"])

    def _opened(self, handle: BinaryIO) -> dict[str, Any]:
        self._worker = _taken()
        if not self._worker.fresh:
            with contextlib.suppress(_GoneError):
                return self._asked(handle)
            # a process that had waited may just have ended
            self._ended()
            self._worker = _Worker()
        try:
            return self._asked(handle)
        except _GoneError:
            raise AudioError(self._ended()) from None

    def _asked(self, handle: BinaryIO) -> dict[str, Any]:
        worker = self._held
        worker.ask(self._request, handle.fileno())
        worker.more_s = opening_s(self._request["size"])
        kind, data = worker.answer()
        worker.more_s = 0.0
        if kind != JSON:
            raise _GoneError
        return json.loads(bytes(data))

    @property
    def _held(self) -> _Worker:
        if self._worker is None:
            raise _GoneError
        return self._worker

    def _ended(self) -> str:
        worker, self._worker = self._worker, None
        return f"its decoder {'was closed' if worker is None else worker.end()}; the file is damaged or made to harm"

    def _give_back(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with _LOCK:
                _IDLE.append(worker)

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[Float]:
        """Give the samples from frame `start` on, at most `count`, as (C, T) arrays; once for each opening.

        Args:
            start: first frame.
            count: frames at most; None for all.

        Raises:
            AudioError: the decoder failed to go on.
        """
        for data in self._answers(start, count, send=True):
            if isinstance(data, bytearray) and data:
                yield np.frombuffer(data, np.float32).reshape(self.channels, -1)

    def count(self) -> int:
        """Count the samples of a channel by decoding all of them; instead of `pieces`.

        Raises:
            AudioError: as `pieces`.
        """
        return sum(number for number in self._answers(0, None, send=False) if isinstance(number, int))

    def _answers(self, start: int, count: int | None, send: bool) -> Iterator[bytearray | int]:
        done = False
        try:
            self._held.ask({"start": start, "count": count, "send": send})
            while True:
                kind, data = self._held.answer()
                if kind != JSON:
                    yield data
                    continue
                said = json.loads(bytes(data))
                done = True
                break
        except _GoneError:
            raise AudioError(self._ended()) from None
        finally:
            if not done and self._worker is not None:  # nobody wants the rest
                self._ended()
        if "error" in said:
            self._give_back()
            raise AudioError(said["error"])
        self.warnings[:] = said["warnings"]

    def close(self) -> None:
        """Keep the process for the next file, or end it if it is still at work."""
        if self._worker is None:
            return
        try:
            self._worker.ask({})
            self._worker.answer()
        except _GoneError:
            self._ended()
        else:
            self._give_back()
