"""Open-set identification: is the probe enrolled, and as whom? (Phillips, Grother & Micheals 2011)."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lossbench.functional.cosine import CosineBlock, UnitRows, check_rows, paired_cosine
from lossbench.functional.thresholds import blufr_threshold, exact_threshold, unresolved
from lossbench.validate import check_range


@dataclass(frozen=True)
class OpenSetCurve:
    """What every operating point of one gallery and one set of probes is counted from.

    mated: (g,) rows of the probes whose identity is enrolled. mate: (g,) float32, the best score of each with
    an entry of its own identity. rank: (g,) int64, 1 + the number of other identities that score as high or
    higher with any entry: ties count against the probe.
    non_mated: (i,) rows of the other probes. impostor: (i,) float32, the best score of each with any entry.
    gallery: entries. identities: those enrolled, each distractor one of its own.
    """

    mated: Tensor
    mate: Tensor
    rank: Tensor
    non_mated: Tensor
    impostor: Tensor
    gallery: int
    identities: int

    @property
    def undefined(self) -> str | None:
        """Why no rate can be given, or None."""
        if self.gallery == 0:
            return "the gallery is empty"
        if len(self.mated) == 0:
            return "no mated probe: no probe's identity is in the gallery"
        return (
            "no non-mated probe: every probe's identity is in the gallery" if not len(self.impostor) else None
        )


class DirAtFar(NamedTuple):
    """One operating point; ``reason`` says why ``dir`` is NaN, and is None otherwise."""

    dir: float
    achieved_far: float
    threshold: float
    non_mated: int
    reason: str | None


def dir_at_far(curve: OpenSetCurve, far: float, *, rank: int | None = 1, blufr: bool = False) -> DirAtFar:
    """Return the detection and identification rate at a false alarm rate; nothing is interpolated.

    DIR(t) is the share of mated probes with mate score >= t and rank <= ``rank`` (None: any rank, the TPIR of
    NIST and IJB, whose FPIR is the FAR here). FAR(t) is the share of non-mated probes whose best score is
    >= t. The result is the largest DIR over all t with FAR(t) <= ``far``; threshold and achieved FAR belong
    to the strictest such t, infinity where DIR is 0. NaN with a reason when there are no probes of a kind,
    or when far * non-mated probes < 1.
    blufr: the threshold of the BLUFR toolkit instead, see ``blufr_threshold``; it has no least FAR.

    >>> probe = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8], [0, 0, 1]])
    >>> curve = open_set_curve(torch.eye(3)[:2], torch.tensor([0, 1]), probe, torch.tensor([0, 1, 2, 3]))
    >>> dir_at_far(curve, 0.5)[:4]
    (1.0, 0.0, 0.800000011920929, 2)
    >>> dir_at_far(curve, 0.1).reason
    'FAR 0.1 needs at least 10 non-mated probes: there are 2'
    """
    check_range("far", far, low=0, high=1, open_low=True, cure="it is a fraction of the non-mated probes")
    if rank is not None:
        check_range("rank", rank, low=1, integer=True)
    probes = len(curve.impostor)
    reason = curve.undefined or (None if blufr else unresolved(far, probes, "non-mated probes"))
    if reason is not None:
        return DirAtFar(math.nan, math.nan, math.nan, probes, reason)
    impostor = curve.impostor.sort(descending=True).values
    found = curve.mate if rank is None else curve.mate[curve.rank <= rank]
    if blufr:
        threshold = blufr_threshold(curve.mate, impostor, probes, far)
    else:
        threshold = exact_threshold(found, impostor, probes, far)
    accepted = int((found.double() >= threshold).sum())
    alarms = int((impostor.double() >= threshold).sum())
    return DirAtFar(accepted / len(curve.mate), alarms / probes, threshold, probes, None)


def open_set_curve(
    gallery: Tensor, gallery_label: Tensor, probe: Tensor, probe_label: Tensor, *, block: int = 1024
) -> OpenSetCurve:
    """Compare every probe with the whole gallery by cosine.

    gallery: (m, d) embeddings, one or several for each identity. gallery_label: (m,) integers; a negative
    label marks a distractor, which matches nobody.
    probe: (n, d). probe_label: (n,) integers; a probe is mated when its label is >= 0 and in the gallery.
    block: rows and columns of one tile (an identity with more entries makes a wider one); changes memory and
    time, never a score.
    Raises ValueError for wrong shapes, rows with NaN or infinity, or block < 1.
    """
    check_range("block", block, low=1)
    gallery, gallery_label = check_rows(gallery, gallery_label)
    probe, probe_label = check_rows(probe, probe_label)
    if gallery.shape[1] != probe.shape[1]:
        raise ValueError(f"probes have {probe.shape[1]} columns: gallery entries {gallery.shape[1]}")
    block = min(block, max(len(gallery), len(probe), 1))
    enrolled = _Gallery(gallery, gallery_label, block)
    unit = UnitRows(probe.to(gallery.device))
    own = enrolled.find(probe_label.to(gallery.device))
    mated, non_mated = (own >= 0).nonzero().flatten(), (own < 0).nonzero().flatten()
    mate = gallery.new_empty(len(mated), dtype=torch.float32)
    rank = torch.empty_like(mated)
    impostor = gallery.new_empty(len(non_mated), dtype=torch.float32)
    for part in torch.arange(len(mated), device=own.device).split(block):
        left = unit.take(mated[part])
        mate[part] = enrolled.mate(left, own[mated[part]])
        rank[part] = enrolled.rank(left, mate[part])
    for part in torch.arange(len(non_mated), device=own.device).split(block):
        impostor[part] = enrolled.best(unit.take(non_mated[part]))
    return OpenSetCurve(mated, mate, rank, non_mated, impostor, len(gallery), len(enrolled.identities))


class _Gallery:
    """Entries sorted by identity and cut into tiles that hold whole identities."""

    def __init__(self, embedding: Tensor, label: Tensor, block: int) -> None:
        # Distractors share a label but no identity.
        label = torch.where(label < 0, -1 - torch.arange(len(label), device=label.device), label)
        label, self.order = label.sort(stable=True)
        self.unit = UnitRows(embedding)
        self.identities, self.entries = label.unique_consecutive(return_counts=True)
        self.ends = self.entries.cumsum(0)
        self.block = block
        widest = max(block, int(self.entries.max())) if len(label) else 1
        # Any a * b cells fit: the buffer is as long as one block of probes by the widest tile.
        self.cosine = CosineBlock(math.isqrt(block * widest - 1) + 1, embedding.device)

    def find(self, label: Tensor) -> Tensor:
        """Return (n,) the position of each label among the identities; -1 where it is not enrolled."""
        if not len(self.identities):
            return torch.full_like(label, -1)
        place = torch.searchsorted(self.identities, label).clamp_(max=len(self.identities) - 1)
        return torch.where((self.identities[place] == label) & (label >= 0), place, -1)

    def mate(self, left: Tensor, own: Tensor) -> Tensor:
        """Return (b,) the best score of each row with the entries of its own identity."""
        best = left.new_full((len(left),), -math.inf, dtype=torch.float32)
        first, entries = (self.ends - self.entries)[own], self.entries[own]
        for turn in range(int(entries.max()) if len(own) else 0):
            rows = (entries > turn).nonzero().flatten()
            right = self.unit.take(self.order[first[rows] + turn])
            best[rows] = torch.maximum(best[rows], paired_cosine(left[rows], right))
        return best

    def rank(self, left: Tensor, mate: Tensor) -> Tensor:
        """Return (b,) the number of identities with an entry scoring at least the mate, itself among them."""
        rank = torch.zeros(len(left), dtype=torch.int64, device=left.device)
        for columns, ends in self._tiles():
            hits = self.cosine(left, self.unit.take(columns)) >= mate.unsqueeze(1)
            if len(ends) == len(columns):
                rank += hits.count_nonzero(dim=1)
            else:
                upto = hits.cumsum(dim=1)[:, ends - 1]
                rank += upto.diff(dim=1, prepend=upto.new_zeros(len(upto), 1)).count_nonzero(dim=1)
        return rank

    def best(self, left: Tensor) -> Tensor:
        """Return (b,) the best score of each row with any entry; minus infinity for an empty gallery."""
        best = left.new_full((len(left),), -math.inf, dtype=torch.float32)
        for columns, _ in self._tiles():
            torch.maximum(best, self.cosine(left, self.unit.take(columns)).amax(dim=1), out=best)
        return best

    def _tiles(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows of the gallery, and where in them each identity ends."""
        ends = self.ends.tolist()
        identity = start = 0
        while identity < len(ends):
            following = max(bisect_right(ends, start + self.block), identity + 1)
            stop = ends[following - 1]
            yield self.order[start:stop], self.ends[identity:following] - start
            identity, start = following, stop
