"""Closed-set identification: the cumulative match characteristic, with distractors and repeated draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossbench.functional.cosine import check_rows
from lossbench.functional.lineup import Lineup
from lossbench.functional.row_source import RowSource
from lossbench.functional.threads import own_threads
from lossbench.validate import check_range


@dataclass(frozen=True)
class CmcCurve:
    """Identification rates, mean over draws.

    rates: (ranks,) float64; rates[r - 1] is the share of probes whose mate is among the r best.
    probes: probes of each draw. gallery: entries each probe is compared with, distractors included.
    identities: (c,) labels of the probes, ascending. found: (c, ranks) int32, probes of each identity in all
    draws whose mate is among the r best. trials: (c,) int64, all its probes in all draws.
    reason: why the rates are NaN, or None.
    """

    rates: Tensor
    probes: int
    gallery: int
    distractors: int
    draws: int
    identities: Tensor
    found: Tensor
    trials: Tensor
    reason: str | None


def cmc_curve(
    embedding: Tensor,
    label: Tensor,
    *,
    distractors: Any = None,
    ranks: int = 100,
    draws: int = 10,
    seed: int = 0,
    block: int = 1024,
) -> CmcCurve:
    """Return the rates of finding each probe's identity in a gallery of one image per identity, by cosine.

    embedding: (n, d). label: (n,) integers; a negative label marks a distractor.
    distractors: (m, d) further rows that are in the gallery and match nobody, a tensor or a numpy array,
        memory-mapped where it does not fit into memory.
    draws: galleries drawn. Draw k takes the k-th block of random numbers of a CPU generator seeded with
        ``seed``, one number per identity with two or more images, in the order of the labels. It picks the
        i-th image of the identity in the order of the rows: shuffling the images of one identity changes the
        draw, shuffling identities does not, and embeddings never do, so all losses meet the same galleries.
    block: rows of one tile; changes memory and time, never a rate.

    Probes are all other images of the identities with two or more images; an identity with one image stays
    in the gallery, as nobody's mate. The rank of a mate is 1 + the number of other entries that score as high
    or higher: ties count against the query. Without probes the rates are NaN with a reason.
    Raises ValueError for wrong shapes, rows with NaN or infinity, or numbers out of range.

    >>> curve = cmc_curve(torch.eye(3)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1]), ranks=2)
    >>> curve.rates.tolist(), curve.probes, curve.gallery
    ([1.0, 1.0], 2, 2)
    """
    for name, value in (("ranks", ranks), ("draws", draws), ("block", block)):
        check_range(name, value, low=1)
    check_range("seed", seed, low=0)
    embedding, label = check_rows(embedding, label)
    strangers = RowSource(
        "distractors", embedding[:0] if distractors is None else distractors, embedding.device
    )
    if strangers.columns != embedding.shape[1]:
        raise ValueError(f"distractors have {strangers.columns} columns: embeddings {embedding.shape[1]}")
    lineup = Lineup(embedding, label, strangers, draws, seed)
    with own_threads():
        cells = lineup.ranks(ranks, block)
    found = cells[:, 1:-1].cumsum(1, dtype=torch.int32)
    # Without a probe 0 / 0 is NaN.
    rates = found.sum(0).double() / (draws * lineup.probes)
    reason = None if lineup.probes else "no probe: no identity has two images"
    facts = lineup.probes, lineup.gallery, lineup.distractors, draws
    return CmcCurve(rates, *facts, lineup.identities, found, cells.sum(1), reason)


def rank_at(curve: CmcCurve, r: int) -> float:
    """Return the rate at rank ``r``: 1 from the gallery's size on, where every mate has been listed.

    Raises ValueError for r < 1, and for a rank beyond those computed but within the gallery.
    """
    check_range("r", r, low=1)
    if r <= len(curve.rates):
        return float(curve.rates[r - 1])
    if curve.reason is not None:
        return math.nan
    if r < curve.gallery:
        raise ValueError(f"r={r}: the curve ends at rank {len(curve.rates)}; ask cmc_curve for ranks={r}")
    return 1.0
