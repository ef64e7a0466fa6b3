"""Files that no program should trust, made at test time: what goes in, and what must come out.

`make_hostile(folder)` writes them and says of each whether it is audio. Every command that takes files is run on them.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from G722 import G722

RATE_HZ = 16_000
_CAF_LENGTH = 4084  # where libsndfile writes the length of the samples


@dataclass(frozen=True)
class HostileCase:
    """One file and its right outcome.

    Attributes:
        path: the file.
        accept: whether its samples may be used.
        reason: for a refusal, words the error must have; for acceptance, the code of a warning it must carry, or "".
        header_ok: whether its header alone (`probe`) passes; by default as `accept`.
    """

    path: Path
    accept: bool
    reason: str
    header_ok: bool | None = None

    @property
    def probe_ok(self) -> bool:
        """Whether `probe` must accept it."""
        return self.accept if self.header_ok is None else self.header_ok


def speechlike(duration_s: float = 1.0, rate_hz: int = RATE_HZ, peak: float = 0.5, seed: int = 0) -> np.ndarray:
    """Noise with a moving envelope and some tones, (T,) float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = (0.3 + np.sin(2 * np.pi * 3 * t) ** 2) * (
        np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 1170 * t) + 0.2 * rng.standard_normal(len(t))
    )
    return (peak * wave / np.abs(wave).max()).astype(np.float32)


def coded(wave: np.ndarray, rate_hz: int = RATE_HZ, container: str = "WAV", subtype: str | None = None) -> bytes:
    """Code (T,) or (T, C) samples in memory."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate_hz, format=container, subtype=subtype)
    return buffer.getvalue()


def _patched(data: bytes, position: int, pattern: str, value: int) -> bytes:
    out = bytearray(data)
    out[position : position + struct.calcsize(pattern)] = struct.pack(pattern, value)
    return bytes(out)


def with_list(wav: bytes, size: int) -> bytes:
    """Put a list before the samples of a WAV, whose second chunk claims `size` bytes."""
    body = b"INFO" + b"ISFT" + struct.pack("<I", 8) + b"recorder" + b"IXYZ" + struct.pack("<I", size) + bytes(8)
    return wav[:36] + b"LIST" + struct.pack("<I", len(body)) + body + wav[36:]


def svx(size: int) -> bytes:
    """An 8SVX file with a note that claims `size` bytes."""
    head = b"VHDR" + struct.pack(">IIIIHBBI", 20, 16_000, 0, 0, RATE_HZ, 1, 0, 65_536)
    samples = (100 * speechlike()).astype(np.int8).tobytes()
    body = b"8SVX" + head + b"ANNO" + struct.pack(">I", size) + bytes(8) + b"BODY" + struct.pack(">I", 16_000) + samples
    return b"FORM" + struct.pack(">I", len(body)) + body


def _flac_claiming(data: bytes, samples: int) -> bytes:
    # STREAMINFO begins at byte 8; its 36-bit sample count ends at byte 26
    field = int.from_bytes(data[18:26], "big")
    return data[:18] + ((field >> 36 << 36) | samples).to_bytes(8, "big") + data[26:]


def _not_audio(rng: np.random.Generator) -> dict[str, tuple[bytes, str, bool | None]]:
    text = b"path,label\n" + b"a.wav,bonafide\n" * 400
    png = b"\x89PNG\r\n\x1a\n" + rng.bytes(4000)
    return {
        "zero_bytes.wav": (b"", "empty", None),
        "zero_bytes.g722": (b"", "empty", None),
        "text.wav": (text, "not audio", None),
        "text.g722": (text, "text", None),
        "text.gsm": (text, "not audio", None),
        "random.flac": (rng.bytes(5000), "not audio", None),
        "random.g722": (rng.bytes(8000), "random", None),
        "random.gsm": (rng.bytes(3300), "not audio", None),
        "png.mp3": (png, "not audio", None),
        "png.g722": (png, "another format", None),
        "id3_then_junk.mp3": (b"ID3\x03\x00\x00\x00\x00\x00\x10" + bytes(16) + b"\x01" * 3000, "not audio", None),
        "playlist.m4a": (b"#EXTM3U\n#EXTINF:9,\nhttps://example.com/a.ts\n", "not audio", None),
        "document.docx": (b"PK\x03\x04" + rng.bytes(3000), "not audio", None),
        "headerless.raw": (rng.bytes(4000), "not audio", None),
        "header_only.wav": (coded(np.zeros(0, np.float32)), "no samples", None),
        "riff_stub.wav": (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not audio", None),
    }


def _bad_headers(wave: np.ndarray) -> dict[str, tuple[bytes, str, bool | None]]:
    wav = coded(wave)
    return {
        "zero_hertz.wav": (_patched(wav, 24, "<I", 0), "not audio", None),
        "zero_channels.wav": (_patched(wav, 22, "<H", 0), "not audio", None),
        "two_thousand_channels.wav": (_patched(wav, 22, "<H", 2000), "not audio", None),
        "hundred_channels.wav": (coded(np.tile(wave[:, None], 100)), "100 channels", None),
        "billion_hertz.wav": (_patched(wav, 24, "<I", 10**9), "1000000000 Hz", None),
        "two_kilohertz.wav": (coded(wave, 2_000), "2000 Hz", None),
        "list_steps_back.wav": (with_list(wav, 0xFFFFFFF8), "header is damaged", None),
        "chunk_steps_back.8svx": (svx(0xFFFFFFF8), "header is damaged", None),
    }


def _bad_samples(wave: np.ndarray) -> dict[str, tuple[bytes, str, bool | None]]:
    nan, inf = wave.copy(), wave.copy()
    nan[900], inf[-1] = np.nan, -np.inf
    garbage = np.random.default_rng(3).integers(0, 2**31, 8000, dtype=np.int64).astype(np.int32).view(np.float32)
    garbage = np.where(np.isfinite(garbage), garbage, np.float32(1e30))
    return {
        "nan.wav": (coded(nan, subtype="FLOAT"), "NaN", True),
        "nan_double.wav": (coded(nan.astype(np.float64), subtype="DOUBLE"), "NaN", True),
        "infinite.wav": (coded(inf, subtype="FLOAT"), "NaN or Inf", True),
        "garbage_floats.wav": (coded(garbage, subtype="FLOAT"), "not audio samples", True),
        "short.wav": (coded(wave[: RATE_HZ // 20]), "0.050 s", None),
        "one_sample.wav": (coded(wave[:1]), "1 samples", None),
        "silence.wav": (coded(np.zeros(RATE_HZ)), "silence", True),
        "silence_stereo.flac": (coded(np.zeros((RATE_HZ, 2)), container="FLAC"), "silence", True),
        "dc_only.wav": (coded(np.full(RATE_HZ, 0.25)), "a constant", True),
    }


def _odd_but_audio(wave: np.ndarray) -> dict[str, tuple[bytes, str]]:
    stereo = np.stack([wave, 0.5 * wave[::-1]], axis=1)
    wav, flac = coded(wave), coded(wave, container="FLAC")
    # longer, so that whole Ogg pages and MPEG frames come before the cut
    long = speechlike(20.0)
    ogg, mp3 = coded(long, container="OGG"), coded(long, container="MP3")
    clipped = np.clip(4 * wave, -1, 1)
    return {
        "plain.wav": (wav, ""),
        "plain_with_odd_suffix.xyz": (wav, ""),
        "clipped.wav": (coded(clipped), "clipped"),
        "clipped_8_bit.wav": (coded(clipped, subtype="PCM_U8"), "clipped"),
        "above_one.wav": (coded(5 * wave, subtype="FLOAT"), "above-full-scale"),
        "dc_offset.wav": (coded(0.5 * wave + 0.2), "dc-offset"),
        "very_quiet.wav": (coded(2e-4 * wave, subtype="PCM_24"), "very-quiet"),
        "four_kilohertz.wav": (coded(wave[:4000], 4_000), ""),
        "192_kilohertz.wav": (coded(speechlike(0.5, 192_000), 192_000), ""),
        "eight_bit.wav": (coded(wave, subtype="PCM_U8"), ""),
        "24_bit.flac": (coded(wave, container="FLAC", subtype="PCM_24"), ""),
        "32_bit.wav": (coded(wave, subtype="PCM_32"), ""),
        "double.wav": (coded(wave.astype(np.float64), subtype="DOUBLE"), ""),
        "stereo.wav": (coded(stereo), "several-channels"),
        "anti_phase.wav": (coded(np.stack([wave, -wave], axis=1)), "several-channels"),
        "eight_channels.wav": (coded(np.stack([wave * g for g in range(8)], axis=1) / 8), "several-channels"),
        "one_silent_channel.wav": (coded(np.stack([0 * wave, wave], axis=1)), "several-channels"),
        "truncated.wav": (wav[: len(wav) * 6 // 10], "truncated"),
        "data_length_lies_long.wav": (_patched(wav, 40, "<I", 0xFFFFFFF0), "truncated"),
        "data_length_unknown.wav": (_patched(wav, 40, "<I", 0xFFFFFFFF), ""),
        "data_length_lies_short.wav": (_patched(wav, 40, "<I", 8000), "length-disagrees"),
        "data_length_zero.wav": (_patched(wav, 40, "<I", 0), "length-disagrees"),
        "joined.wav": (wav + wav, "several-streams"),
        "huge_frames.flac": (_flac_claiming(flac, 2**36 - 1), "truncated"),
        "length_open.flac": (_flac_claiming(flac, 0), ""),
        "length_short.flac": (_flac_claiming(flac, 4000), "length-disagrees"),
        "length_open.caf": (_patched(coded(wave, container="CAF"), _CAF_LENGTH, ">q", -1), ""),
        "truncated.w64": (coded(wave, container="W64")[:20_000], "truncated"),
        "truncated.rf64": (coded(wave, container="RF64")[:20_000], "truncated"),
        "joined.mp3": (coded(wave, container="MP3") + mp3, "several-streams"),
        "chained.ogg": (coded(wave, container="OGG") + ogg, "several-streams"),
        "truncated.flac": (flac[: len(flac) * 6 // 10], "truncated"),
        "truncated.ogg": (ogg[: len(ogg) * 6 // 10], "truncated"),
        "truncated.mp3": (mp3[: len(mp3) * 6 // 10], "truncated"),
        "plain.ogg": (coded(wave, container="OGG"), ""),
        "plain.opus": (coded(wave, container="OGG", subtype="OPUS"), ""),
        "plain.mp3": (coded(wave, container="MP3"), ""),
        "plain.aiff": (coded(wave, container="AIFF"), ""),
        "plain.au": (coded(wave, container="AU", subtype="ULAW"), ""),
        "plain.g722": (bytes(G722(RATE_HZ, 64_000).encode((wave * 32767).astype(np.int16))), ""),
        "plain.gsm": (coded(wave, 8_000, "RAW", "GSM610"), ""),
        "name with spaces.wav": (wav, ""),
        "näme-声音-🎧.wav": (wav, ""),
        "name\nwith newline.wav": (wav, ""),
        "-rf.wav": (wav, ""),
        "UPPER.WAV": (wav, ""),
    }


def _listen(path: Path) -> None:
    # the name of a socket has few bytes, so it is made beside its folder
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def _not_files(folder: Path, wav: bytes) -> list[HostileCase]:
    def made(name: str, make: Callable[[Path], object], accept: bool, reason: str) -> HostileCase:
        make(folder / name)
        return HostileCase(folder / name, accept, reason)

    (folder / "link_target.bin").write_bytes(wav)
    cases = [
        made("directory.wav", lambda path: path.mkdir(), False, "folder"),
        HostileCase(folder / "missing.wav", False, "No such file"),
        HostileCase(folder / ("long" * 100 + ".wav"), False, "too long"),
        HostileCase(Path(f"{folder}/nul\0byte.wav"), False, "null"),
    ]
    if hasattr(os, "mkfifo"):
        cases += [
            made("pipe.wav", os.mkfifo, False, "not a regular file"),
            made("loop.wav", lambda path: path.symlink_to(path), False, "symbolic links"),
            made("dangling.wav", lambda path: path.symlink_to(folder / "nowhere"), False, "No such file"),
            made("link.wav", lambda path: path.symlink_to(folder / "link_target.bin"), True, ""),
            made("socket.wav", _listen, False, "cannot be opened"),
            HostileCase(Path("/dev/zero"), False, "not a regular file"),
        ]
    return cases


def make_hostile(folder: Path) -> list[HostileCase]:
    """Write the hostile files into an empty folder.

    Args:
        folder: an existing folder.

    Returns:
        The cases, accepted ones among them.
    """
    rng, wave = np.random.default_rng(7), speechlike()
    cases = []
    for name, (data, reason, header_ok) in (_not_audio(rng) | _bad_headers(wave) | _bad_samples(wave)).items():
        (folder / name).write_bytes(data)
        cases.append(HostileCase(folder / name, False, reason, header_ok))
    for name, (data, reason) in _odd_but_audio(wave).items():
        (folder / name).write_bytes(data)
        cases.append(HostileCase(folder / name, True, reason))
    return cases + _not_files(folder, coded(wave))
