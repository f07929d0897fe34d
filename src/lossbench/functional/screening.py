"""Float32 products that settle most comparisons of scores, and the definition for those they leave open.

A float32 product of unit rows costs half a float64 one, and lies within a proven distance of the score that
``cosine`` defines. A comparison it cannot settle is made with the score itself, so every count is that of the
definition whatever the order in which a product was summed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lossbench.functional.cosine import UnitRows, paired_cosine
from lossbench.functional.threads import in_threads

_U = 2.0**-24
_PAIRS = 256  # of 1,024 the buffers would leave the cache: twice the time


def screening_error(columns: int) -> float:
    """Return a bound on |float32 product - score| over all pairs of unit rows with that many columns.

    n u / (1 - n u) for the products and their sum in any order, with or without fused multiply-add (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5; the sum of |x_i y_i| is at most 1 by
    Cauchy and Schwarz), u for rounding either row to float32, u for rounding the score. Infinity where the
    bound says nothing.

    >>> f"{screening_error(512):.1e}"
    '3.1e-05'
    """
    if columns * _U >= 2**-4:
        return float("inf")
    # Unit rows of multiples of 2**-26 are longer than 1 by up to 2**-27 sqrt(d): the last factor has room.
    return (columns * _U / (1 - columns * _U) + 3 * _U) * (1 + 2**-12)


def scaling_error(columns: int) -> float:
    """Return a bound on the distance of a row scaled in float32 from its fixed-point unit vector.

    At most three roundings to float32, and half a unit of 2**-26 in every column. Times the other row's
    length of 1 this is the error it adds to a score.
    """
    return (3 * _U + 2.0**-27 * math.sqrt(columns)) * (1 + 2**-12)


def scaled(unit: UnitRows, index: Tensor | None = None) -> Tensor:
    """Return all rows, or rows ``index`` (b,), at unit length in float32: see ``scaling_error``."""
    rows, norm = unit.embedding, unit.grain * 2.0**26
    if index is not None:
        rows, norm = rows.index_select(0, index), norm.index_select(0, index)
    if rows.dtype == torch.float64 or not bool(((norm > 2.0**-100) & (norm < 2.0**100)).all()):
        return (rows.double() / norm).float()
    return rows.float() * norm.reciprocal().float()


def float32_products_hold(device: torch.device) -> bool:
    """Whether float32 products keep float32 now: settings may let them round their input to bf16 or TF32."""
    rows = torch.full((256, 256), 1 + 2.0**-12, device=device)
    with torch.autocast(device.type, enabled=False):
        return float((rows @ rows.T).amin()) > 256 * (1 + 2.0**-12)


def bf16_error(columns: int) -> float:
    """Return the bound of ``screening_error`` for rows rounded to bfloat16, their products summed in float32.

    2**-9 for either row; the product of their own errors, and their greater length, are in the last factor.
    Rounding the sum to bfloat16 is not in it: it keeps order, so bounds are rounded alike.
    """
    return (2.0**-8 + screening_error(columns)) * (1 + 2.0**-7)


def bf16_products_hold(device: torch.device) -> bool:
    """Whether this CPU multiplies bfloat16 natively, and sums in float32."""
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if device.type != "cpu" or not native:
        return False
    rows = torch.full((256, 256), 1 + 2.0**-7, dtype=torch.bfloat16)
    # 260.02 in float32; a sum in bfloat16 would stick at 256.
    return bool(((rows @ rows.T).float() - 260).abs().amax() < 1)


def rescored(left: UnitRows, first: Tensor, right: UnitRows, second: Tensor) -> Tensor:
    """Return the scores (k,) float32 of rows ``first`` (k,) of left with rows ``second`` (k,) of right."""
    score = torch.empty(len(first), dtype=torch.float32, device=first.device)

    def work(starts: Iterator[int]) -> None:
        for start in starts:
            part = slice(start, start + _PAIRS)
            score[part] = paired_cosine(left.take(first[part]), right.take(second[part]))

    in_threads(work, range(0, len(first), _PAIRS), score.device)
    return score
