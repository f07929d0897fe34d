"""Cosine scores that come out bit for bit the same in any block shape, row order, thread count or device.

Unit vectors are rounded to multiples of 2**-26 (7e-9, finer than float32 holds a cosine). Every product and
every partial sum of two such rows is then an integer multiple of 2**-52 below 2 in size, which float64 holds
without rounding, so no summation order can change a score; the result is rounded once, to float32. Equal
pairs therefore tie exactly, and no setting of TF32 or autocast reaches the scores.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lossbench.functional.threads import in_threads

_UNIT = 2.0**26
_NORM_ROWS = 2048


def check_rows(embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return embedding (n, d) without gradient and label (n,) int64, both on one device.

    Raises ValueError for other shapes, lengths that differ, or labels that are not integers.
    """
    check_matrix("embedding", embedding)
    if label.ndim != 1 or len(label) != len(embedding):
        raise ValueError(
            f"{len(embedding)} embeddings but labels of shape {tuple(label.shape)}: give one label per row"
        )
    if label.is_floating_point() or label.is_complex():
        raise ValueError(f"label is {label.dtype}: identities are integers (float32 merges ids above 2**24)")
    embedding = on_float64_device(embedding)
    return embedding, label.detach().to(embedding.device, torch.int64)


def check_matrix(name: str, rows: Tensor) -> None:
    """Raise ValueError unless ``rows`` has shape (n, d)."""
    if rows.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(rows.shape)}: expected (n, d), one row per image")


def on_float64_device(rows: Tensor) -> Tensor:
    """Return ``rows`` detached, moved only where their device lacks float64."""
    # Apple's MPS has no float64, which the exact sums need.
    return rows.detach().cpu() if rows.device.type == "mps" else rows.detach()


class UnitRows:
    """The rows of ``embedding`` (n, d) as fixed-point unit vectors, made block by block when asked for.

    A zero row stays zero: its cosine with everything is 0. Raises ValueError naming the number of rows that
    hold NaN or infinity. Keeps no copy of the embedding.
    """

    def __init__(self, embedding: Tensor) -> None:
        self.embedding = embedding
        norm = torch.empty(len(embedding), dtype=torch.float64, device=embedding.device)

        def work(starts: Iterator[int]) -> None:
            for start in starts:
                rows = embedding[start : start + _NORM_ROWS]
                norm[start : start + _NORM_ROWS] = torch.linalg.vector_norm(rows.double(), dim=1)

        in_threads(work, range(0, len(embedding), _NORM_ROWS), embedding.device)
        broken = int((~norm.isfinite()).sum())
        if broken:
            raise ValueError(
                f"{broken} of {len(norm)} embedding rows hold NaN or infinity: cosine is undefined"
            )
        # Divided by a power of two beforehand: the quotient is the same, in units of 2**-26.
        self.grain = norm.masked_fill_(norm == 0, 1.0).unsqueeze(1) / _UNIT

    def take(self, index: Tensor) -> Tensor:
        """Return rows ``index`` (b,) as float64 (b, d) multiples of 2**-26 of unit length."""
        rows = self.embedding.index_select(0, index).double()
        return rows.div_(self.grain.index_select(0, index)).round_().mul_(1 / _UNIT)


class CosineBlock:
    """Scores of one block of ``UnitRows`` against another, in buffers that every call reuses."""

    def __init__(self, block: int, device: torch.device) -> None:
        self._exact = torch.empty(block * block, dtype=torch.float64, device=device)
        self._score = torch.empty(block * block, dtype=torch.float32, device=device)

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return cosines (a, b) float32 of left (a, d) and right (b, d); the next call overwrites them."""
        shape = (len(left), len(right))
        size = shape[0] * shape[1]
        exact = self._exact[:size].view(shape)
        torch.mm(left, right.T, out=exact)
        return self._score[:size].view(shape).copy_(exact)


def paired_cosine(left: Tensor, right: Tensor) -> Tensor:
    """Return cosines (a,) float32 of row i with row i, equal in every bit to those of ``CosineBlock``."""
    return (left * right).sum(dim=1).float()
