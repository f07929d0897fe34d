"""LFW BLUFR (Liao et al., IJCB 2014): all-pairs verification and open-set identification over trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossbench.functional import DirAtFar, OpenSetCurve, dir_at_far, far_name, open_set_curve
from lossbench.functional.bootstrap import pair_replicates
from lossbench.functional.cosine import check_rows
from lossbench.functional.pair_tail import PairTail, pair_tail
from lossbench.functional.probe_bootstrap import dir_replicates
from lossbench.functional.thresholds import accepted_shares, blufr_threshold, exact_threshold, unresolved
from lossbench.protocols.evaluation import Evaluation, defined, finite
from lossbench.protocols.resampled import mean_over, rates_drawn, resampled
from lossbench.readers import BlufrTrial

_OVERLAP = "trials draw from the same images: their spread describes them, and is no error of their mean"
_SPARE = 5  # other people, or a threshold from other trials, may accept as many times more impostors


def blufr(
    embedding: Tensor,
    label: Tensor,
    trials: Sequence[BlufrTrial],
    *,
    fars: Sequence[float] = (1e-3, 1e-4),
    open_set_fars: Sequence[float] = (1e-2,),
    rank: int = 1,
    weights: Tensor | None = None,
) -> Evaluation:
    """Return tar_far_* over all pairs of each trial's test images, and dir_far_* of its probes.

    embedding: (n, d). label: (n,) integers >= 0. trials: rows of test, gallery and probe; train is not used.
    rank: within which a mate must be found.
    weights: (r, c) of the c identities of ``label``, ascending, in r replicates (``identity_weights``), for
    replicates of NAME_mean by the exact rule: the same people weigh alike in every trial. None for none.

    Each rate is given as NAME_mean, NAME_std (ddof 1) and NAME_mean_minus_std over the trials, the last being
    the fused score that the toolkit asks to publish. NAME is tar_far_*, macro/tar_far_* (mean over identities
    of the share of their genuine pairs accepted at the same threshold) or dir_far_*, and each of these after
    blufr/ by the toolkit's rule for the threshold (``blufr_threshold``) instead of the largest rate with FAR
    within the limit. realised_far_*_mean and _max: FAR of a trial at the mean threshold of the other trials,
    by the exact rule; realised_dir_far_* alike, of non-mated probes.

    details: trials, rank, train, spread (what it is not), per_trial: counts, the largest share
    of genuine pairs that one identity has, and under each name value, threshold and achieved_far. A metric is
    undefined where it is in any trial, and std and what rests on it with one trial.
    Raises ValueError for wrong shapes, rows outside the embedding, no trials, or rows with NaN or infinity.
    """
    embedding, label = check_rows(embedding, label)
    if not trials:
        raise ValueError("trials is empty: there is nothing to evaluate")
    rates = _Rates(fars, open_set_fars, rank)
    own = None if weights is None else _Drawn(weights, label.unique())
    results = [_trial(embedding, label, trial, rates, own) for trial in trials]
    values: dict[str, tuple[float, str | None]] = {}
    for name in results[0].points:
        values |= _over_trials(name, [result.points[name] for result in results])
    for name in results[0].alarms:
        values |= _realised(name, results)
    metrics, undefined = defined(values)
    facts = {"trials": len(trials), "rank": rank, "train": "unused", "spread": _OVERLAP}
    per_trial = [result.facts | _named(result.points) for result in results]
    found = Evaluation(metrics, {**facts, "per_trial": per_trial, "undefined": undefined}, {})
    if own is None:
        return found
    means = mean_over([result.replicates for result in results])
    named = {f"{name}_mean": values for name, values in means.items()}
    return found | resampled({name: values for name, values in named.items() if metrics[name] is not None})


class _Rates(NamedTuple):
    fars: Sequence[float]
    open_set_fars: Sequence[float]
    rank: int


class _Drawn(NamedTuple):
    """Weights (r, c) of the identities, and these (c,)."""

    weights: Tensor
    identities: Tensor


class _Point(NamedTuple):
    value: float
    threshold: float
    achieved_far: float
    reason: str | None


class _Impostors(NamedTuple):
    """The highest of ``total`` impostor scores, descending."""

    scores: Tensor
    total: int

    def rate(self, threshold: float) -> float:
        """Return the share at or above the threshold; NaN where too few scores were kept to tell."""
        if len(self.scores) < self.total and threshold <= float(self.scores[-1]):
            return math.nan
        return int((self.scores.double() >= threshold).sum()) / self.total


class _Result(NamedTuple):
    points: dict[str, _Point]
    alarms: dict[str, _Impostors]
    facts: dict[str, Any]
    replicates: dict[str, Tensor]


def _trial(
    embedding: Tensor, label: Tensor, trial: BlufrTrial, rates: _Rates, drawn: _Drawn | None
) -> _Result:
    fars, open_set_fars, rank = rates
    test, gallery, probe = (_rows(part, embedding) for part in (trial.test, trial.gallery, trial.probe))
    tail = pair_tail(embedding[test], label[test], far=max(fars), spare=_SPARE)
    points: dict[str, _Point] = {}
    for far in fars:
        points |= _verification(tail, far)
    curve = open_set_curve(embedding[gallery], label[gallery], embedding[probe], label[probe])
    for far in open_set_fars:
        name = f"dir_far_{far_name(far)}"
        points[name] = _identified(dir_at_far(curve, far, rank=rank))
        points[f"blufr/{name}"] = _identified(dir_at_far(curve, far, rank=rank, blufr=True))
    pairs = _Impostors(tail.impostor, tail.impostors)
    strangers = _Impostors(curve.impostor, len(curve.impostor))
    alarms = {f"tar_far_{far_name(far)}": pairs for far in fars}
    alarms |= {f"dir_far_{far_name(far)}": strangers for far in open_set_fars}
    own = tail.genuine_identity.bincount(minlength=1)
    facts = {
        "test_images": len(test),
        "test_identities": len(tail.identities),
        "genuine_pairs": len(tail.genuine),
        "impostor_pairs": tail.impostors,
        "largest_genuine_share": int(own.max()) / max(len(tail.genuine), 1),
        "gallery": curve.gallery,
        "mated_probes": len(curve.mated),
        "non_mated_probes": len(curve.non_mated),
    }
    replicates = {} if drawn is None else _replicates(tail, curve, label[probe], rates, drawn)
    return _Result(points, alarms, facts, replicates)


def _replicates(
    tail: PairTail, curve: OpenSetCurve, probe: Tensor, rates: _Rates, drawn: _Drawn
) -> dict[str, Tensor]:
    """Each rate by the exact rule with other identities drawn, of the same gallery. probe: (n,) labels."""
    tested, own = (torch.searchsorted(drawn.identities, part) for part in (tail.identities, probe))
    found = pair_replicates(tail, drawn.weights[:, tested.cpu()], rates.fars, eer=False, auc=False)
    names = [f"dir_far_{far_name(far)}" for far in rates.open_set_fars]
    shares = dir_replicates(curve, own, drawn.weights, rates.open_set_fars, rank=rates.rank)
    return rates_drawn(rates.fars, found.tar, found.macro) | dict(zip(names, shares, strict=True))


def _rows(part: Any, embedding: Tensor) -> Tensor:
    rows = torch.as_tensor(part, device=embedding.device)
    outside = int(((rows < 0) | (rows >= len(embedding))).sum())
    if outside:
        raise ValueError(f"{outside} rows of a trial lie outside 0..{len(embedding) - 1}, those of embedding")
    return rows


def _verification(tail: PairTail, far: float) -> dict[str, _Point]:
    """Micro and macro rate by both rules."""
    points: dict[str, _Point] = {}
    for prefix, rule in (("", exact_threshold), ("blufr/", blufr_threshold)):
        reason = tail.undefined or (None if prefix else unresolved(far, tail.impostors))
        names = [f"{prefix}tar_far_{far_name(far)}", f"{prefix}macro/tar_far_{far_name(far)}"]
        if reason is not None:
            points |= dict.fromkeys(names, _Point(math.nan, math.nan, math.nan, reason))
            continue
        threshold = rule(tail.genuine, tail.impostor, tail.impostors, far)
        shares = accepted_shares(tail.genuine, tail.genuine_identity, threshold)
        achieved = _Impostors(tail.impostor, tail.impostors).rate(threshold)
        points |= {
            n: _Point(share, threshold, achieved, None) for n, share in zip(names, shares, strict=True)
        }
    return points


def _identified(point: DirAtFar) -> _Point:
    return _Point(point.dir, point.threshold, point.achieved_far, point.reason)


def _over_trials(name: str, points: Sequence[_Point]) -> dict[str, tuple[float, str | None]]:
    reason = next((f"trial {i + 1}: {p.reason}" for i, p in enumerate(points) if p.reason is not None), None)
    values = [point.value for point in points]
    spread = reason or ("one trial has no standard deviation" if len(values) < 2 else None)
    mean = math.nan if reason else statistics.fmean(values)
    std = math.nan if spread else statistics.stdev(values)
    return {
        f"{name}_mean": (mean, reason),
        f"{name}_std": (std, spread),
        f"{name}_mean_minus_std": (mean - std, spread),
    }


def _realised(name: str, results: Sequence[_Result]) -> dict[str, tuple[float, str | None]]:
    """FAR of each trial at the mean threshold of the others."""
    thresholds = [result.points[name].threshold for result in results]
    reason = "one trial has no other to take a threshold from" if len(results) < 2 else None
    rates = []
    for i, result in enumerate(results):
        others = thresholds[:i] + thresholds[i + 1 :]
        if not reason and not all(math.isfinite(threshold) for threshold in others):
            reason = "a trial has no threshold: its rate is undefined or 0"
        if not reason:
            rates.append(result.alarms[name].rate(statistics.fmean(others)))
            if math.isnan(rates[-1]):
                reason = f"trial {i + 1}: FAR is more than {_SPARE} times the target, beyond the scores kept"
    told = f"realised_{name.removeprefix('tar_')}"
    mean, highest = (math.nan, math.nan) if reason else (statistics.fmean(rates), max(rates))
    return {f"{told}_mean": (mean, reason), f"{told}_max": (highest, reason)}


def _named(points: Mapping[str, _Point]) -> dict[str, Any]:
    kept = ("value", "threshold", "achieved_far")
    return {name: {key: finite(getattr(point, key)) for key in kept} for name, point in points.items()}
