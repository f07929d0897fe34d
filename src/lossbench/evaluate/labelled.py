"""Verification and identification of one labelled set of embeddings, with intervals over identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lossbench.functional import FARS
from lossbench.functional.bootstrap import percentile_interval
from lossbench.intervals import bootstrap_p, holm
from lossbench.protocols.evaluation import Evaluation, joined
from lossbench.protocols.identification import identification
from lossbench.protocols.resampled import bounds, drawn_identities, identity_intervals
from lossbench.protocols.verification import verification

HARDEST = 100


@dataclass(frozen=True)
class Labelled:
    """An evaluation named for the test split, and 95 % intervals of its metrics over identities.

    hardest: kind (genuine, impostor) of pair -> [score, row, other row] of the HARDEST worst.
    intervals: low, high, level, replicates. without: why a metric has no interval. identities: how many there
    are to draw from.
    """

    evaluation: Evaluation
    hardest: dict[str, list[list[float]]] = field(default_factory=dict)
    intervals: dict[str, dict[str, float]] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    identities: int = 0

    @property
    def replicates(self) -> dict[str, np.ndarray]:
        """(r,) of each metric that has them."""
        return self.evaluation.replicates


def labelled(
    embedding: Tensor,
    label: Tensor,
    *,
    protocols: Sequence[str] = ("verification", "identification"),
    distractors: Tensor | None = None,
    fars: Sequence[float] = FARS,
    replicates: int = 1000,
    seed: int = 0,
) -> Labelled:
    """Evaluate embedding (n, d) with label (n,), negative for distractors, which only galleries hold.

    distractors: (m, d) more of them. replicates: of the bootstrap over identities; 0 for none. seed: of
    galleries drawn and of replicates. The same seed draws the same identities for every system and metric.

    tar_far_*, macro/tar_far_*, eer, auc: thresholds are found again in every replicate (``pair_replicates``).
    cmc_*: identities of the probes are drawn; the galleries, with everybody in them, stay as they are.
    """
    parts: dict[str, Evaluation] = {}
    hardest: dict[str, list[list[float]]] = {}
    weights = drawn_identities(label, replicates, seed)
    if "verification" in protocols:
        place = (label >= 0).nonzero()[:, 0]
        rows, names = (embedding, label) if len(place) == len(label) else (embedding[place], label[place])
        found = parts["verification"] = verification(rows, names, fars=fars, hardest=HARDEST, weights=weights)
        hardest = {
            kind: [[score, int(place[int(a)]), int(place[int(b)])] for score, a, b in found.details.pop(key)]
            for kind, key in (("genuine", "hardest_genuine"), ("impostor", "hardest_impostors"))
        }
    if "identification" in protocols:
        parts["identification"] = identification(
            embedding, label, distractors=distractors, seed=seed, weights=weights
        )
    evaluation = joined("test", parts)
    people = 0 if weights is None else weights.shape[1]
    return Labelled(evaluation, hardest, *identity_intervals(evaluation), people)


def difference(one: Labelled, other: Labelled) -> dict[str, dict[str, float]]:
    """By how much the metrics of one system exceed those of another on the same rows, labels and seed.

    Each with low and high, its 95 % interval, where the same identities are drawn for both systems, and p
    (``bootstrap_p``). p_holm: p adjusted for the family of all metrics returned (``holm``): below 0.05, the
    chance of any such verdict without a difference is about 5 % at most. A metric with an undefined
    replicate, or with an interval that is one point, is left out.
    """
    differences: dict[str, dict[str, float]] = {}
    for name in (name for name in one.replicates if name in other.replicates):
        values = torch.from_numpy(one.replicates[name] - other.replicates[name])
        interval = percentile_interval(values)
        if not interval.reason and interval.low < interval.high:
            by = one.evaluation.metrics[name] - other.evaluation.metrics[name]  # type: ignore[operator]
            p = bootstrap_p(by, values.tolist(), one.identities)
            differences[name] = {"difference": by, **bounds(interval), "p": p}
    adjusted = holm([found["p"] for found in differences.values()])
    return {
        name: {**found, "p_holm": p} for (name, found), p in zip(differences.items(), adjusted, strict=True)
    }
