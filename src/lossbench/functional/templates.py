"""Templates of IJB-B and IJB-C: one vector for all images of a person in one set (Crosswhite et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossbench.functional.cosine import check_matrix, on_float64_device

_ROWS = 16384


@dataclass(frozen=True)
class Templates:
    """template: (t,) ids, ascending. rows: (t, d) float64 unit vectors, zero where all images cancel out.

    media, images: how many of each went in. norm, detector: whether norms and detector scores weighed images.
    """

    template: Tensor
    rows: Tensor
    media: int
    images: int
    norm: bool
    detector: bool

    def find(self, template: Tensor) -> Tensor:
        """Return (k,) the rows of these template ids. Raises ValueError where some are unknown."""
        template = template.to(self.template.device)
        place = torch.searchsorted(self.template, template).clamp_(max=max(len(self.template) - 1, 0))
        missing = self.template[place] != template if len(self.template) else torch.ones_like(template).bool()
        if missing.any():
            first = int(template[missing][0])
            raise ValueError(f"{int(missing.sum())} templates have no image: the first is {first}")
        return place


def pool_templates(
    embedding: Tensor,
    template: Tensor,
    media: Tensor,
    *,
    detector_score: Tensor | None = None,
    norm: bool = True,
) -> Templates:
    """Return the mean of the images of each medium, summed over the media of each template, as unit vectors.

    embedding: (n, d) of images; for a flip test the sum of image and mirror image, not normalised.
    template, media: (n,) integers; frames of one video in one template share a medium.
    detector_score: (n,) weights of the images, such as the confidence of the face detector.
    norm: whether an image weighs by its norm; otherwise it becomes a unit vector first.
    These are the flags D and N of InsightFace's evaluation; its F is for the caller to tell.
    Sums are float64, in the order of the rows. Raises ValueError for shapes that differ, or NaN or infinity.

    >>> rows = torch.tensor([[4.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    >>> pool_templates(rows, torch.tensor([7, 7, 7]), torch.tensor([1, 1, 2])).rows
    tensor([[0.7071, 0.7071]], dtype=torch.float64)
    """
    check_matrix("embedding", embedding)
    embedding = on_float64_device(embedding)
    weight = torch.ones(len(embedding)) if detector_score is None else detector_score
    for name, part in (("template", template), ("media", media), ("detector_score", weight)):
        if part.shape != embedding.shape[:1]:
            raise ValueError(
                f"{len(embedding)} images but {name} of shape {tuple(part.shape)}: give one each"
            )
    if template.is_floating_point() or media.is_floating_point():
        raise ValueError(f"template is {template.dtype}, media {media.dtype}: expected integers")
    device = embedding.device
    names, owner = template.to(device).unique(return_inverse=True)
    kinds, kind = media.to(device).unique(return_inverse=True)
    _, medium, frames = (owner * len(kinds) + kind).unique(return_inverse=True, return_counts=True)
    # The mean within a medium and the sum over media, in one sum.
    weight = weight.to(device, torch.float64) / frames[medium]
    rows = torch.zeros(len(names), embedding.shape[1], dtype=torch.float64, device=device)
    for part in torch.arange(len(embedding), device=device).split(_ROWS):
        images = embedding[part].double()
        if not norm:
            images = torch.nn.functional.normalize(images, eps=1e-300)
        rows.index_add_(0, owner[part], images * weight[part].unsqueeze(1))
    broken = int((~rows.isfinite().all(dim=1)).sum())
    if broken:
        raise ValueError(
            f"{broken} of {len(rows)} templates hold NaN or infinity from an image or its weight"
        )
    rows = torch.nn.functional.normalize(rows, eps=1e-300)
    return Templates(names, rows, len(frames), len(embedding), norm, detector_score is not None)
