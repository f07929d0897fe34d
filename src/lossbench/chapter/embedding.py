"""Small embedding nets, trained with the heads of the chapter in about half a second each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lossbench.datasets import Glyphs
from lossbench.datasets.dataset import Split
from lossbench.heads import CosineHead, LinearHead, Scheduled
from lossbench.losses import cross_entropy_loss
from lossbench.margins import additive_cosine, multiplicative_angle

IDENTITIES = 100


class Pictures(NamedTuple):
    """Images (n, pixels) float32 in [-0.5, 0.5] and labels (n,)."""

    images: Tensor
    labels: Tensor


class Trained(NamedTuple):
    net: nn.Sequential
    head: nn.Module

    def features(self, images: Tensor) -> Tensor:
        """Unit vectors (n, d)."""
        with torch.no_grad():
            return F.normalize(self.net(images))


def make_head(name: str, dim: int, classes: int, s: float = 30.0) -> nn.Module:
    """``softmax``, ``normface``, ``asoftmax`` (m = 4, lambda = 5, no s) or ``am-<m>``."""
    if name == "softmax":
        return LinearHead(dim, classes, bias=False)
    if name == "normface":
        return CosineHead(dim, classes, s=s)
    if name == "asoftmax":
        return CosineHead(dim, classes, margin=partial(multiplicative_angle, m=4, lam=5.0), s=None)
    return CosineHead(dim, classes, margin=partial(additive_cosine, m=float(name.removeprefix("am-"))), s=s)


def train_net(
    make: Callable[[], nn.Module], given: Pictures, *, seed: int, hidden: int, dim: int, normed: bool,
    rate: float, steps: int,
) -> Trained:  # fmt: skip
    """One hidden layer, an embedding of ``dim``, the head that ``make`` makes; Adam on batches of 128.

    normed: batch normalisation of both layers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        norms = [nn.BatchNorm1d(hidden), nn.BatchNorm1d(dim)] if normed else [nn.Identity(), nn.Identity()]
        net = nn.Sequential(
            nn.Linear(given.images.shape[1], hidden), norms[0], nn.ReLU(), nn.Linear(hidden, dim), norms[1]
        )
        head = make()
        margin = getattr(head, "margin", None)
        parameters = [*net.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
        for step in range(steps):
            rows = torch.randint(len(given.labels), (128,))
            if isinstance(margin, Scheduled):
                margin.at(step, steps)
            target = given.labels[rows]
            loss = cross_entropy_loss(head(net(given.images[rows]), target), target, tau=1.0).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Trained(net.eval(), head.eval())


@cache
def glyphs() -> dict[str, Pictures]:
    """Characters of 16x16 pixels: 100 to train on, other drawings of them (test), 100 others (unseen)."""
    source = Glyphs(
        train_identities=IDENTITIES, val_identities=0, test_identities=IDENTITIES, val_styles=1,
        test_styles=2, split_seed=0,
    )  # fmt: skip
    splits = source.load().splits
    return {
        name: _halved(splits[role])
        for name, role in (("train", "train"), ("test", "test"), ("unseen", "test_open"))
    }


def _halved(split: Split) -> Pictures:
    """Grey images of even size with the mean of every 2x2 pixels in place of them."""
    rows = split.data if split.rows is None else split.data[split.rows]
    return Pictures(halved(rows[..., 0]), torch.from_numpy(split.labels))


def halved(images: np.ndarray) -> Tensor:
    """Grey images (n, h, w) uint8 at half the size, flattened."""
    n, height, width = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2).astype(np.float32)
    return torch.from_numpy(blocks.mean((2, 4)).reshape(n, -1)) / 255 - 0.5


@cache
def glyph_net(name: str, seed: int) -> Trained:
    """64 dimensions, trained on the glyphs with noise on their pixels."""
    make = partial(make_head, name, 64, IDENTITIES)
    train = glyphs()["train"]
    noise = torch.randn(3, *train.images.shape, generator=torch.Generator().manual_seed(seed))
    given = Pictures((train.images + 0.15 * noise).flatten(0, 1), train.labels.repeat(3))
    return train_net(make, given, seed=seed, hidden=128, dim=64, normed=True, rate=0.03, steps=300)
