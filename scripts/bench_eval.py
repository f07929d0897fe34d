"""Make a table of what exact evaluation costs beside the plain float32 product of the same rows.

Two tasks on random unit vectors with planted identities: few probes among very many distractors (rank rates
and VR at a FAR of 1e-6), and all pairs of one labelled set. Both sides take turns in one run; ratios are
medians over the turns. Then other libraries at sizes that they can hold: what they compute is in the line.
Ratios only mean something on an idle machine. About 5 minutes on two cores, 1 with --quick, 5 GB of memory,
no download. `--out FILE` writes the table as Markdown.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_curve as sklearn_roc
from torch import Tensor
from torchmetrics.functional.classification import binary_roc

from lossbench.environment import environment, peak_memory_mb, reset_peak_memory
from lossbench.functional import cmc_curve, pair_roc, pair_verification
from lossbench.functional.screening import bf16_products_hold
from lossbench.protocols import megaface

try:
    import faiss
except ModuleNotFoundError:
    faiss = None

try:
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN
except ModuleNotFoundError:
    AccuracyCalculator = None

CPU = torch.device("cpu")
COLUMNS = 512
# Probes, their identities and distractors of MegaFace; images and identities of LFW.
PROBES, PROBE_IDENTITIES, DISTRACTORS = 3530, 80, 1_000_000
ROWS, IDENTITIES = 13_233, 5749
FAR = 1e-6


@dataclass(frozen=True)
class Row:
    """One line of the table; required: the bound, as text, and whether it was met."""

    what: str
    measured: str
    beside: str = ""
    ratio: str = ""
    required: str = ""
    met: bool | None = None


def planted(rows: int, identities: int, noise: float) -> tuple[Tensor, Tensor]:
    """Unit vectors around random centres; a noise of 2 gives genuine pairs a cosine of 0.2."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(identities, (rows,), generator=generator)
    centre = torch.nn.functional.normalize(torch.randn(identities, COLUMNS, generator=generator))
    own = torch.nn.functional.normalize(torch.randn(rows, COLUMNS, generator=generator))
    return torch.nn.functional.normalize(centre[label] + noise * own), label


def strangers(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    embedding = torch.empty(rows, COLUMNS)
    for part in embedding.split(2**16):
        part.copy_(torch.nn.functional.normalize(torch.randn(part.shape, generator=generator)))
    return embedding


def plain_blocks(probe: Tensor, distractors: Tensor) -> None:
    for part in distractors.split(8192):
        probe @ part.T


def turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each turn; the first turn is left out."""
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds + 1):
        for side, function in sides.items():
            started = time.perf_counter()
            function()
            if turn:
                taken[side].append(time.perf_counter() - started)
    return taken


def beside(what: str, ours: Sequence[float], other: Sequence[float], most: float | None = None) -> Row:
    ratios = [one / two for one, two in zip(ours, other, strict=True)]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    cells = f"{median(ours):.2f}", f"{median(other):.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"
    return Row(what, *cells, f"<= {most}" if most else "", middle <= most if most else None)


def distractors(quick: bool) -> Iterator[Row]:
    """Probes among distractors, with the screening this CPU gets and in float32."""
    count = DISTRACTORS // 10 if quick else DISTRACTORS
    probe, label = planted(PROBES, PROBE_IDENTITIES, 1.5)
    others = strangers(count)
    asked = {"cleaned": False, "ranks": (1, 10), "fars": (10 * FAR if quick else FAR,)}
    sides = {"plain": partial(plain_blocks, probe, others)}
    sides["ours"] = partial(megaface, probe, label, others, **asked)
    sides["cmc"] = partial(cmc_curve, probe, label, distractors=others, ranks=100)
    taken = turns(sides, 3)
    what = f"{PROBES:,} probes among {count:,} distractors"
    kind = "bfloat16" if bf16_products_hold(CPU) else "float32"
    named = {"ours": "rank 1 and 10, VR, of all distractors and each tenth", "cmc": "cmc_curve to rank 100"}
    for side, name in named.items():
        line = f"{what}: {name}, screened in {kind}, beside the plain product, s"
        yield beside(line, taken[side], taken["plain"], 1.0)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "others.npy", others.numpy())
        mapped = np.load(Path(folder) / "others.npy", mmap_mode="r")
        again = turns({"file": partial(megaface, probe, label, mapped, **asked)}, 2)["file"]
    yield beside(f"{what}: the same from a memory-mapped file, s", again, taken["plain"][: len(again)])
    with get_context("spawn").Pool(1) as pool:
        extra = pool.apply(distractor_memory, (count, torch.get_num_threads()))
    yield Row(f"{what}: extra memory, MB", f"{extra:.0f}", "", "", "<= 256", extra <= 256)
    with get_context("spawn").Pool(1) as pool:
        slow, plain = pool.apply(in_float32, (count // 2, torch.get_num_threads()))
    what = f"{PROBES:,} probes among {count // 2:,} distractors"
    yield beside(f"{what}, screened in float32, beside the plain product, s", slow, plain, 1.0)


def distractor_memory(count: int, threads: int) -> float:
    """Megabytes that ``megaface`` needs above its input."""
    torch.set_num_threads(threads)
    probe, label = planted(PROBES, PROBE_IDENTITIES, 1.5)
    others = strangers(count)
    megaface(probe[:200], label[:200], others[:4096], cleaned=False)
    run = partial(megaface, probe, label, others, cleaned=False, fars=(FAR,))
    return extra_memory(run)


def in_float32(count: int, threads: int) -> tuple[list[float], list[float]]:
    """Seconds as on a CPU that does not multiply bfloat16, and those of the plain product."""
    torch.set_num_threads(threads)
    import lossbench.functional.tile_screen as screen

    screen.bf16_products_hold = lambda device: False
    probe, label = planted(PROBES, PROBE_IDENTITIES, 1.5)
    others = strangers(count)
    ours = partial(megaface, probe, label, others, cleaned=False, fars=(1e-5,), sizes=(count,))
    taken = turns({"ours": ours, "plain": partial(plain_blocks, probe, others)}, 3)
    return taken["ours"], taken["plain"]


def extra_memory(run: Callable[[], Any]) -> float:
    before = float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    reset_peak_memory()
    run()
    return peak_memory_mb(CPU) - before


def pairs(quick: bool) -> Iterator[Row]:
    """All pairs of one set."""
    rows = ROWS // 2 if quick else ROWS
    for noise, word in ((1.5, "well"), (3.0, "badly")):
        embedding, label = planted(rows, IDENTITIES * rows // ROWS, noise)
        sides = {"ours": partial(pair_verification, embedding, label)}
        sides["plain"] = lambda embedding=embedding: embedding @ embedding.T
        taken = turns(sides, 5 if quick else 9)
        what = f"all pairs of {rows:,} x {COLUMNS}, {word} separated"
        line = f"{what}: points, EER, AUC, hardest pairs, beside the full plain product, s"
        yield beside(line, taken["ours"], taken["plain"], 1.0)
    all_scores = turns({"roc": partial(pair_roc, embedding, label)}, 2)["roc"]
    yield beside(f"{what}: the whole curve (pair_roc), s", all_scores, taken["plain"][:2])
    with get_context("spawn").Pool(1) as pool:
        extra = pool.apply(pair_memory, (rows, torch.get_num_threads()))
    yield Row(f"{what}: extra memory, MB", f"{extra:.0f}", "", "", "<= 256", extra <= 256)


def pair_memory(rows: int, threads: int) -> float:
    torch.set_num_threads(threads)
    embedding, label = planted(rows, IDENTITIES * rows // ROWS, 3.0)
    pair_verification(embedding[:4000], label[:4000])
    return extra_memory(partial(pair_verification, embedding, label))


def others(quick: bool) -> Iterator[Row]:
    """Other libraries; scores are made by the plain product, in their time."""
    rows = 2000 if quick else 4000
    embedding, label = planted(rows, rows // 4, 2.0)
    first, second = torch.triu_indices(rows, rows, 1)
    same = label[first] == label[second]

    def scores() -> Tensor:
        return (embedding @ embedding.T)[first, second]

    sides: dict[str, Callable[[], Any]] = {
        "ours": partial(pair_verification, embedding, label),
        "torchmetrics' exact binary_roc": lambda: binary_roc((scores() + 1) / 2, same.long()),
        "scikit-learn's roc_curve": lambda: sklearn_roc(same, scores(), drop_intermediate=False),
    }
    taken = turns(sides, 3)
    for side in list(sides)[1:]:
        line = f"pair_verification beside {side}, all pairs of {rows:,} rows, s"
        yield beside(line, taken["ours"], taken[side])
    yield from neighbours(embedding, label)


def neighbours(embedding: Tensor, label: Tensor) -> Iterator[Row]:
    what = f"cmc_curve, 10 galleries, beside %s (each row's nearest other row), {len(label):,} rows, s"
    ours: Callable[[], Any] = partial(cmc_curve, embedding, label, ranks=10)
    name = "pytorch-metric-learning's AccuracyCalculator"
    if AccuracyCalculator is None:
        yield Row(what % name, "", "not installed")
    else:
        search = CustomKNN(CosineSimilarity(), batch_size=1024)
        calculator = AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=search)
        taken = turns({"ours": ours, "other": partial(calculator.get_accuracy, embedding, label)}, 3)
        yield beside(what % name, taken["ours"], taken["other"])
    if faiss is None:
        yield Row(what % "faiss", "", "not installed")
    else:

        def flat() -> None:
            index = faiss.IndexFlatIP(embedding.shape[1])
            index.add(embedding.numpy())
            index.search(embedding.numpy(), 2)

        taken = turns({"ours": ours, "other": flat}, 3)
        yield beside(what % "faiss' IndexFlatIP", taken["ours"], taken["other"])


PARTS = {"pairs": pairs, "distractors": distractors, "others": others}


def markdown(rows: Sequence[Row], load: tuple[float, ...]) -> str:
    facts = environment(CPU, "as stated")
    head = (
        f"`{shlex.join(['python', *sys.argv])}` on {facts['cpu']}, {facts['threads']} threads, torch "
        f"{facts['torch']}, commit {facts['commit']}; load {load[0]:.1f} at the start, "
        f"{os.getloadavg()[0]:.1f} at the end. Medians over turns; in brackets the quartiles of the ratio."
    )
    lines = ["| what | measured | beside | ratio | required | met |", "|---|---:|---:|---:|---|---|"]
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        lines.append(f"| {row.what} | {row.measured} | {row.beside} | {row.ratio} | {row.required} | {met} |")
    return "\n".join(["# What exact evaluation costs", "", head, "", *lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer turns")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load, rows = os.getloadavg(), []
    for part in options.only:
        for row in PARTS[part](options.quick):
            rows.append(row)
            missed = "MISSED" * (row.met is False)
            cells = (row.what, row.measured, row.beside, row.ratio, row.required, missed)
            print("  ".join(cell for cell in cells if cell), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(markdown(rows, load), encoding="utf-8")
        print(f"wrote {options.out}")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
