"""The columns of face benchmarks in small, from the test identities and distractors of any open set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

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
    weights: Tensor | None = None,
) -> Iterator[tuple[str, Evaluation]]:
    """Yield name and evaluation of three protocols, each metric under that name: view2/pair_accuracy.

    embedding: (n, d) with label (n,), the test identities. pairs: listed pairs that the set comes with; drawn
    otherwise. view2: ``lfw`` accuracy in folds. trials: ``blufr`` over drawn trials. ladder: ``megaface`` of
    all test images against ever more distractors, left out where the set has none. With too few
    identities to draw pairs or trials from, the first two are undefined. weights: (r, c) of the c identities
    in r replicates, for those of trials and ladder.
    """

    def view2() -> Evaluation:
        return lfw(embedding, *(draw_pairs(label, seed=seed) if pairs is None else pairs), fars=())

    def in_trials() -> Evaluation:
        return blufr(embedding, label, draw_trials(label, trials=trials, seed=seed), weights=weights)

    yield "view2", _under("view2", _where_drawn(view2, "pair_accuracy"))
    yield "trials", _under("trials", _where_drawn(in_trials, "tar_far_1e_4_mean"))
    if distractors is not None and len(distractors):
        found = megaface(embedding, label, distractors, cleaned=False, weights=weights)
        yield "ladder", _under("ladder", found)


def _where_drawn(evaluate: Callable[[], Evaluation], metric: str) -> Evaluation:
    """What ``evaluate`` finds; the metric undefined where there are too few identities to draw from."""
    try:
        return evaluate()
    except ValueError as error:
        return Evaluation({metric: None}, {"undefined": {metric: str(error)}}, {})


def _under(name: str, found: Evaluation) -> Evaluation:
    """The same with ``name/`` before every metric; of the curves only those of the ladder."""
    curves = {key: values for key, values in found.curves.items() if key.startswith("ladder_")}
    return replace(found.under(name), curves=curves)
