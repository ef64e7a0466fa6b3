"""When each word was said: from a decoder's attention to the frames of its encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

SMOOTH = 7  # frames of the median filter, as Whisper's own alignment has it
NOT_WHOLE = "\ufffd"  # what bytes decode to that are not yet a whole character


def starts(attention: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Give the frame at which each token begins, when frames are dealt out to tokens in order.

    Of all ways to cut the frames into as many runs as there are tokens, the one with the most attention is taken. As in
    Whisper's own alignment, each head is brought to zero mean and unit variance over the tokens and smoothed over time;
    there several tokens may share a frame, here each has one at least.

    Args:
        attention: of H heads from R tokens to T frames, (H, R, T).

    Returns:
        (R,), the first is 0.
    """
    wide = np.asarray(attention, np.float64)
    rows, frames = wide.shape[1:]
    times = -(-rows // frames)  # more tokens than frames: frames are split
    spread = wide.std(1, keepdims=True)
    wide = (wide - wide.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)
    matrix = np.repeat(median_filter(wide, (1, 1, SMOOTH), mode="mirror").mean(0), times, axis=1)
    total = np.concatenate([np.zeros((rows, 1)), np.cumsum(matrix, axis=1)], axis=1)
    size = total.shape[1]
    # best[j]: the most attention of the tokens so far when the last of them ends before frame j
    best, chosen = total[0].copy(), np.zeros((rows, size), np.int64)
    best[0] = -np.inf
    for row in range(1, rows):
        gain = best - total[row]
        record = np.maximum.accumulate(gain)
        at = np.maximum.accumulate(np.where(gain >= record, np.arange(size), 0))
        best = np.full(size, -np.inf)
        best[1:] = record[:-1] + total[row, 1:]
        chosen[row, 1:] = at[:-1]
    found = np.zeros(rows, np.int64)
    end = size - 1
    for row in range(rows - 1, 0, -1):
        end = found[row] = chosen[row, end]
    first: npt.NDArray[np.int64] = found // times
    return first


def grouped(tokens: Sequence[int], decode: Callable[[Sequence[int]], str], spaced: bool) -> list[tuple[str, int, int]]:
    """Join tokens to words: a word begins with a space, or is one whole character where a language has none.

    Args:
        tokens: of a text.
        decode: tokens -> text.
        spaced: whether the language puts spaces between words.

    Returns:
        Words with their punctuation, and the first token of each and the one after its last.
    """
    pieces: list[tuple[str, int, int]] = []
    begin = 0
    for place in range(len(tokens)):
        piece = decode(tokens[begin : place + 1])
        if NOT_WHOLE not in piece or place + 1 == len(tokens):
            pieces.append((piece, begin, place + 1))
            begin = place + 1
    found: list[tuple[str, int, int]] = []
    for piece, first, end in pieces:
        if found and not (piece.startswith(" ") if spaced else _says(piece)):
            piece, first = found[-1][0] + piece, found[-1][1]
            found.pop()
        found.append((piece, first, end))
    words: list[tuple[str, int, int]] = []
    for text, first, end in found:  # a dash between spaces belongs to the word before it
        if words and not (_says(text) and _says(words[-1][0])):
            text, first = words[-1][0] + text, words[-1][1]
            words.pop()
        words.append((text, first, end))
    return [(text.strip(), first, end) for text, first, end in words if text.strip()]


def _says(text: str) -> bool:
    return any(character.isalnum() for character in text)
