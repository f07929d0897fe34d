"""python -m lossbench.suggest: where to start with s and m for so many classes in so many dimensions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lossbench.command import finish
from lossbench.feasibility import largest_margin, least_scale, loss_floor

SCALES = (16.0, 30.0, 64.0)
MARGINS = (0.25, 0.30, 0.35, 0.40, 0.45)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line where a number is out of range."""
    options = _parser().parse_args(argv)
    try:
        print("\n".join(suggestion(options.classes, options.dim, options.probability)))
    except ValueError as error:
        print(f"lossbench.suggest: error: {error}", file=sys.stderr)
        return 1
    return 0


def suggestion(classes: int, dim: int, probability: float) -> list[str]:
    """Lines that answer: how large must s be, how large may m be, what loss to expect, which grid to try."""
    scale = least_scale(classes, probability)
    margin, tight = largest_margin(classes, dim)
    feasible = f"m <= {margin:.3f}" if tight else f"m < {margin:.3f}"
    scales = [s for s in SCALES if s > scale] or [float(f"{2 * scale:.2g}")]
    margins = [m for m in MARGINS if m < margin] or [round(margin / 2, 3)]
    return [
        f"{classes:,} classes in {dim:,} dimensions",
        f"scale     s >= {scale:.2f} for a mean target probability of {probability:g}",
        f"margin    {feasible} (additive cosine, features on their own prototypes)",
        *_initial_losses(classes, dim, scales[0] if 30.0 not in scales else 30.0, margins),
        f"try       s in {{{_join(scales)}}}, m in {{{_join(margins)}}}",
        "          start at s=30 and the smallest m; raise m while training converges, then refine s",
    ]


def _initial_losses(classes: int, dim: int, s: float, margins: Sequence[float]) -> list[str]:
    """Expected loss at step 0 and its floor, by Monte Carlo over random prototypes."""
    from functools import partial

    from lossbench.diagnostics import expected_initial_loss
    from lossbench.heads import CosineHead
    from lossbench.losses import cross_entropy_loss
    from lossbench.margins import additive_cosine

    m = 0.35 if 0.35 in margins else margins[0]
    loss = partial(cross_entropy_loss, tau=1.0)
    plain, margined = (
        expected_initial_loss(CosineHead(dim, 1, margin=margin, s=s), loss, dim=dim, classes=classes).mean
        for margin in (None, partial(additive_cosine, m=m))
    )
    return [
        f"loss      starts at {plain:.2f} (normface s={s:g}) or {margined:.2f} (amsoftmax m={m:g} s={s:g}),",
        f"          and cannot fall below {loss_floor(classes, s):.2g} without a margin",
    ]


def _join(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.suggest",
        description="Bounds and a starting grid for the scale s and the margin m of a cosine head.",
    )
    parser.add_argument("--classes", type=int, required=True, help="training classes, at least 2")
    parser.add_argument("--dim", type=int, required=True, help="embedding size")
    parser.add_argument(
        "--probability", type=float, default=0.9, help="mean target probability to allow for (default: 0.9)"
    )
    return parser


if __name__ == "__main__":
    finish(main, "lossbench.suggest")
