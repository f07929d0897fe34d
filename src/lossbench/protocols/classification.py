"""Closed-set classification: accuracy, likelihood and calibration on the classes trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossbench.functional import calibration, fit_temperature, log_confidence, target_rank
from lossbench.functional.cosine import on_float64_device
from lossbench.protocols.evaluation import Evaluation, defined

METRICS = ("accuracy", "accuracy_top5", "nll", "ece")
_UNEQUAL = 4
"""Classes are called unequal where the largest has so many times the training rows of every rare one."""


def unclassified(reason: str) -> Evaluation:
    """Every metric of ``classification`` undefined, for a model without class scores."""
    return Evaluation(dict.fromkeys(METRICS), {"undefined": dict.fromkeys(METRICS, reason)}, {})


def classification(
    scores: Tensor,
    target: Tensor,
    *,
    tau: float = 1.0,
    fitted_tau: float | None = None,
    bins: int = 15,
    counts: Sequence[int] | None = None,
) -> Evaluation:
    """Return accuracy, accuracy_top5, nll and ece of plain scores.

    scores: (n, c), without margin. target: (n,) class of each row. tau: temperature of the softmax, > 0.
    fitted_tau: temperature fitted on other rows; adds nll_scaled and ece_scaled, at that temperature.
    bins: equal bins of (0, 1] for the calibration error.
    counts: training rows of each class; adds accuracy_rare where they are unequal, the accuracy on the third
    of the classes with the fewest (and those with as few).

    accuracy counts rows whose target scores strictly higher than every other class, accuracy_top5 those where
    at most four others score as high: ties count against the sample, so equal scores for all classes get 0.
    nll is the mean of -log softmax(scores / tau) at the target, in nats. ece compares the probability of the
    best class with accuracy. details: samples, classes, tau, bins, and fitted_tau: the temperature that would
    be best for these rows, None where there is none. curves: calibration_confidence,
    calibration_accuracy (NaN in empty bins) and calibration_count, one entry per bin. Undefined:
    accuracy_top5 with five classes or fewer, where it says nothing.
    Raises ValueError for wrong shapes, no rows, targets outside 0..c-1, or scores with NaN or infinity.
    """
    _check(scores, target)
    scores = on_float64_device(scores)
    target = target.to(scores.device).long()
    rank = target_rank(scores, target)
    own, best = log_confidence(scores, target, tau=tau)
    bin_ = calibration(best.exp(), rank == 1, bins=bins)
    classes = scores.shape[1]
    trivial = f"{classes} classes: the target is always among the best five" if classes <= 5 else None
    right = (rank == 1).double()
    values = {
        "accuracy": (float(right.mean()), None),
        "accuracy_top5": (float((rank <= 5).double().mean()), trivial),
        "nll": (-float(own.mean()), None),
        "ece": (bin_.ece, None),
    }
    rare = _rare(counts or [])
    of_rare = torch.isin(target, rare.to(target.device))
    if of_rare.any():
        values["accuracy_rare"] = (float(right[of_rare].mean()), None)
    if fitted_tau is not None:
        own, best = log_confidence(scores, target, tau=fitted_tau)
        values["nll_scaled"] = (-float(own.mean()), None)
        values["ece_scaled"] = (calibration(best.exp(), rank == 1, bins=bins).ece, None)
    metrics, undefined = defined(values)
    facts = {"samples": len(scores), "classes": classes, "tau": tau, "bins": bins}
    best_tau = fit_temperature(scores, target)
    details = {**facts, "fitted_tau": best_tau, "scaled_by": fitted_tau, "undefined": undefined}
    details |= {"rare_classes": len(rare)} if len(rare) else {}
    curves = {
        "calibration_confidence": bin_.confidence.cpu().numpy(),
        "calibration_accuracy": bin_.accuracy.cpu().numpy(),
        "calibration_count": bin_.samples.cpu().numpy(),
    }
    return Evaluation(metrics, details, curves)


def _rare(counts: Sequence[int]) -> Tensor:
    """(k,) the third of the classes with the fewest rows; none where the largest has few more."""
    most = sorted(counts)[(len(counts) - 1) // 3] if counts else 0
    unequal = most > 0 and max(counts) >= _UNEQUAL * most
    return torch.tensor([place for place, rows in enumerate(counts) if unequal and rows <= most])


def _check(scores: Tensor, target: Tensor) -> None:
    if scores.ndim != 2:
        raise ValueError(f"scores has shape {tuple(scores.shape)}: expected (n, c), one column per class")
    if target.shape != scores.shape[:1]:
        raise ValueError(f"{len(scores)} rows of scores but targets of shape {tuple(target.shape)}")
    if target.is_floating_point():
        raise ValueError(f"target is {target.dtype}: expected integer classes")
    if not len(scores):
        raise ValueError("scores has no rows: nothing to evaluate")
    outside = int(((target < 0) | (target >= scores.shape[1])).sum())
    if outside:
        raise ValueError(f"{outside} targets lie outside 0..{scores.shape[1] - 1}, the columns of scores")
    broken = int((~scores.isfinite().all(dim=1)).sum())
    if broken:
        raise ValueError(f"{broken} of {len(scores)} rows of scores hold NaN or infinity")
