"""How a codebook is used: distinct codes and perplexity, held against the number of tokens there were."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError


class CodeUse(NamedTuple):
    """Use of a codebook by some tokens.

    Attributes:
        tokens: number of tokens N.
        codes: number of codes K.
        used: distinct codes among the tokens.
        possible: distinct codes that N draws from all K alike would show on average, K (1 - (1 - 1/K)^N).
        share: used / possible.
        perplexity: exp of the entropy of the codes' frequencies; at most min(K, N).
    """

    tokens: int
    codes: int
    used: int
    possible: float
    share: float
    perplexity: float


def code_use(indices: npt.ArrayLike, n_codes: int) -> CodeUse:
    """Count the use of a codebook.

    Args:
        indices: integers 0 ... K - 1, any shape.
        n_codes: number of codes K.

    Raises:
        DataError: no token, or an index that is no code's.
    """
    flat = np.asarray(indices).ravel()
    if not flat.size or flat.min() < 0 or flat.max() >= n_codes:
        raise DataError(f"{flat.size} tokens for {n_codes} codes; give at least one, each from 0 to {n_codes - 1}")
    counts = np.bincount(flat.astype(np.int64), minlength=n_codes)
    shares = counts[counts > 0] / flat.size
    possible = n_codes * -np.expm1(flat.size * np.log1p(-1 / n_codes)) if n_codes > 1 else 1.0
    used = int((counts > 0).sum())
    perplexity = float(np.exp(-(shares * np.log(shares)).sum()))
    return CodeUse(int(flat.size), n_codes, used, float(possible), used / float(possible), perplexity)
