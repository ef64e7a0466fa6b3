"""Audio files made in code: lengths that are open or wrong, streams joined, and what only PyAV reads."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import numpy as np

from tests.hostile import RATE_HZ, coded

MPEG2_FRAME = 576  # samples


def set_bytes(data: bytes, position: int, value: bytes) -> bytes:
    """Overwrite bytes."""
    return data[:position] + value + data[position + len(value) :]


def wav_left_open(wave: np.ndarray, riff: int = 0, before: bytes = b"") -> bytes:
    """A WAV whose recorder was killed: the length of the data is 0, that of the whole is `riff`."""
    wav = coded(wave)
    return b"RIFF" + struct.pack("<I", riff) + wav[8:36] + before + b"data" + bytes(4) + wav[44:]


def flac_claiming(data: bytes, samples: int) -> bytes:
    """A FLAC whose header claims another number of samples; 0 leaves it open."""
    # STREAMINFO begins at byte 8; its 36-bit sample count ends at byte 26
    field = int.from_bytes(data[18:26], "big")
    return set_bytes(data, 18, ((field >> 36 << 36) | samples).to_bytes(8, "big"))


def mp3_of_rates(wave: np.ndarray, cuts: tuple[int, ...] = (0,), index: bool = False) -> bytes:
    """An MP3 of variable bit rate at 16 kHz; without `index` its Xing frame is cut off."""
    mp3 = coded(wave, container="MP3")
    return mp3 if index else mp3[mp3_frame_length(mp3) :]


def mp3_frame_length(mp3: bytes) -> int:
    """Length of the first frame of an MPEG-2 layer III stream at 16 kHz."""
    kbit = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[mp3[2] >> 4]
    return 72_000 * kbit // RATE_HZ + (mp3[2] >> 1 & 1)


def through_av(
    wave: np.ndarray, container: str, codec: str, rate_hz: int = RATE_HZ, video: bool = False, form: str = "fltp", **options: str
) -> bytes:
    """Code (T,) or (C, T) samples with PyAV."""
    import av

    channels = np.atleast_2d(wave)
    buffer = io.BytesIO()
    with av.open(buffer, "w", container, options=options) as out:
        if video:
            picture = out.add_stream("mjpeg", rate=10, width=32, height=32, pix_fmt="yuvj420p")
        stream = out.add_stream(codec, rate=rate_hz)
        stream.layout = "mono" if len(channels) == 1 else "stereo"
        stream.format = form
        stream.bit_rate = 64_000
        if video:
            for _ in range(round(10 * channels.shape[1] / rate_hz)):
                out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            out.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels, np.float32), "fltp", stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        fitted = av.AudioResampler(stream.format.name, stream.layout, rate_hz, stream.codec_context.frame_size or None)
        for piece in [*fitted.resample(frame), *fitted.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode())
    return buffer.getvalue()
