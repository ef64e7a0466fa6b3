"""Ctrl-C: the first one stops at a place that the same command goes on from, the second ends at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

STOPPED = 130  # what a shell shows for a program that Ctrl-C has ended
_AGAIN_S = 0.005


class _Heard:
    """What has been heard of Ctrl-C so far."""

    raised = False
    retried = False


def listen() -> None:
    """Take over Ctrl-C for this command, unless somebody has turned it off (a shell does for what it runs behind)."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    heard = _Heard()

    def interrupted(number: int, frame: FrameType | None) -> None:
        retry, heard.retried = heard.retried, False
        if heard.raised and not retry:
            _end_at_once()
        if _called_from_c(frame):
            _again(heard)
            return
        heard.raised = True
        raise KeyboardInterrupt

    before = sys.unraisablehook

    def unraisable(what: Any) -> None:
        # raised where nobody can hear it, in a finaliser say: once more, elsewhere
        if what.exc_type is not None and issubclass(what.exc_type, KeyboardInterrupt):
            _again(heard)
        else:
            before(what)

    signal.signal(signal.SIGINT, interrupted)
    sys.unraisablehook = unraisable


def _called_from_c(frame: FrameType | None) -> bool:
    """Say whether the C library of soundfile is waiting for us: it would take an exception for the end of the file."""
    while frame is not None:
        if frame.f_code.co_name.startswith("vio_") and frame.f_globals.get("__name__") == "soundfile":
            return True
        frame = frame.f_back
    return False


def _again(heard: _Heard) -> None:
    """Send Ctrl-C to this process once more, in a moment."""

    def send() -> None:
        heard.retried = True
        os.kill(os.getpid(), signal.SIGINT) if os.name == "posix" else signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(_AGAIN_S, send)
    timer.daemon = True
    timer.start()


def _end_at_once() -> None:
    """End without waiting for anything; children of ours end with us."""
    os.write(2, b"stopped at once\n")
    os._exit(STOPPED)
