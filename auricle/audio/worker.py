"""The process that decodes what is rarely met or odd: it may be ended without harm to anybody.

It is started by `supervised`. A request is a piece of JSON, the first one for a file with its descriptor beside it; an
answer is a kind, a length and that many bytes. Requests never overtake answers. A step (opening, one piece) may take a
few seconds of computing and the process a bounded memory; the system ends it otherwise.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import sys
from typing import Any

from auricle.audio.decoders import Source
from auricle.audio.opening import open_any
from auricle.core.errors import AudioError

try:
    import resource
except ImportError:  # systems without limits: the time of an answer is still watched
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 3 << 30  # address space
STEP_CPU_S = 5
IDLE_S = 30.0
HEAD = struct.Struct("<cI")
SAID = ("rate_hz", "channels", "frames", "format", "warnings")
JSON, AUDIO, TICK = b"j", b"a", b"t"


def main() -> None:
    """Answer requests on the socket whose descriptor is the first argument, until it is closed."""
    line = socket.socket(fileno=int(sys.argv[1]))
    _limits()
    line.settimeout(IDLE_S)
    with contextlib.suppress(ConnectionError, TimeoutError):
        while (request := _received(line)) is not None:
            line.settimeout(None)
            if not _serve(line, *request):
                return
            line.settimeout(IDLE_S)


def _limits() -> None:
    if resource is None:
        return
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def opening_s(size_bytes: int) -> int:
    """Seconds that opening a large file may take beyond those of any step: some are walked from end to end.

    Args:
        size_bytes: of the file.
    """
    return size_bytes >> 26


def _step(more_s: int = 0) -> None:
    """Give the next step its seconds of computing."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + STEP_CPU_S + more_s
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _received(line: socket.socket) -> tuple[dict[str, Any], int | None] | None:
    """Wait for a request and the descriptor that comes with it, if any."""
    data, descriptors, _, _ = socket.recv_fds(line, 1 << 16, 1)
    if not data:
        return None
    return json.loads(data), descriptors[0] if descriptors else None


def _serve(line: socket.socket, request: dict[str, Any], descriptor: int | None) -> bool:
    """Serve one file; gives whether the process is fit for another one."""
    if descriptor is None:
        raise ConnectionError("a request without a file")
    with open(descriptor, "rb", buffering=0) as handle:
        source: Source | None = None
        try:
            _step(opening_s(int(request["size"])))
            source = open_any(handle, int(request["size"]), str(request["suffix"]))
            _say(line, {name: getattr(source, name) for name in SAID})
            while (more := _received(line)) is not None and "start" in more[0]:
                _pieces(line, source, **more[0])
            _say(line, {})
        except AudioError as error:
            _say(line, {"error": str(error)})
        except ConnectionError:
            raise
        except MemoryError:
            _say(line, {"error": f"its decoder asked for more than {MEMORY_BYTES >> 30} GiB of memory"})
            return False
        except Exception as error:  # whatever a library below raises is about this file
            _say(line, {"error": f"its decoder failed ({type(error).__name__}: {error})"})
            return False
        finally:
            if source is not None:
                source.close()
    return True


def _pieces(line: socket.socket, source: Source, start: int, count: int | None, send: bool) -> None:
    _step()
    for piece in source.pieces(start, count):
        if send:
            line.sendall(HEAD.pack(AUDIO, piece.nbytes))
            line.sendall(piece.reshape(-1).data)
        else:
            line.sendall(HEAD.pack(TICK, piece.shape[1]))
        _step()
    _say(line, {"warnings": source.warnings})


def _say(line: socket.socket, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    line.sendall(HEAD.pack(JSON, len(data)) + data)
