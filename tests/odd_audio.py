"""Audio files made in code: lengths that are open or wrong, and what only PyAV reads."""

from __future__ import annotations

import base64
import io
import struct
from fractions import Fraction

import numpy as np

from tests.hostile import RATE_HZ, coded

# 0.3 s of a tone of 440 Hz at 8 kHz, written by speexenc 1.2.1: nothing that is installed with Auricle writes Speex.
SPEEX = base64.b85decode(
    "PiJRS00IC200000008kObprqZ007~12Xp~YQ*dQvcpxAkF)lJLF#rGn0000000000000000RR91Pyhe`Kpy}A000001ONa40RR91"
    "|NsC0pa1{>000000RR91000000000000000PiJRS0000000000008kObprta008xEIXVF#7ytkOMQ&qnWMyO^cWHEJAX9K<Wq2Sl"
    "E;24L00000PiJRS00dwO00000008kObprwb0014x-"
    "Bl126ciK`6ciK`6ciK`6ciK~REb~!InHnpQ}i4Rk+Kp8Yhx%FREaWu{?kMrEPG@Q%c{>$gn{W8REau#WS4t`j-{%f5gYSQhU8-"
    "yREau#4a0Rl9O1g38FpPyfjPq%REcVQInH)oB<DJx5pdm?jJeJjREau#J;}~q6^xFb5zEC-hq%}nREau#MA>yd1m_N)5!tg(i3!d"
    "aREcVQInH%HGUqy<4s(Z>hdIs|REau#M<W$J2JE_@19n|cjE@l*REcVQInK>K9O1h!4s)GPi8;;~REau#Ey8s^GU-"
    "~MA09<dhl?&4REcc74bF8w1~)pN4s)GPi8;;~REau#4a3G>GRQKY4|DTRfZSOaREau#LHTt)I4ruK4-"
    "1`7hq=QTREcc7InH%H9g(`94s)GPfw|5YM2V}NInHsOW1Qz-LCgiNMPzO"
)


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


def without_index(mp3: bytes) -> bytes:
    """Cut off the first frame, the index, of an MPEG-2 layer III stream at 16 kHz."""
    kbit = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[mp3[2] >> 4]
    return mp3[72_000 * kbit // RATE_HZ + (mp3[2] >> 1 & 1) :]


# name: container, codec, and what the encoder needs
MEDIA: dict[str, tuple[str, str, dict[str, object]]] = {
    "a.m4a": ("ipod", "aac", {}),
    "a.aac": ("adts", "aac", {}),
    "video.mp4": ("mp4", "aac", {"video": True}),
    "video.mkv": ("matroska", "aac", {"video": True}),
    "a.webm": ("webm", "libopus", {"rate_hz": 48_000, "form": "flt"}),
    "a.mka": ("matroska", "flac", {"form": "s16"}),
    "a.wma": ("asf", "wmav2", {"rate_hz": 22_050}),
    "a.amr": ("amr", "libopencore_amrnb", {"rate_hz": 8_000, "form": "s16", "bit_rate": 12_200}),
    "a.ac3": ("ac3", "ac3", {"rate_hz": 48_000}),
    "flac.oga": ("ogg", "flac", {"form": "s16"}),
    "a.wv": ("wv", "wavpack", {"form": "s16p"}),
    "a.tta": ("tta", "tta", {"form": "s16"}),
    "video.avi": ("avi", "mp2", {"form": "s16", "video": True}),
    "a.m2ts": ("mpegts", "aac", {}),
    "a.mpg": ("mpeg", "mp2", {"form": "s16"}),
    "a.flv": ("flv", "aac", {"rate_hz": 22_050}),
    "a.mov": ("mov", "alac", {"form": "s16p"}),
    "wma.wav": ("wav", "wmav2", {"rate_hz": 22_050}),
}
LOSSLESS = ("a.mka", "flac.oga", "a.wv", "a.tta", "a.mov")


def through_av(
    wave: np.ndarray,
    container: str,
    codec: str,
    rate_hz: int = RATE_HZ,
    video: bool = False,
    form: str = "fltp",
    bit_rate: int = 64_000,
    tracks: int = 1,
    **options: str,
) -> bytes:
    """Code (T,) or (C, T) samples at `rate_hz` with PyAV, with a picture beside them if `video`."""
    import av

    channels = np.atleast_2d(wave).astype(np.float32)
    buffer = io.BytesIO()
    with av.open(buffer, "w", container, options=options) as out:
        picture = out.add_stream("mjpeg", rate=10, width=32, height=32, pix_fmt="yuvj420p") if video else None
        sounds = [out.add_stream(codec, rate=rate_hz) for _ in range(tracks)]
        for sound in sounds:
            sound.layout, sound.format, sound.bit_rate = "mono" if len(channels) == 1 else "stereo", form, bit_rate
        if picture:
            for _ in range(round(10 * channels.shape[1] / rate_hz)):
                out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            out.mux(picture.encode())
        for sound in sounds:
            frame = av.AudioFrame.from_ndarray(channels, "fltp", sound.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            fitted = av.AudioResampler(form, sound.layout, rate_hz, sound.codec_context.frame_size or None)
            for piece in [*fitted.resample(frame), *fitted.resample(None)]:
                out.mux(sound.encode(piece))
            out.mux(sound.encode())
    return buffer.getvalue()


def media(name: str, wave: np.ndarray) -> bytes:
    """One of `MEDIA`, of samples at the rate it is coded at."""
    container, codec, options = MEDIA[name]
    return through_av(wave, container, codec, **options)  # type: ignore[arg-type]
