"""IJB-B (Whitelam et al. 2017) and IJB-C (Maze et al. 2018): 1:1 and 1:N of templates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossbench.functional import FARS, OpenSetCurve, dir_at_far, far_name, open_set_curve, roc_curve
from lossbench.functional.cosine import CosineBlock, UnitRows
from lossbench.functional.listed import listed_scores
from lossbench.functional.pair_tail import Highest
from lossbench.functional.templates import Templates
from lossbench.protocols.evaluation import Evaluation, defined, finite
from lossbench.protocols.roc import roc_evaluation
from lossbench.readers import TemplatePairs, TemplateSubjects

_BLOCK = 1024
Values = dict[str, tuple[float, str | None]]


def ijb_verification(
    templates: Templates, pairs: TemplatePairs, *, flip: bool | None, fars: Sequence[float] = FARS
) -> Evaluation:
    """Return auc, eer and tar_far_* of listed pairs of templates, by cosine.

    flip: whether images and mirror images were put together, None where nobody tells; only written down.
    insightface/tar_far_*: the TAR that InsightFace's evaluation prints, at the corner of scikit-learn's ROC
    whose FAR is nearest to the target, above or below it; of two as near the one with the higher FAR.
    details: flags, such as N1D1F1 (norm, detector score, flip; F? where nobody tells), templates, media,
    images, and those of ``roc_evaluation``; insightface: the FAR of each of its rates.
    Raises ValueError for unknown templates.
    """
    rows = torch.stack([templates.find(torch.from_numpy(ids)) for ids in (pairs.first, pairs.second)], dim=1)
    scores = listed_scores(templates.rows, rows)
    same = torch.from_numpy(pairs.same).to(scores.device)
    curve = roc_curve(scores[same], scores[~same])
    result = roc_evaluation(curve, fars)
    nearest: Values = {}
    achieved: dict[str, float | None] = {}
    corners = None if curve.undefined else _corners(scores, same)
    for far in fars:
        name = f"insightface/tar_far_{far_name(far)}"
        at, tar = (math.nan, math.nan) if corners is None else _nearest(*corners, far)
        nearest[name], achieved[name] = (tar, curve.undefined), finite(at)
    metrics, undefined = defined(nearest)
    details = {**_facts(templates, flip), **result.details, "insightface": achieved}
    details["undefined"] = result.details["undefined"] | undefined
    return Evaluation(result.metrics | metrics, details, result.curves)


def ijb_identification(
    templates: Templates,
    galleries: Sequence[TemplateSubjects],
    probes: TemplateSubjects,
    *,
    flip: bool | None,
    ranks: Sequence[int] = (1, 5, 10),
    fpirs: Sequence[float] = (1e-1, 1e-2),
) -> Evaluation:
    """Return cmc_* and tpir_fpir_*, means over the galleries, each searched by all probes.

    In each gallery the probes of its subjects are mated and the others are not. cmc_r: share of mated probes
    whose mate is among the r best subjects; ties count against the probe. tpir_fpir_*: the largest share of
    mated probes with mate score >= t, of any rank, over all t at which the share of non-mated probes with any
    score >= t is within the limit (``dir_at_far``).
    insightface/: the galleries put together, so that every probe is mated; cmc as above, and tpir_fpir_* the
    share of mate scores above the k-th highest of all non-mate scores, k = ceil(limit * probes): there the
    limit is a number of false matches by probe, not a share of probes with one.

    details: flags, ranks, probes, galleries: entries, subjects, mated and non_mated probes, and the value,
    threshold and achieved_fpir of each tpir_fpir_*. Undefined: what is undefined in any gallery, and
    insightface/ where a probe has no mate. Raises ValueError for unknown templates or no gallery.
    """
    if not galleries:
        raise ValueError("galleries is empty: there is nobody to search for")
    probe, subject = templates.rows[templates.find(torch.from_numpy(probes.template))], probes.subject
    found: list[dict[str, Any]] = []
    values: list[Values] = []
    for gallery in galleries:
        curve = open_set_curve(*_entries(templates, [gallery]), probe, torch.from_numpy(subject))
        rates, facts = _searched(curve, ranks, fpirs)
        values.append(rates)
        found.append(facts)
    means = {name: _mean([rates[name] for rates in values]) for name in values[0]}
    merged = _merged(*_entries(templates, galleries), probe, torch.from_numpy(subject), ranks, fpirs)
    metrics, undefined = defined(means | merged)
    facts = {**_facts(templates, flip), "probes": len(probe), "galleries": found}
    return Evaluation(metrics, {**facts, "undefined": undefined}, {})


def _facts(templates: Templates, flip: bool | None) -> dict[str, Any]:
    flags = f"N{templates.norm:d}D{templates.detector:d}F{'?' if flip is None else int(flip)}"
    counts = {"templates": len(templates.template), "media": templates.media, "images": templates.images}
    return {"flags": flags, **counts}


def _corners(scores: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return FAR and TAR of the points that scikit-learn keeps of a ROC, most generous first."""
    ordered, order = scores.sort(descending=True)
    last = torch.cat([ordered.diff() != 0, same.new_ones(1)]).nonzero().flatten()
    genuine = same[order].cumsum(0)[last]
    impostor = last + 1 - genuine
    kept = torch.ones_like(last, dtype=torch.bool)
    # It drops a point where both steps, to it and from it, are the same.
    kept[1:-1] = (genuine.diff(n=2) != 0) | (impostor.diff(n=2) != 0)
    far, tar = (
        torch.cat([count.new_zeros(1), count[kept]]).flip(0) / count[-1].double()
        for count in (impostor, genuine)
    )
    return far, tar


def _nearest(far: Tensor, tar: Tensor, target: float) -> tuple[float, float]:
    # argmin() of torch promises no order among equals.
    distance = (far - target).abs()
    at = int((distance == distance.min()).nonzero()[0])
    return float(far[at]), float(tar[at])


def _entries(templates: Templates, galleries: Sequence[TemplateSubjects]) -> tuple[Tensor, Tensor]:
    """Return rows and subjects of some galleries."""
    ids = torch.cat([torch.from_numpy(gallery.template) for gallery in galleries])
    subjects = torch.cat([torch.from_numpy(gallery.subject) for gallery in galleries])
    return templates.rows[templates.find(ids)], subjects


def _searched(
    curve: OpenSetCurve, ranks: Sequence[int], fpirs: Sequence[float]
) -> tuple[Values, dict[str, Any]]:
    values = _closed_set(curve, ranks)
    facts: dict[str, Any] = {
        "entries": curve.gallery,
        "subjects": curve.identities,
        "mated": len(curve.mated),
        "non_mated": len(curve.non_mated),
    }
    for fpir in fpirs:
        name = f"tpir_fpir_{far_name(fpir)}"
        point = dir_at_far(curve, fpir, rank=None)
        values[name] = (point.dir, point.reason)
        facts[name] = {
            "value": finite(point.dir),
            "threshold": finite(point.threshold),
            "achieved_fpir": finite(point.achieved_far),
        }
    return values, facts


def _closed_set(curve: OpenSetCurve, ranks: Sequence[int]) -> Values:
    reason = None if len(curve.mated) else "no mated probe: no probe's subject is in the gallery"
    rates = [int((curve.rank <= rank).sum()) / max(len(curve.mated), 1) for rank in ranks]
    return {f"cmc_{rank}": (rate, reason) for rank, rate in zip(ranks, rates, strict=True)}


def _mean(values: Sequence[tuple[float, str | None]]) -> tuple[float, str | None]:
    for i, (_, reason) in enumerate(values):
        if reason is not None:
            return math.nan, f"gallery {i + 1}: {reason}"
    return statistics.fmean(value for value, _ in values), None


def _merged(
    gallery: Tensor,
    enrolled: Tensor,
    probe: Tensor,
    subject: Tensor,
    ranks: Sequence[int],
    fpirs: Sequence[float],
) -> Values:
    """Rates of all galleries put together, as InsightFace counts them."""
    curve = open_set_curve(gallery, enrolled, probe, subject)
    values = _closed_set(curve, ranks)
    reason = values[f"cmc_{ranks[0]}"][1] if ranks else None
    if len(curve.non_mated):
        reason = f"{len(curve.non_mated)} of {len(probe)} probes have no mate in any gallery"
    counts = [math.ceil(len(probe) * fpir) for fpir in fpirs]
    impostor = _highest_others(gallery, enrolled, probe, subject, max(counts, default=0))
    for fpir, count in zip(fpirs, counts, strict=True):
        why = reason or (
            None if count <= len(impostor) else f"{len(impostor)} non-mate scores, {count} needed"
        )
        rate = math.nan if why else int((curve.mate > impostor[count - 1]).sum()) / len(probe)
        values[f"tpir_fpir_{far_name(fpir)}"] = (rate, why)
    return {f"insightface/{name}": (rate, reason or why) for name, (rate, why) in values.items()}


def _highest_others(gallery: Tensor, enrolled: Tensor, probe: Tensor, subject: Tensor, keep: int) -> Tensor:
    """Return (keep,) the highest scores of probes with other subjects' entries, descending."""
    block = min(_BLOCK, max(len(gallery), len(probe), 1))
    unit, others = UnitRows(probe), UnitRows(gallery)
    cosine, highest = CosineBlock(block, probe.device), Highest(keep, probe.device)
    rows = torch.arange(len(probe), device=probe.device)
    columns = torch.arange(len(gallery), device=probe.device)
    enrolled, subject = enrolled.to(probe.device), subject.to(probe.device)
    for part in rows.split(block):
        left = unit.take(part)
        for entries in columns.split(block):
            different = subject[part].unsqueeze(1) != enrolled[entries]
            highest.add(cosine(left, others.take(entries)), part, entries, different)
    return highest.result()[0]
