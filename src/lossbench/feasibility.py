"""Which scales and margins can work for C classes in d dimensions: closed forms, before any training."""

from __future__ import annotations

import math

from lossbench.validate import check_range


def least_scale(classes: int, probability: float) -> float:
    """Smallest scale at which a softmax of cosines can give the target this probability, on average.

    s >= (C - 1)/C log((C - 1) P / (1 - P)), reached where the prototypes form a simplex and every feature
    sits on its own (Wang et al. 2018, "CosFace", arXiv:1801.09414, eq. 6).

    >>> round(least_scale(10, 0.9), 2), round(least_scale(10572, 0.9), 2)
    (3.96, 11.46)
    """
    check_range("classes", classes, low=2, integer=True)
    check_range("probability", probability, low=0, high=1, open_low=True, open_high=True)
    return (classes - 1) / classes * math.log((classes - 1) * probability / (1 - probability))


def loss_floor(classes: int, s: float) -> float:
    """Lowest mean cross-entropy that cosine scores of scale ``s`` can reach: log(1 + (C-1) e^(-s C/(C-1))).

    >>> round(loss_floor(10, 1.0), 3), round(loss_floor(10572, 1.0), 3)
    (1.377, 8.266)
    """
    check_range("classes", classes, low=2, integer=True)
    check_range("s", s, low=0, open_low=True)
    return math.log1p((classes - 1) * math.exp(-s * classes / (classes - 1)))


def largest_margin(classes: int, dim: int) -> tuple[float, bool]:
    """Largest additive cosine margin that features on their own prototypes satisfy, and whether it is tight.

    The best arrangement of C prototypes on the sphere in d dimensions: evenly spaced on the circle (d = 2), a
    simplex (C <= d + 1), within an orthoplex (C <= 2d). For more classes 1 is an upper bound that is not
    reached.

    >>> largest_margin(10, 64)[0], round(largest_margin(10, 2)[0], 3), largest_margin(10572, 512)
    (1.1111111111111112, 0.191, (1.0, False))
    """
    check_range("classes", classes, low=2, integer=True)
    check_range("dim", dim, low=1, integer=True)
    if classes <= dim + 1:
        return classes / (classes - 1), True
    if dim == 2:
        return 1 - math.cos(2 * math.pi / classes), True
    if dim == 1:
        return 0.0, True  # two prototypes at least stand on one of only two points
    return 1.0, classes <= 2 * dim
