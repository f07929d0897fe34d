"""Linear classifiers of the photographs of CIFAR-10: a few seconds each on one core."""

from __future__ import annotations

from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lossbench.chapter.claim import Missing
from lossbench.chapter.fitting import descend
from lossbench.chapter.scores import Loss
from lossbench.datasets.cifar import Cifar10
from lossbench.datasets.division import ByImage
from lossbench.datasets.files import missing
from lossbench.losses import cross_entropy_loss, hinge_loss

TRAINED, BATCH, STEPS = 20_000, 500, 200
RECIPES: dict[str, tuple[Loss, float, float]] = {
    "softmax": (partial(cross_entropy_loss, tau=1.0), 0.01, 0.01),
    "hinge": (partial(hinge_loss, delta=1.0), 0.0006, 0.05),
}
"""Loss, learning rate, weight decay."""
TOLD = f"{TRAINED} photographs of CIFAR-10, {STEPS} steps of {BATCH}, one run each, 10000 test images"


class Photographs(NamedTuple):
    """Images (n, 32, 32, 3) uint8, equally many of each class, and labels (n,)."""

    images: Tensor
    labels: Tensor
    test: Tensor
    truth: Tensor


@cache
def photographs() -> Photographs:
    """The same rows at every call.

    Raises:
        Missing: if CIFAR-10 is not on this machine.
    """
    source = Cifar10(path=None, division=ByImage(val_fraction=0.0, test_fraction=0.0, split_seed=0))
    if source.place() is None:
        raise Missing(str(missing(source.facts, source.archive, *source.others)))
    splits, parts = source.load().splits, []
    for role, count in (("train", TRAINED), ("test", 10_000)):
        split, draw = splits[role], np.random.default_rng(0)
        of_class = [np.flatnonzero(split.labels == label) for label in range(10)]
        rows = np.sort(np.concatenate([draw.permutation(each)[: count // 10] for each in of_class]))
        parts += [torch.from_numpy(split.read(rows)), torch.from_numpy(split.labels[rows])]
    return Photographs(*parts)


class Templates(NamedTuple):
    """W (10, 3072) and b (10,) for pixels with the mean image subtracted."""

    weight: Tensor
    bias: Tensor
    mean: Tensor

    def scores(self, images: Tensor) -> Tensor:
        # In parts: as floating-point numbers, all test images would fill 120 MB.
        return torch.cat([self.pixels(part) @ self.weight.T + self.bias for part in images.split(1000)])

    def pixels(self, images: Tensor) -> Tensor:
        return ((images.float() - self.mean) / 255).flatten(1)

    @property
    def images(self) -> Tensor:
        return self.weight.view(-1, 32, 32, 3)

    def right(self) -> float:
        test, truth = photographs()[2:]
        return 100 * (self.scores(test).argmax(1) == truth).double().mean().item()


@cache
def templates(name: str, *, flips: bool = False) -> Templates:
    """A linear classifier trained by one of the RECIPES; with ``flips``, half of the images are mirrored."""
    images, labels = photographs()[:2]
    loss, lr, decay = RECIPES[name]
    draw = torch.Generator().manual_seed(0)
    weight, bias = torch.zeros(10, 3072, requires_grad=True), torch.zeros(10, requires_grad=True)
    found = Templates(weight, bias, images.sum(0).float() / TRAINED)
    rows = torch.cat([torch.randperm(TRAINED, generator=draw) for _ in range(STEPS * BATCH // TRAINED)])
    batches = iter(rows.split(BATCH))

    def cost() -> Tensor:
        chosen = next(batches)
        batch = images[chosen]
        if flips:
            mirrored = torch.rand(BATCH, generator=draw) < 0.5
            batch[mirrored] = batch[mirrored].flip(2)
        return loss(found.scores(batch), labels[chosen]).mean() + decay / 2 * weight.square().sum()

    descend([weight, bias], cost, lr=lr, steps=STEPS)
    return Templates(weight.detach(), bias.detach(), found.mean)
