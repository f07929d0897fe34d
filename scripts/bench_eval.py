"""Make a table of what exact evaluation costs beside the plain float32 product of the same rows.

Two tasks on random unit vectors with planted identities: few probes among very many distractors (rank rates
and VR at a FAR of 1e-6), and all pairs of one labelled set. Both sides take turns in one run; ratios are
medians over the turns. Then the bootstrap over identities, and other libraries on the same labelled set:
what they compute is in the line.
Ratios only mean something on an idle machine. About 7 minutes on two cores, 1 with --quick, 8 GB of memory,
no download. `--out FILE` writes the table as Markdown.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from measured import CPU, Row, beside, extra_memory, run, turns
from sklearn.metrics import roc_curve as sklearn_roc
from torch import Tensor
from torchmetrics.functional.classification import binary_roc

from lossbench.functional import FARS, cmc_curve, pair_roc, pair_verification
from lossbench.functional.bootstrap import identity_weights
from lossbench.functional.pair_tail import pair_tail
from lossbench.functional.screening import bf16_products_hold
from lossbench.protocols import megaface, verification
from lossbench.protocols.resampled import resampled_pairs

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

COLUMNS = 512
# Probes, their identities and distractors of MegaFace; images and identities of LFW.
PROBES, PROBE_IDENTITIES, DISTRACTORS = 3530, 80, 1_000_000
ROWS, IDENTITIES = 13_233, 5749
FAR = 1e-6


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
    return extra_memory(partial(megaface, probe, label, others, cleaned=False, fars=(FAR,)))


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


def bootstrap(quick: bool) -> Iterator[Row]:
    """Every replicate of verification's rates, beside numpy summing the weights of the same impostor tail."""
    replicates, drawn = 1000, 20
    rows, identities = (3000, 1300) if quick else (ROWS, IDENTITIES)
    embedding, label = planted(rows, identities, 2)
    found = verification(embedding, label)
    weights = identity_weights(len(label.unique()), replicates=replicates)
    tail = pair_tail(embedding, label, far=1e-2, spare=2)
    first, second = (column.numpy() for column in tail.impostor_identity.T)

    def by_hand() -> None:
        for row in weights[:drawn].numpy().astype(np.float64):
            np.searchsorted((row[first] * row[second]).cumsum(), 1e-2 * tail.impostors)

    sides = {"ours": lambda: resampled_pairs(embedding, label, found, FARS, weights), "numpy": by_hand}
    taken = turns(sides, 1 if quick else 5)
    numpy = [seconds * replicates / drawn for seconds in taken["numpy"]]
    what = f"bootstrap of {rows:,} x {COLUMNS}, {replicates:,} replicates of TAR, macro TAR, EER, AUC"
    other = f"beside numpy's sums for one FAR ({drawn} replicates, scaled up)"
    line = beside(f"{what}, {other}, s", taken["ours"], numpy)
    yield line if quick else replace(line, required="<= 3 s", met=float(line.measured) <= 3)


def others(quick: bool) -> Iterator[Row]:
    """Other libraries on the same rows, each in a process of its own; the product is in their time."""
    rows = ROWS // 4 if quick else ROWS
    what, plain = f"all pairs of {rows:,} x {COLUMNS}, beside the plain product", None
    for name in LIBRARIES:
        with get_context("spawn").Pool(1) as pool:
            taken, extra = pool.apply(alone, (name, rows, torch.get_num_threads()))
        plain = plain or taken
        if taken is None:
            yield Row(f"{name}: not installed", "")
        else:
            yield beside(f"{what}: {name}, s", taken, plain)
            yield Row(f"{what}: {name}, extra memory, MB", f"{extra:.0f}")


def alone(name: str, rows: int, threads: int) -> tuple[list[float] | None, float]:
    """Seconds in two turns, and megabytes above the input."""
    torch.set_num_threads(threads)
    function = LIBRARIES[name]
    embedding, label = planted(rows, IDENTITIES * rows // ROWS, 1.5)
    if not function(embedding[:500], label[:500]):
        return None, 0.0
    taken: list[float] = []
    extra = extra_memory(lambda: taken.extend(turns({"": partial(function, embedding, label)}, 2)[""]))
    return taken, extra


def plain_product(embedding: Tensor, label: Tensor) -> bool:
    embedding @ embedding.T
    return True


def ours_pairs(embedding: Tensor, label: Tensor) -> bool:
    pair_verification(embedding, label)
    return True


def ours_cmc(embedding: Tensor, label: Tensor) -> bool:
    cmc_curve(embedding, label, ranks=10)
    return True


def all_scores(embedding: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    first, second = torch.triu_indices(len(label), len(label), 1)
    return (embedding @ embedding.T)[first, second], label[first] == label[second]


def torchmetrics_roc(embedding: Tensor, label: Tensor) -> bool:
    score, same = all_scores(embedding, label)
    binary_roc(score.add_(1).div_(2), same.long())
    return True


def sklearn_curve(embedding: Tensor, label: Tensor) -> bool:
    score, same = all_scores(embedding, label)
    sklearn_roc(same.numpy(), score.numpy(), drop_intermediate=False)
    return True


def pml_accuracy(embedding: Tensor, label: Tensor) -> bool:
    if AccuracyCalculator is None:
        return False
    search = CustomKNN(CosineSimilarity(), batch_size=1024)
    AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=search).get_accuracy(embedding, label)
    return True


def faiss_flat(embedding: Tensor, label: Tensor) -> bool:
    if faiss is None:
        return False
    index = faiss.IndexFlatIP(embedding.shape[1])
    index.add(embedding.numpy())
    index.search(embedding.numpy(), 2)
    return True


LIBRARIES = {
    "the plain product": plain_product,
    "pair_verification": ours_pairs,
    "torchmetrics' exact binary_roc": torchmetrics_roc,
    "scikit-learn's roc_curve": sklearn_curve,
    "cmc_curve, ranks 1 to 10 in 10 galleries": ours_cmc,
    "pytorch-metric-learning's AccuracyCalculator, precision@1": pml_accuracy,
    "faiss' IndexFlatIP, each row's nearest other row": faiss_flat,
}

PARTS = {"pairs": pairs, "distractors": distractors, "bootstrap": bootstrap, "others": others}

if __name__ == "__main__":
    run(__doc__, "What exact evaluation costs", PARTS)
