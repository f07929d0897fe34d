"""Make the table of how our losses compare with those of other implementations, by value and by gradient.

Writes results/conformance/table.md, to read, and table.csv, every number in full. pytorch-metric-learning is
run as installed; others are computed by scripts/peers/formulas.py, written anew from what they do. Takes five
seconds on one core, and no download.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from peers import COMPARISONS
from peers.formulas import SOURCES
from peers.measure import AGREE, COSINES, RIVALS, Comparison, Other, measure, ratio, whole_difference

from lossbench.environment import environment

COMMAND = "OMP_NUM_THREADS=1 .venv/bin/python scripts/conformance.py"
INTRODUCTION = """\
# How our losses compare with those of others

Each loss of ours is held against other implementations at the same knobs, for one sample: the cosine to its
own class heads the columns, those to its five rivals are {rivals}. The numbers are
**theirs / ours**, of the loss and of its gradient, the derivative by the target's cosine (autograd, float64).

`1` is equal within {agree:g}; `0`: theirs is 0 where ours is not, no gradient at all; `ours 0`: the reverse;
`inf` and `NaN`: theirs is. An infinite slope by the cosine becomes NaN on the embedding, where it meets a 0.
The last column is the largest |ratio - 1| among the numbers of the line.

pytorch-metric-learning {pml} (PML) is run as installed, with the cosines handed to it as its distance object;
"from embeddings on" compares it whole: 60 random embeddings (seed 0) of 10 classes, the mean loss and its
gradients on embeddings and weights, ours as training computes them (in one pass where there is one). The
others are not run: `scripts/peers/formulas.py` computes them, written anew from what their code does; what
was read stands at the end.

`{command}`, commit {commit}
(`+`: files differed from it); {cpu}, 1 thread, torch {torch}, Python {python}.
Nothing is drawn but those embeddings. `tests/test_conformance.py` tests every cell.
"""
FOLDER = Path(__file__).resolve().parents[1] / "results" / "conformance"


@dataclass(frozen=True)
class Cell:
    """One loss or one gradient, theirs beside ours."""

    comparison: str
    other: str
    quantity: str
    cosine: float
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return ratio(self.theirs, self.ours)

    @property
    def agrees(self) -> bool:
        return abs(self.ratio - 1) <= AGREE

    def __str__(self) -> str:
        if math.isnan(self.theirs):
            return "NaN"
        if math.isinf(self.theirs):
            return "inf"
        if math.isinf(self.ratio):
            return "ours 0"
        if self.ratio == 0:
            return "0"
        if self.agrees:
            return "1"
        return f"{self.ratio:.3f}" if 0.01 <= abs(self.ratio) < 1000 else f"{self.ratio:.1e}"


def cells(comparison: Comparison, other: Other) -> tuple[list[Cell], list[Cell]]:
    """Of the losses and of the gradients, by target cosine."""
    losses, gradients = [], []
    for cosine in comparison.cosines:
        ours = measure(other.ours or comparison.ours, cosine, comparison.dtype)
        theirs = measure(other.loss, cosine, comparison.dtype)
        for row, quantity, pair in zip(
            (losses, gradients), ("loss", "gradient"), zip(ours, theirs, strict=True), strict=True
        ):
            row.append(Cell(comparison.name, other.name, quantity, cosine, *pair))
    return losses, gradients


def line(first: str, row: Sequence[Cell]) -> str:
    shown = {cell.cosine: str(cell) for cell in row}
    apart = [abs(cell.ratio - 1) for cell in row if math.isfinite(cell.ratio)]
    numbers = " | ".join(shown.get(cosine, "") for cosine in COSINES)
    return f"| {first} | {row[0].quantity} | {numbers} | {max(apart):.0e} |".replace("0e+00", "0")


def section(comparison: Comparison, rows: Sequence[tuple[Other, list[Cell], list[Cell]]]) -> Iterator[str]:
    yield from (f"## {comparison.name}", "", f"{comparison.knobs}.", "")
    yield f"| other | theirs / ours | {' | '.join(f'{cosine:g}' for cosine in COSINES)} | off 1 by |"
    yield "|---|---|" + "---:|" * (len(COSINES) + 1)
    for other, losses, gradients in rows:
        yield line(other.name, losses)
        yield line("", gradients)
    yield ""
    yield from (f"- {other.name}: {other.why}." for other, *_ in rows if other.why)
    for other, *_ in rows:
        if other.whole:
            apart = whole_difference(*other.whole, centers=other.centers)
            yield f"- {other.name}, from random embeddings on: largest relative difference {apart:.0e}."
    yield ""


def summary(rows: Sequence[tuple[str, str, list[Cell]]]) -> Iterator[str]:
    """For each of our losses the names of what is equal everywhere, equal between the edges, and the rest."""
    names: dict[str, tuple[list[str], list[str], list[str]]] = {}
    for comparison, other, row in rows:
        everywhere, between, neither = names.setdefault(comparison, ([], [], []))
        apart = [cell for cell in row if not cell.agrees]
        edges = all(abs(cell.cosine) == 1 for cell in apart)
        (everywhere if not apart else between if edges else neither).append(other)
    yield "| ours | equal in value and gradient | equal but for cos = ±1 | different |"
    yield "|---|---|---|---|"
    for comparison, lists in names.items():
        yield f"| {comparison} | {' | '.join(', '.join(each) for each in lists)} |"


def introduction() -> str:
    facts = environment(torch.device("cpu"), "float64")
    return INTRODUCTION.format(
        rivals=", ".join(f"{rival:g}" for rival in RIVALS),
        agree=AGREE,
        pml=version("pytorch-metric-learning"),
        command=COMMAND,
        **{name: facts[name] for name in ("commit", "cpu", "torch", "python")},
    )


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sections, rows, every = [], [], []
    for make in COMPARISONS:
        comparison = make()
        measured = [(other, *cells(comparison, other)) for other in comparison.others]
        sections.extend(section(comparison, measured))
        for other, losses, gradients in measured:
            every += [*losses, *gradients]
            rows.append((comparison.name, other.name, [*losses, *gradients]))
    read = [f"- {name}: {source}" for name, source in SOURCES.items()]
    text = [introduction(), "## In short", "", *summary(rows), "", *sections, "## What was read", "", *read]
    (folder / "table.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["loss", "other", "quantity", "target_cosine", "ours", "theirs", "ratio"])
        table.writerows(
            [cell.comparison, cell.other, cell.quantity, cell.cosine, cell.ours, cell.theirs, cell.ratio]
            for cell in every
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write into")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    write(folder)
    print(f"wrote {folder / 'table.md'} and {folder / 'table.csv'}")


if __name__ == "__main__":
    main()
