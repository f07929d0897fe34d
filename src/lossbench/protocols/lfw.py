"""Accuracy on listed pairs in folds: LFW View 2 (Huang et al. 2007), CFP-FP, AgeDB-30, CALFW, CPLFW."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lossbench.functional import roc_curve
from lossbench.functional.cosine import on_float64_device
from lossbench.functional.listed import best_threshold, check_listed, listed_scores
from lossbench.intervals import clopper_pearson, mean_interval
from lossbench.protocols.evaluation import Evaluation, finite
from lossbench.protocols.roc import roc_evaluation
from lossbench.validate import check_range

RULES = ("exact", "insightface", "sphereface")
FLIPS = ("none", "concat", "sum")


def lfw(
    embedding: Tensor,
    pairs: Tensor,
    same: Tensor,
    fold: Tensor,
    *,
    rule: str = "exact",
    flip: str = "none",
    fars: Sequence[float] = (1e-1, 1e-2, 1e-3),
) -> Evaluation:
    """Return pair_accuracy: mean over folds, each decided by the threshold that is best on the other folds.

    embedding: (n, d). pairs: (p, 2) row numbers. same: (p,) bool. fold: (p,) integers, folds of equal size.
    flip: how ``embedding`` came from an image and its mirror image (``with_mirror``); only written down.
    rule: exact: cosine, accept scores >= the threshold of ``best_threshold``.
        insightface: squared distance of unit vectors, accept below the first best of 0, 0.01, ... 3.99.
        sphereface: the mean of the other folds' rows is taken off, cosine, the threshold is the mean of all
        best of -1, -0.9999, ... 1; accept above it, refuse below it, a score equal to it is wrong either way.

    metrics: pair_accuracy; pair_accuracy_standard_error, the standard deviation over folds (ddof 1) by
    sqrt(folds), or with insightface pair_accuracy_std, the standard deviation (ddof 0) it prints; auc, eer
    and tar_far_* of all pairs by plain cosine, under every rule. details: rule, flip, folds, fold_pairs (in
    each fold), fold_accuracy, fold_threshold (None above every score), intervals (see ``_intervals``),
    right_pairs, right_pairs_interval (Clopper and Pearson's, of pairs, not identities: too narrow where pairs
    share images), and those of the ROC, as its curves.
    Raises ValueError for wrong shapes, fewer than two folds or unequal ones, or rows with NaN or infinity.
    """
    for name, value, choices in (("rule", rule, RULES), ("flip", flip, FLIPS)):
        if value not in choices:
            raise ValueError(f"{name}={value}: choose one of {', '.join(choices)}")
    scores = listed_scores(embedding, pairs)
    pairs, same, fold = pairs.to(scores.device), same.to(scores.device), fold.to(scores.device)
    check_listed(scores, same)
    tests = list(_folds(fold, scores))
    if rule == "exact":
        results = [_exact(scores, same, test) for test in tests]
    elif rule == "insightface":
        results = [_insightface(scores, same, test) for test in tests]
    else:
        rows = on_float64_device(embedding)
        results = [_sphereface(rows, pairs, same, test) for test in tests]
    thresholds, accuracies = zip(*results, strict=True)
    roc = roc_evaluation(roc_curve(scores[same], scores[~same]), fars)
    accuracy = statistics.fmean(accuracies)
    right = round(accuracy * len(fold))
    metrics = {"pair_accuracy": accuracy, **_spread(accuracies, rule), **roc.metrics}
    facts = {
        "rule": rule,
        "flip": flip,
        "folds": len(tests),
        "fold_pairs": len(fold) // len(tests),
        "fold_accuracy": list(accuracies),
        "fold_threshold": [finite(threshold) for threshold in thresholds],
        "intervals": _intervals(accuracies),
        "right_pairs": right,
        "right_pairs_interval": list(clopper_pearson(right, len(fold))),
    }
    return Evaluation(metrics, {**facts, **roc.details}, roc.curves)


def with_mirror(embedding: Tensor, mirrored: Tensor, flip: str) -> Tensor:
    """Return what to evaluate, given embeddings (n, d) of images and of their mirror images.

    flip: sum: their sum (n, d), as they come. concat: both as unit vectors side by side (n, 2 d), so that a
    cosine is the mean of the two cosines. none: the embeddings alone.

    >>> with_mirror(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]]), "concat").tolist()
    [[0.6000000238418579, 0.800000011920929, 1.0, 0.0]]
    """
    if embedding.shape != mirrored.shape:
        raise ValueError(f"embedding {tuple(embedding.shape)} and mirrored {tuple(mirrored.shape)} differ")
    if flip == "sum":
        return embedding + mirrored
    if flip == "concat":
        return torch.cat([torch.nn.functional.normalize(part) for part in (embedding, mirrored)], dim=1)
    if flip == "none":
        return embedding
    raise ValueError(f"flip={flip}: choose one of {', '.join(FLIPS)}")


def contiguous_folds(pairs: int, folds: int = 10) -> Tensor:
    """Return (pairs,) the fold of each pair of a list in which folds follow each other.

    >>> contiguous_folds(6, 3).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    check_range("folds", folds, low=2, integer=True)
    if pairs % folds:
        raise ValueError(f"pairs={pairs}: cannot be cut into {folds} folds of equal size")
    return torch.arange(folds).repeat_interleave(pairs // folds)


def _folds(fold: Tensor, scores: Tensor) -> Iterator[Tensor]:
    """Yield (p,) bool, the pairs of each fold."""
    if fold.shape != scores.shape or fold.is_floating_point():
        raise ValueError(f"fold is {fold.dtype} {tuple(fold.shape)}: expected one integer per pair, (p,)")
    names, sizes = fold.unique(return_counts=True)
    if len(names) < 2:
        raise ValueError(f"{len(names)} fold: a threshold needs other folds to come from, give at least two")
    if int(sizes.min()) != int(sizes.max()):
        raise ValueError(f"folds of {int(sizes.min())} to {int(sizes.max())} pairs: give folds of equal size")
    for name in names:
        yield fold == name


def _spread(accuracies: Sequence[float], rule: str) -> dict[str, float]:
    if rule == "insightface":
        return {"pair_accuracy_std": statistics.pstdev(accuracies)}
    return {"pair_accuracy_standard_error": statistics.stdev(accuracies) / math.sqrt(len(accuracies))}


def _intervals(accuracies: Sequence[float]) -> dict[str, dict[str, Any]]:
    """Of pair_accuracy the t interval from the standard error over folds, no higher than 1.

    Thresholds come from folds that overlap, and folds share no identity only where the list sees to that.
    None where all folds agree: nothing then tells of other folds.
    """
    low, high = mean_interval(accuracies)
    if low == high:
        return {}
    facts = {"level": 0.95, "folds": len(accuracies), "method": "t over folds"}
    return {"pair_accuracy": {"low": low, "high": min(high, 1.0), **facts}}


def _exact(scores: Tensor, same: Tensor, test: Tensor) -> tuple[float, float]:
    threshold = best_threshold(scores[~test], same[~test]).threshold
    right = (scores[test].double() >= threshold) == same[test]
    return threshold, float(right.double().mean())


def _insightface(scores: Tensor, same: Tensor, test: Tensor) -> tuple[float, float]:
    distance = 2 - 2 * scores.double()
    genuine, impostor = distance[~test & same], distance[~test & ~same]
    grid = torch.arange(400, dtype=torch.float64, device=scores.device) * 0.01
    correct = _below(genuine, grid) + len(impostor) - _below(impostor, grid)
    threshold = float(grid[int(correct.argmax())])
    right = (distance[test] < threshold) == same[test]
    return threshold, float(right.double().mean())


def _sphereface(rows: Tensor, pairs: Tensor, same: Tensor, test: Tensor) -> tuple[float, float]:
    mean = rows[pairs[~test].flatten()].double().mean(dim=0)
    scores = listed_scores(rows.double() - mean, pairs).double()
    genuine, impostor = scores[~test & same], scores[~test & ~same]
    grid = torch.arange(-10_000, 10_001, dtype=torch.float64, device=rows.device) / 10_000
    correct = len(genuine) - _below(genuine, grid, or_equal=True) + _below(impostor, grid)
    threshold = float(grid[correct == correct.max()].mean())
    right = torch.where(same[test], scores[test] > threshold, scores[test] < threshold)
    return threshold, float(right.double().mean())


def _below(values: Tensor, grid: Tensor, *, or_equal: bool = False) -> Tensor:
    """Return for each number of the grid how many values are below it."""
    return torch.searchsorted(values.sort().values, grid, right=or_equal)
