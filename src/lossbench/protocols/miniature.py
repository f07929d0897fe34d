"""The columns of face benchmarks in small, from the test identities and distractors of any open set."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lossbench.protocols.blufr import blufr
from lossbench.protocols.blufr_trials import draw_trials
from lossbench.protocols.evaluation import Evaluation
from lossbench.protocols.lfw import lfw
from lossbench.protocols.megaface import megaface
from lossbench.protocols.pair_folds import PairFolds, draw_pairs


def miniature(
    embedding: Tensor,
    label: Tensor,
    distractors: Tensor | None,
    *,
    pairs: PairFolds | None = None,
    trials: int = 10,
    seed: int = 0,
) -> Iterator[tuple[str, Evaluation]]:
    """Yield name and evaluation of three protocols, each metric under that name: view2/pair_accuracy.

    embedding: (n, d) with label (n,), the test identities. pairs: listed pairs that the set comes with; drawn
    otherwise. view2: ``lfw`` accuracy in folds. trials: ``blufr`` over drawn trials. ladder: ``megaface`` of
    all test images against ever more distractors, left out where the set has none.
    """
    listed = draw_pairs(label, seed=seed) if pairs is None else pairs
    yield "view2", _under("view2", lfw(embedding, *listed, fars=()))
    yield "trials", _under("trials", blufr(embedding, label, draw_trials(label, trials=trials, seed=seed)))
    if distractors is not None and len(distractors):
        yield "ladder", _under("ladder", megaface(embedding, label, distractors, cleaned=False))


def _under(name: str, found: Evaluation) -> Evaluation:
    """The same with ``name/`` before every metric."""
    metrics = {f"{name}/{key}": value for key, value in found.metrics.items()}
    undefined = {f"{name}/{key}": why for key, why in found.details["undefined"].items()}
    facts = {f"{name}/{key}" if key in found.metrics else key: value for key, value in found.details.items()}
    curves = {key: values for key, values in found.curves.items() if key.startswith("ladder_")}
    return Evaluation(metrics, {**facts, "undefined": undefined}, curves)
