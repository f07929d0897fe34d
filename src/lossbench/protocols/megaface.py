"""MegaFace challenge 1 (Kemelmacher-Shlizerman et al., CVPR 2016): few probes among very many distractors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossbench.functional import far_name
from lossbench.functional.bootstrap import share_replicates
from lossbench.functional.cosine import UnitRows, check_rows, paired_cosine
from lossbench.functional.distractors import distractor_scores
from lossbench.functional.listed import listed_scores
from lossbench.functional.probe_bootstrap import Scored, probe_replicates
from lossbench.functional.thresholds import accepted_shares, allowed, exact_threshold, unresolved
from lossbench.protocols.evaluation import Evaluation, defined
from lossbench.protocols.resampled import columns_of, rates_drawn, resampled
from lossbench.protocols.roc import cautions, operating_point
from lossbench.validate import check_range

Values = dict[str, tuple[float, str | None]]
_SPARE, _LEAST_KEPT = 5, 2**17
"""Impostor scores to keep for resampling: so many times more, and so many at least, as one probe may have
most of the highest, and not be drawn."""


def megaface(
    probe: Tensor,
    label: Tensor,
    distractors: Tensor,
    *,
    cleaned: bool,
    sizes: Sequence[int] | None = None,
    ranks: Sequence[int] = (1, 10),
    fars: Sequence[float] = (1e-4, 1e-5, 1e-6),
    weights: Tensor | None = None,
) -> Evaluation:
    """Return cmc_* of probes and their mates among distractors, and tar_far_* of probes against distractors.

    probe: (n, d). label: (n,) integers >= 0, of the probes; those of identities with one image are impostors
    in verification and nothing else. distractors: (m, d), none of which shows a probe's identity.
    cleaned: whether images known to be mislabelled were left out or neutralised; only written down, and never
    to be compared across. sizes: of the ladder, ascending; by default 10, 100, ... below m, and m.
    weights: (r, c) of the c identities of ``label``, ascending, in r replicates (``identity_weights``), for
    replicates of cmc_* at the last size and of tar_far_*: distractors stay as they are. None for none.

    cmc_r: every ordered pair (mate a, probe b) of one identity is a trial with its own gallery, a and the
    first so many distractors; no other probe is in it. It succeeds when fewer than r distractors score as
    high as a or higher: ties count against the probe. An identity with M images has M(M - 1) trials;
    macro/cmc_r is the mean of the identities' own rates. cmc_r is at the last size, cmc_r_distractors_s at
    the others.
    tar_far_*: genuine pairs are the unordered pairs of one identity, impostors all probes with all
    distractors; largest rate with FAR within the limit, nothing interpolated. macro/tar_far_*: mean over
    identities at the same threshold.

    details: cleaned, probes, identities, trials, genuine_pairs, distractors, impostor_pairs, sizes, copies
    (probes that a distractor matches as well as the probe matches itself: most likely the same image), and
    what ``operating_point`` tells of each tar_far_*. curves: ladder_distractors, and ladder_cmc_r,
    ladder_macro_cmc_r for each r. Undefined: all of it without an identity of two images or without
    distractors, and rates with far * impostor pairs < 1.
    Raises ValueError for wrong shapes, negative labels, sizes that do not ascend, or NaN or infinity.
    """
    probe, label = check_rows(probe, label)
    if len(label) and int(label.min()) < 0:
        raise ValueError("label has negative values: give distractors as such, apart from the probes")
    for rank in ranks:
        check_range("rank", rank, low=1, integer=True)
    for far in fars:
        check_range("far", far, low=0, high=1, open_low=True)
    sizes = _ladder(len(distractors)) if sizes is None else list(sizes)
    impostors = len(probe) * len(distractors)
    keep = allowed(max(fars), impostors) + 1 if fars and impostors else 0
    if weights is not None:
        keep = max(_SPARE * keep, min(impostors, _LEAST_KEPT))
    found = distractor_scores(probe, distractors, sizes=sizes, depth=max(ranks, default=1), keep=keep)
    pairs, identity = _genuine(label)
    genuine = listed_scores(probe, pairs)
    reason = None if len(pairs) else "no genuine pair: no identity has two images"
    reason = reason or (None if len(distractors) else "no distractors: every mate is alone in its gallery")
    values, curves = _identification(pairs, identity, genuine, found.best, sizes, ranks, reason)
    rates, points = _verification(genuine, identity, found.highest, impostors, fars, reason)
    metrics, undefined = defined(values | rates)
    details = {
        "cleaned": cleaned,
        "probes": len(probe),
        "identities": len(identity.unique()),
        "trials": 2 * len(pairs),
        "genuine_pairs": len(pairs),
        "distractors": len(distractors),
        "impostor_pairs": impostors,
        "sizes": sizes,
        "copies": _copies(probe, found.best),
        "cautions": cautions(points),
    }
    result = Evaluation(metrics, {**details, **points, "undefined": undefined}, curves)
    if weights is None or reason:
        return result
    owner = columns_of(label, label)
    genuine_scores = Scored(genuine, identity, identity)
    impostor_scores = Scored(found.highest, owner[found.pairs[:, 0]], owner, len(distractors))
    drawn = rates_drawn(fars, *probe_replicates(genuine_scores, impostor_scores, weights, fars))
    drawn |= _rank_replicates(pairs, identity, genuine, found.best[-1], ranks, weights)
    return result | resampled({name: each for name, each in drawn.items() if metrics[name] is not None})


def _rank_replicates(
    pairs: Tensor, identity: Tensor, mate: Tensor, best: Tensor, ranks: Sequence[int], weights: Tensor
) -> dict[str, Tensor]:
    owner = torch.cat([identity, identity])
    people = weights.shape[1]
    trials = owner.bincount(minlength=people)
    found = [owner[_successes(best, pairs, mate, rank)].bincount(minlength=people) for rank in ranks]
    shares = share_replicates(torch.stack(found, dim=1), trials, weights)
    return {f"cmc_{rank}": each for rank, each in zip(ranks, shares, strict=True)}


def _ladder(distractors: int) -> list[int]:
    """10, 100, ... below ``distractors``, and ``distractors``.

    >>> _ladder(2500), _ladder(0)
    ([10, 100, 1000, 2500], [])
    """
    steps = [10**k for k in range(1, 10) if 10**k < distractors]
    return [*steps, distractors] if distractors else steps


def _genuine(label: Tensor) -> tuple[Tensor, Tensor]:
    """Return (p, 2) all pairs of rows of one identity, and (p,) that identity, counted from 0."""
    label, order = label.sort(stable=True)
    images = label.unique_consecutive(return_counts=True)[1].tolist()
    pairs = [order.new_zeros(0, 2), *(torch.combinations(rows) for rows in order.split(images))]
    count = torch.tensor([len(part) for part in pairs[1:]], dtype=torch.int64, device=order.device)
    return torch.cat(pairs), torch.arange(len(count), device=order.device).repeat_interleave(count)


def _identification(
    pairs: Tensor,
    identity: Tensor,
    mate: Tensor,
    best: Sequence[Tensor],
    sizes: Sequence[int],
    ranks: Sequence[int],
    reason: str | None,
) -> tuple[Values, dict[str, np.ndarray]]:
    """Rates at every size and rank; each pair is two trials, either image probing for the other."""
    values: Values = {}
    curves: dict[str, np.ndarray] = {"ladder_distractors": np.array(sizes, dtype=np.int64)}
    owner = torch.cat([identity, identity])
    for rank in ranks:
        ladder = []
        for scores in best:
            success = _successes(scores, pairs, mate, rank)
            ladder.append(accepted_shares(success.double(), owner, 0.5))
        for size, shares in zip(sizes, ladder, strict=True):
            name = f"cmc_{rank}" if size == sizes[-1] else f"cmc_{rank}_distractors_{size}"
            values |= {name: (shares[0], reason), f"macro/{name}": (shares[1], reason)}
        if not sizes:
            values |= {f"cmc_{rank}": (math.nan, reason), f"macro/cmc_{rank}": (math.nan, reason)}
        rates = np.array(ladder, dtype=np.float64).reshape(len(sizes), 2)
        curves |= {f"ladder_cmc_{rank}": rates[:, 0], f"ladder_macro_cmc_{rank}": rates[:, 1]}
    return values, curves


def _successes(best: Tensor, pairs: Tensor, mate: Tensor, rank: int) -> Tensor:
    """Return (2p,) bool, whether either image of each pair finds the other among the ``rank`` best."""
    # The mate is among the r best when it beats the r-th best distractor.
    limit = best[:, rank - 1][pairs]
    return torch.cat([mate > limit[:, 0], mate > limit[:, 1]])


def _verification(
    genuine: Tensor,
    identity: Tensor,
    impostor: Tensor,
    impostors: int,
    fars: Sequence[float],
    reason: str | None,
) -> tuple[Values, dict[str, Any]]:
    values: Values = {}
    details: dict[str, Any] = {}
    for far in fars:
        name = f"tar_far_{far_name(far)}"
        why = reason or unresolved(far, impostors)
        threshold = math.nan if why else exact_threshold(genuine, impostor, impostors, far)
        shares = (math.nan, math.nan) if why else accepted_shares(genuine, identity, threshold)
        values |= {name: (shares[0], why), f"macro/{name}": (shares[1], why)}
        achieved = math.nan if why else int((impostor.double() >= threshold).sum()) / impostors
        details[name] = operating_point(far, threshold, achieved, impostors)
    return values, details


def _copies(probe: Tensor, best: Sequence[Tensor]) -> int:
    """Probes with a distractor that scores at least what the probe scores with itself."""
    if not best or not len(probe):
        return 0
    unit = UnitRows(probe)
    rows = torch.arange(len(probe), device=probe.device).split(4096)
    itself = torch.cat([paired_cosine(unit.take(part), unit.take(part)) for part in rows])
    # A zero row scores 0 with everything, itself too.
    return int(((best[-1][:, 0] >= itself) & (itself > 0)).sum())
