"""Closed-set identification: the cumulative match characteristic, with distractors and repeated draws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossbench.functional.cosine import (
    CosineBlock,
    UnitRows,
    check_matrix,
    check_rows,
    on_float64_device,
    paired_cosine,
)
from lossbench.validate import check_range


@dataclass(frozen=True)
class CmcCurve:
    """Identification rates, mean over draws.

    rates: (ranks,) float64; rates[r - 1] is the share of probes whose mate is among the r best.
    probes: probes of each draw. gallery: entries each probe is compared with, distractors included.
    reason: why the rates are NaN, or None.
    """

    rates: Tensor
    probes: int
    gallery: int
    distractors: int
    draws: int
    reason: str | None


def cmc_curve(
    embedding: Tensor,
    label: Tensor,
    *,
    distractors: Tensor | None = None,
    ranks: int = 100,
    draws: int = 10,
    seed: int = 0,
    block: int = 1024,
) -> CmcCurve:
    """Return the rates of finding each probe's identity in a gallery of one image per identity, by cosine.

    embedding: (n, d). label: (n,) integers; a negative label marks a distractor.
    distractors: (m, d) further rows that are in the gallery and match nobody.
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
    lineup = _Lineup(embedding, label, distractors, draws, seed)
    if lineup.probes == 0:
        rates = torch.full((ranks,), math.nan, dtype=torch.float64, device=embedding.device)
        reason = "no probe: no identity has two images"
        return CmcCurve(rates, 0, lineup.gallery, lineup.distractors, draws, reason)
    found = lineup.ranks(ranks, block)
    rates = found[1:-1].cumsum(0).double() / (draws * lineup.probes)
    return CmcCurve(rates, lineup.probes, lineup.gallery, lineup.distractors, draws, None)


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


class _Lineup:
    """Who is compared with whom: row numbers only, scores are made on the way."""

    def __init__(
        self, embedding: Tensor, label: Tensor, distractors: Tensor | None, draws: int, seed: int
    ) -> None:
        self.unit = UnitRows(embedding)
        strangers = embedding[:0] if distractors is None else distractors
        check_matrix("distractors", strangers)
        if strangers.shape[1] != embedding.shape[1]:
            raise ValueError(
                f"distractors have {strangers.shape[1]} columns: embeddings {embedding.shape[1]}"
            )
        self.strangers = UnitRows(on_float64_device(strangers).to(embedding.device))
        order = label.argsort(stable=True)
        negative = int((label < 0).sum())
        count = label[order[negative:]].unique_consecutive(return_counts=True)[1]
        several = count >= 2
        owner = several.repeat_interleave(count)
        enrolled = order[negative:]
        self.probe = enrolled[owner]
        self.alone = torch.cat([enrolled[~owner], order[:negative]])
        images = count[several]
        self.identity = torch.arange(len(images), device=label.device).repeat_interleave(images)
        self.drawn = [self.probe[position] for position in _draw(images, draws, seed)]
        self.probes = len(self.probe) - len(images)
        self.distractors = negative + len(strangers)
        self.gallery = len(count) + self.distractors

    def ranks(self, ranks: int, block: int) -> Tensor:
        """Return (ranks + 2,) int64: probes of all draws by their mate's rank; the last cell is later."""
        block = min(block, max(len(self.unit.embedding), len(self.strangers.embedding)))
        cosine = CosineBlock(block, self.probe.device)
        found = torch.zeros(ranks + 2, dtype=torch.int64, device=self.probe.device)
        for rows, identity in zip(self.probe.split(block), self.identity.split(block), strict=True):
            left = self.unit.take(rows)
            mates = [gallery[identity] for gallery in self.drawn]
            scores = [paired_cosine(left, self.unit.take(mate)).unsqueeze(1) for mate in mates]
            rank = self._compare(cosine, left, scores, block).clamp_(max=ranks + 1)
            # The image drawn into the gallery is no probe of that draw.
            probing = torch.stack(mates) != rows
            found += rank[probing].bincount(minlength=ranks + 2)
        return found

    def _compare(self, cosine: CosineBlock, left: Tensor, mates: list[Tensor], block: int) -> Tensor:
        """Return (draws, b) int64: gallery entries scoring at least the mate, which itself is one of them."""
        rank = torch.zeros(len(mates), len(left), dtype=torch.int64, device=left.device)
        lowest = torch.stack(mates).amin(dim=0)
        for tile in self._shared(block):
            scores = cosine(left, tile)
            # Most probes beat a whole tile in every draw: only the others are compared draw by draw.
            beaten = (scores.amax(dim=1, keepdim=True) >= lowest).flatten().nonzero().flatten()
            scores = scores[beaten]
            for draw, mate in enumerate(mates):
                rank[draw, beaten] += (scores >= mate[beaten]).count_nonzero(dim=1)
        for draw, (gallery, mate) in enumerate(zip(self.drawn, mates, strict=True)):
            for columns in gallery.split(block):
                rank[draw] += (cosine(left, self.unit.take(columns)) >= mate).count_nonzero(dim=1)
        return rank

    def _shared(self, block: int) -> Iterator[Tensor]:
        """Yield the entries that every draw has, so that their products are computed once."""
        everyone = torch.arange(len(self.strangers.embedding), device=self.probe.device)
        for unit, rows in ((self.unit, self.alone), (self.strangers, everyone)):
            if len(rows):
                yield from (unit.take(columns) for columns in rows.split(block))


def _draw(images: Tensor, draws: int, seed: int) -> Iterator[Tensor]:
    """Yield for each draw (k,) positions, one image of each identity, in a list of images by identity."""
    generator = torch.Generator().manual_seed(seed)
    start = images.cumsum(0) - images
    for _ in range(draws):
        share = torch.rand(len(images), generator=generator, dtype=torch.float64).to(images.device)
        # The product of a share next to 1 may round up to the count itself.
        yield start + torch.minimum((share * images).long(), images - 1)
