"""Section 3.2.1: what a factor on the input does to scores and losses."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lossbench.chapter.claim import Working, claim
from lossbench.chapter.linear import linear_head
from lossbench.chapter.scores import cost
from lossbench.losses import cross_entropy_loss, hinge_loss
from lossbench.report.style import COLOURS

entropy_loss = partial(cross_entropy_loss, tau=1.0)


def _hinge(scores: Tensor, target: Tensor) -> Tensor:
    return hinge_loss(scores, target, delta=1.0)


def _image() -> tuple[Tensor, Tensor]:
    """An image (1, 3072) of grey levels, and W (3, 3072) that scores it 2, -1, 0.5."""
    image = torch.randint(0, 256, (1, 3072)).double()
    weight = torch.randn(3, 3072).double() / 3072
    missing = torch.tensor([2.0, -1.0, 0.5]).double() - (weight @ image.T)[:, 0]
    return image, weight + missing[:, None] * image / image.square().sum()


@claim(
    "C-3.2.1-scale",
    says="Without a bias f(c x) = c f(x): scores (2, -1, 0.5) become (1, -0.5, 0.25) at c = 0.5.",
    verdict="holds",
)
def homogeneous(work: Working) -> None:
    image, weight = _image()
    head = linear_head(weight)
    work.let("W (c x) = c (W x); an image darkened to half of its grey levels, c = 0.5")
    work.numbers("scores", head(image)[0].tolist(), [2, -1, 0.5])
    work.numbers("scores of the darkened image", head(0.5 * image)[0].tolist(), [1, -0.5, 0.25])
    with_bias = linear_head(weight, torch.tensor([0.0, 1.25, 0.0]).double())
    work.let("b = (0, 1.25, 0): W (c x) + b = c (W x) + b, and not c (W x + b)")
    work.numbers("scores with b", with_bias(image)[0].tolist(), [2, 0.25, 0.5])
    work.numbers("of the darkened image", with_bias(0.5 * image)[0].tolist(), [1, 0.75, 0.25])
    dark = with_bias(0.2 * image)[0].tolist()
    work.numbers("at c = 0.2, where another class wins", dark, [0.4, 1.05, 0.1])


@claim(
    "C-3.2.1-scale-loss",
    says="Under losses of relative scores such as cross-entropy, a scaled input changes nothing.",
    verdict="overstated",
    correct="The predicted class stays; the loss and the share of the winner do not (X-01).",
)
def scaled_losses(work: Working) -> None:
    image, weight = _image()
    head, factors = linear_head(weight), (0.5, 1.0, 2.0)
    scores = [head(c * image) for c in factors]
    work.numbers("predicted class at c = 0.5, 1, 2", [each.argmax().item() for each in scores], [0, 0, 0])
    work.let("cross-entropy log(1 + exp(-3 c) + exp(-1.5 c))")
    work.numbers("cross-entropy", [cost(entropy_loss, each) for each in scores], [0.5280, 0.2413, 0.0509])
    work.let("hinge max(0, 1 - 3 c) + max(0, 1 - 1.5 c)")
    work.numbers("hinge", [cost(_hinge, each) for each in scores], [0.25, 0, 0])
    shares = [each.softmax(1)[0, 0].item() for each in scores]
    work.numbers("share of the winner", shares, [0.58979, 0.78560, 0.95033])
    _draw_losses(work, head(image))


def _draw_losses(work: Working, scores: Tensor) -> None:
    left, right = work.figure("fig-3.6-scale", 8.0, 3.2).subplots(1, 2)
    factors = torch.linspace(0, 3, 121).tolist()
    for label, name in enumerate(("cat", "dog", "ship")):
        values = [c * scores[0, label].item() for c in factors]
        left.plot(factors, values, color=COLOURS[label], label=name)
    left.set(xlabel="factor c on the pixels", ylabel="score")
    left.legend()
    for loss, name, colour in ((entropy_loss, "cross-entropy", COLOURS[0]), (_hinge, "hinge", COLOURS[1])):
        right.plot(factors, [cost(loss, c * scores) for c in factors], color=colour, label=name)
    right.axvline(1, color="#888888", lw=1, ls=":", zorder=0)
    right.set(xlabel="factor c on the pixels", ylabel="loss, label cat")
    right.legend()
