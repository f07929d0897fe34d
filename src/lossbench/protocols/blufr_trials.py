"""Trials in the manner of BLUFR for any set of identities."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lossbench.readers import BlufrTrial
from lossbench.validate import check_range


def draw_trials(
    label: Tensor,
    *,
    trials: int = 10,
    seed: int = 0,
    train_share: float = 1500 / 5749,
    gallery_share: float = 1000 / 4249,
) -> list[BlufrTrial]:
    """Draw trials in the manner of BLUFR from any set of identities. On LFW use the released ones.

    label: (n,) integers >= 0. train_share: of all identities, for training; the others are the test.
    gallery_share: of the test identities, each in the gallery with one image. They are drawn from those with
    two images or more, so that each has a genuine probe, as in the original. All other images of the test are
    probes. Draws come from one CPU generator seeded with ``seed``, trial after trial.
    Raises ValueError when the test has too few identities with two images.

    >>> trial = draw_trials(torch.arange(40) // 4, trials=1, train_share=0.2, gallery_share=0.5)[0]
    >>> [len(rows) for rows in (trial.train, trial.test, trial.gallery, trial.probe)]
    [8, 32, 4, 28]
    """
    check_range("trials", trials, low=1, integer=True)
    check_range("train_share", train_share, low=0, high=1, open_high=True)
    check_range("gallery_share", gallery_share, low=0, high=1, open_low=True)
    if label.numel() and int(label.min()) < 0:
        raise ValueError("label has negative values: distractors belong to no identity, leave them out")
    generator = torch.Generator().manual_seed(seed)
    return list(_draws(label.cpu(), trials, generator, train_share, gallery_share))


def _draws(
    label: Tensor, trials: int, generator: torch.Generator, train_share: float, gallery_share: float
) -> Iterator[BlufrTrial]:
    names, owner, images = label.unique(return_inverse=True, return_counts=True)
    by_owner, last = owner.argsort(stable=True), images.cumsum(0)
    for _ in range(trials):
        test = torch.randperm(len(names), generator=generator)[round(train_share * len(names)) :]
        wanted = round(gallery_share * len(test))
        several = test[images[test] >= 2]
        if not wanted:
            raise ValueError(
                f"gallery_share={gallery_share:g}: of {len(test)} test identities that is nobody"
            )
        if wanted > len(several):
            raise ValueError(
                f"gallery_share={gallery_share:g}: asks for {wanted} identities with two images, "
                f"{len(several)} of {len(test)} test identities have them"
            )
        enrolled = several[:wanted]
        # The product of a share next to 1 may round up to the count itself.
        share = torch.rand(wanted, generator=generator, dtype=torch.float64)
        place = torch.minimum((share * images[enrolled]).long(), images[enrolled] - 1)
        gallery = by_owner[last[enrolled] - images[enrolled] + place]
        tested = torch.isin(owner, test)
        probing = tested.clone()
        probing[gallery] = False
        rows = ((~tested).nonzero(), tested.nonzero(), gallery.sort().values, probing.nonzero())
        yield BlufrTrial(*(part.flatten().numpy() for part in rows))
