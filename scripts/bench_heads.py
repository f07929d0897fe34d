"""Make a table of what margin heads with cross-entropy cost beside a plain linear layer with cross-entropy.

Forward and backward time and peak memory, gradients of embedding and weights included, of the fast path's two
functions, of the same margin composed of PyTorch's own functions, and of pytorch-metric-learning's loss of
that name. All sides take turns in one run; ratios are medians over the turns, each to the plain layer in the
same turn. About 6 minutes on two idle cores, 20 seconds with --quick, 4 GB of memory, no download.
`--out FILE` writes the table as Markdown.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import degrees
from multiprocessing import get_context
from pathlib import Path
from statistics import median

# Read at the first allocation. Transparent huge pages make large fresh buffers cheap, for every side.
os.environ["THP_MEM_ALLOC_ENABLE"] = "1"

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from measured import CPU, extra_memory, turns
from torch import Tensor, nn

from lossbench.environment import environment
from lossbench.heads.kernel import cosine_cross_entropy, cosine_scores
from lossbench.margins import additive_angle, additive_cosine, multiplicative_angle

try:
    from pytorch_metric_learning import losses as pml
except ModuleNotFoundError:
    pml = None

# (n, d, c) and how often.
TURNS = (((512, 512, 10_000), 30), ((256, 512, 100_000), 12))
# Most time and memory beside the plain layer.
REQUIRED = {"scores, then cross-entropy": (1.25, None), "scores and cross-entropy in one": (1.1, 1.1)}
Step = Callable[[], None]


@dataclass(frozen=True)
class Head:
    """A margin, its scale (None for the embedding's norm), and pytorch-metric-learning's loss of (c, d)."""

    margin: Callable[[Tensor, Tensor], Tensor]
    s: float | None
    other: Callable[[int, int], nn.Module]

    def scale(self, embedding: Tensor) -> Tensor | float:
        return embedding.norm(dim=1, keepdim=True) if self.s is None else self.s


HEADS = {
    "AM-Softmax": Head(
        partial(additive_cosine, m=0.35), 30.0, lambda c, d: pml.CosFaceLoss(c, d, margin=0.35, scale=30)
    ),
    "ArcFace": Head(
        partial(additive_angle, m=0.5),
        64.0,
        lambda c, d: pml.ArcFaceLoss(c, d, margin=degrees(0.5), scale=64),
    ),
    "A-Softmax": Head(
        partial(multiplicative_angle, m=4, lam=0.0), None, lambda c, d: pml.SphereFaceLoss(c, d, margin=4)
    ),
}


def make_sides(head: Head, n: int, d: int, c: int) -> dict[str, Step]:
    """One training step of each side: loss and gradients, from the same embedding, weights and targets."""
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(n, d, generator=generator).requires_grad_()
    weight = torch.randn(c, d, generator=generator).div_(d**0.5).requires_grad_()
    target = torch.randint(c, (n,), generator=generator)

    def scores() -> Tensor:
        return cosine_scores(embedding, weight, target, head.margin, head.scale(embedding))

    def in_one() -> Tensor:
        return cosine_cross_entropy(embedding, weight, target, head.margin, head.scale(embedding), 1.0).mean()

    def composed() -> Tensor:
        cosine = F.linear(F.normalize(embedding), F.normalize(weight))
        return head.scale(embedding) * head.margin(cosine, target)

    sides: dict[str, Callable[[], Tensor]] = {
        "nn.Linear and cross-entropy": lambda: F.cross_entropy(F.linear(embedding, weight), target),
        "scores, then cross-entropy": lambda: F.cross_entropy(scores(), target),
        "scores and cross-entropy in one": in_one,
        "composed of PyTorch's functions": lambda: F.cross_entropy(composed(), target),
    }
    parameters = [embedding, weight]
    if pml is not None:
        other = head.other(c, d)
        with torch.no_grad():
            other.W.copy_(weight.T)
        parameters.append(other.W)
        sides["pytorch-metric-learning"] = lambda: other(embedding, target)

    def step(loss: Callable[[], Tensor]) -> None:
        for parameter in parameters:
            parameter.grad = None
        loss().backward()

    return {name: partial(step, loss) for name, loss in sides.items()}


def peak(head: str, size: tuple[int, int, int], side: str, threads: int) -> float:
    """Megabytes that two steps need above inputs and weights; called in a process of its own."""
    torch.set_num_threads(threads)
    make_sides(HEADS[head], 2, 2, 2)[side]()
    step = make_sides(HEADS[head], *size)[side]
    return extra_memory(lambda: (step(), step()))


@dataclass(frozen=True)
class Row:
    size: tuple[int, int, int]
    head: str
    side: str
    cells: tuple[str, ...]
    required: str = ""
    met: bool | None = None


def rows_of(name: str, size: tuple[int, int, int], rounds: int) -> Iterator[Row]:
    taken = turns(make_sides(HEADS[name], *size), rounds)
    plain = next(iter(taken))
    memory = {}
    for side in taken:
        with get_context("spawn").Pool(1) as pool:
            memory[side] = pool.apply(peak, (name, size, side, torch.get_num_threads()))
    for side, each in taken.items():
        ratios = [one / other for one, other in zip(each, taken[plain], strict=True)]
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        more = memory[side] / memory[plain]
        time_most, memory_most = REQUIRED.get(side, (None, None))
        required = [f"time <= {time_most}"] * bool(time_most) + [f"memory <= {memory_most}"] * bool(
            memory_most
        )
        met = bool(middle <= (time_most or middle) and more <= (memory_most or more))
        ratio = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        cells = (f"{1e3 * median(each):.1f}", ratio, f"{memory[side]:.0f}", f"{more:.2f}")
        yield Row(size, name, side, cells, ", ".join(required), met if required else None)
    if pml is None:
        yield Row(size, name, "pytorch-metric-learning", ("not installed", "", "", ""))


def markdown(rows: Sequence[Row], load: tuple[float, ...]) -> str:
    facts = environment(CPU, "float32")
    head = (
        f"`{shlex.join(['python', *sys.argv])}` on {facts['cpu']}, {facts['threads']} threads, "
        f"float32, torch {facts['torch']}, commit {facts['commit']}; THP_MEM_ALLOC_ENABLE=1; "
        f"load {load[0]:.1f} at the start, {os.getloadavg()[0]:.1f} at the end. Forward and backward of one "
        "batch, embedding and weights with gradients; time and its ratio to nn.Linear in the same turn are "
        "medians, in brackets the quartiles; memory is the peak above inputs and weights."
    )
    lines = ["| n, d, c | head | side | ms | time | MB | memory | required | met |"]
    lines.append("|---|---|---|---:|---:|---:|---:|---|---|")
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        cells = (", ".join(map(str, row.size)), row.head, row.side, *row.cells, row.required, met)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(["# What margin heads cost", "", head, "", *lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smaller size and few turns")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load, rows = os.getloadavg(), []
    for size, rounds in TURNS[:1] if options.quick else TURNS:
        for name in HEADS:
            for row in rows_of(name, size, 5 if options.quick else rounds):
                rows.append(row)
                missed = "MISSED" * (row.met is False)
                words = (str(row.size), row.head, row.side, *row.cells, row.required, missed)
                print("  ".join(word for word in words if word), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(markdown(rows, load), encoding="utf-8")
        print(f"wrote {options.out}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
