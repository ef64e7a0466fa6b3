"""From the look of a file to the decoder for it, in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import soundfile

from auricle.audio.check import Warn, warning
from auricle.audio.chunks import chunked_layout
from auricle.audio.decoders import (
    GSM_FRAME_BYTES,
    GSM_RATE_HZ,
    ChainSource,
    G722Source,
    InOrder,
    SndfileSource,
    Source,
    refuse_foreign_gsm,
)
from auricle.audio.flac import flac_layout
from auricle.audio.layout import Layout, Part, bytes_at
from auricle.audio.media import AvSource, media_layout, missing_av
from auricle.audio.mpeg import mpeg_layout
from auricle.audio.ogg import ogg_layout
from auricle.audio.spliced import Spliced
from auricle.core.errors import AudioError

_RAW = {".g722": "raw G.722", ".gsm": "raw GSM 06.10"}
_LOOKS = (media_layout, chunked_layout, flac_layout, ogg_layout, mpeg_layout)
# the one that knows the files that begin so, to ask first
_FIRST_LOOKS = {b"RIFF": chunked_layout, b"fLaC": flac_layout, b"OggS": ogg_layout}


def layout_of(handle: BinaryIO, size_bytes: int, suffix: str) -> Layout:
    """Look at a file's bytes.

    Args:
        handle: the file.
        size_bytes: its length.
        suffix: of its name, in lower case; it only matters for raw codecs.

    Raises:
        AudioError: its header is known to lead decoders astray.
    """
    if suffix in _RAW:
        return Layout(_RAW[suffix], plain=True)
    first = _FIRST_LOOKS.get(bytes_at(handle, 0, 4))
    for look in _LOOKS if first is None else (first, *_LOOKS):
        if (layout := look(handle, size_bytes)) is not None:
            return layout
    return Layout()


def open_plain(handle: BinaryIO, size_bytes: int, suffix: str, layout: Layout) -> Source | None:
    """Open a file of a common kind without Python between it and its decoder.

    libsndfile reads from the descriptor: in a function of ours that it called, Ctrl-C would be lost.

    Args:
        handle: an open file with a descriptor, unbuffered.
        size_bytes: its length.
        suffix: as in `layout_of`.
        layout: its look, which must be plain.

    Returns:
        The source; None if the decoder reckons with another length than the layout.
    """
    handle.seek(0)
    if suffix == ".g722":
        return G722Source(handle, size_bytes)
    raw: dict[str, Any] = {}
    if suffix == ".gsm":
        while piece := handle.read(GSM_FRAME_BYTES * 2048):
            refuse_foreign_gsm(piece)
        handle.seek(0)
        raw = {"samplerate": GSM_RATE_HZ, "channels": 1, "format": "RAW", "subtype": "GSM610"}
    source = SndfileSource(_sndfile(handle.fileno(), **raw), layout.exact)
    if any(part.frames not in (None, source.frames) for part in layout.parts):
        source.close()
        return None
    source.warnings[:0] = layout.warnings
    return source


def open_any(handle: BinaryIO, size_bytes: int, suffix: str) -> Source:
    """Open a file of any kind; for a process that may be ended if its decoder does not.

    Args:
        handle: an open file.
        size_bytes: its length.
        suffix: as in `layout_of`.

    Raises:
        AudioError: no decoder reads it.
    """
    layout = layout_of(handle, size_bytes, suffix)
    if layout.media:
        return AvSource(handle, str(layout.demuxer), layout.kind)
    try:
        source = _opened(handle, size_bytes, layout)
    except AudioError as error:
        # a coding that libsndfile does not know, in a container that it does
        if layout.demuxer is None:
            raise
        if missing_av(layout.kind):
            raise AudioError(f"{error}; PyAV may read it: pip install 'auricle[av]'") from None
        handle.seek(0)
        try:
            source = AvSource(handle, layout.demuxer, layout.kind)
        except AudioError:
            raise error from None
    source.warnings[:0] = layout.warnings
    return source


def _opened(handle: BinaryIO, size_bytes: int, layout: Layout) -> Source:
    parts = layout.parts or (Part(((0, size_bytes),)),)
    openers: list[Callable[[], Source]] = [partial(_part, handle, part, layout.exact) for part in parts]
    if len(openers) == 1:
        return openers[0]()
    return ChainSource(
        openers, warning(Warn.LENGTH, "streams of another rate or other channels follow and are left out")
    )


def _part(handle: BinaryIO, part: Part, exact: bool) -> Source:
    return SndfileSource(_sndfile(Spliced(handle, part.pieces)), exact, part.frames)


def _sndfile(handle: Any, **raw: Any) -> InOrder:
    try:
        return InOrder(handle, "r", closefd=False, **raw)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not audio that can be read: {error.error_string.rstrip('.')}") from None
