"""Thresholds for a false accept rate, from the highest impostor scores alone."""

from __future__ import annotations

import math

from torch import Tensor

_SQRT_EPS = 2.0**-26  # MATLAB's sqrt(eps)


def unresolved(far: float, impostors: int, name: str = "impostor pairs") -> str | None:
    """Return why ``impostors`` comparisons cannot show a rate of ``far``, or None when they can.

    >>> unresolved(1e-3, 999)
    'FAR 0.001 needs at least 1,000 impostor pairs: there are 999'
    """
    # Compared as 1/n > far, the form achieved rates take, so that 1e-6 of 1,000,000 pairs counts as one.
    if impostors and 1 / impostors <= far:
        return None
    return f"FAR {far:g} needs at least {math.ceil(1 / far - 1e-6):,} {name}: there are {impostors:,}"


def allowed(far: float, impostors: int) -> int:
    """Return the largest whole k with k / impostors <= far.

    >>> allowed(0.3, 10), allowed(1e-6, 1_000_000)
    (3, 1)
    """
    k = min(math.floor(far * impostors) + 1, impostors)
    while k / impostors > far:
        k -= 1
    return k


def exact_threshold(genuine: Tensor, impostor: Tensor, impostors: int, far: float) -> float:
    """Return the strictest t with the largest share of genuine scores >= t and FAR(t) <= far.

    genuine: (g,) in any order. impostor: (k,) descending, the highest of ``impostors`` scores; all of them,
    or at least one more than the rate allows. Infinity where no genuine score can be accepted.

    >>> import torch
    >>> round(exact_threshold(torch.tensor([0.9, 0.6, 0.4]), torch.tensor([0.7, 0.5, 0.1]), 3, 0.34), 4)
    0.6
    """
    k = allowed(far, impostors)
    _check_tail(k + 1, impostor, impostors)
    # One false accept too many is the first score that must be refused, and with it all that tie with it.
    above = genuine if k == impostors else genuine[genuine > impostor[k]]
    return float(above.min()) if len(above) else math.inf


def blufr_threshold(genuine: Tensor, impostor: Tensor, impostors: int, far: float) -> float:
    """Return the threshold of the BLUFR toolkit (Liao et al. 2014): the k-th highest impostor score.

    Arguments as in ``exact_threshold``. k = round(far * impostors), halves away from zero as MATLAB rounds:
    k impostors pass without ties, more with ties, and FAR may exceed ``far`` by half a pair. For k = 0 the
    threshold lies between the highest impostor and the lowest genuine score above it, or 2^-26 above the
    highest impostor where there is none; for k = impostors it lies 2^-26 below all scores.

    >>> import torch
    >>> blufr_threshold(torch.tensor([1.0]), torch.tensor([0.75, 0.5, 0.25]), 3, 0.5)
    0.5
    >>> blufr_threshold(torch.tensor([1.0]), torch.tensor([0.75, 0.5, 0.25]), 3, 0.01)
    0.875
    """
    product = far * impostors
    k = math.floor(product) + (product - math.floor(product) >= 0.5)
    _check_tail(k, impostor, impostors)
    if k == impostors:
        return min(float(impostor[-1]), float(genuine.min())) - _SQRT_EPS
    if k > 0:
        return float(impostor[k - 1])
    above = genuine[genuine > impostor[0]]
    top = float(impostor[0])
    return (top + float(above.min())) / 2 if len(above) else top + _SQRT_EPS


def accepted_shares(genuine: Tensor, identity: Tensor, threshold: float) -> tuple[float, float]:
    """Return the share of genuine scores (g,) >= threshold, over all of them and as a mean over identities.

    identity: (g,) which identity >= 0 each score belongs to; those without a score are left out. NaN without
    scores.

    >>> import torch
    >>> accepted_shares(torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.tensor([0, 0, 0, 4]), 0.5)
    (0.75, 0.5)
    """
    if not len(genuine):
        return math.nan, math.nan
    accepted = genuine.double() >= threshold
    pairs = identity.bincount()
    shares = identity[accepted].bincount(minlength=len(pairs)).double() / pairs
    # Rounded once, so that the order of the identities is of no account.
    macro = math.fsum(shares[pairs > 0].tolist()) / int((pairs > 0).sum())
    return int(accepted.sum()) / len(genuine), macro


def _check_tail(needed: int, impostor: Tensor, impostors: int) -> None:
    if len(impostor) < min(max(needed, 1), impostors):
        raise ValueError(
            f"impostor holds {len(impostor)} of {impostors} scores: this FAR needs the highest {needed}"
        )
