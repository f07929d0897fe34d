"""Make a table of what training with lossbench costs beside doing the same by hand.

Ratios only mean something within one run on an idle machine: both sides take turns, a few steps each, and
the median over all turns is printed. About 6 minutes on two cores, 2 with --quick, 2 GB of memory, no
download. `--out FILE` writes the table as Markdown.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import hydra
import numpy as np
import torch
from measured import CPU, Row, extra_memory, run, turns
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lossbench import build
from lossbench.augment import Augment
from lossbench.config import conf_dir
from lossbench.datasets import Dataset, Split
from lossbench.functional import pair_roc
from lossbench.lightning.datamodule import Batches, DeviceData, InMemory, centre, to_float
from lossbench.lightning.fit import fit
from lossbench.lightning.history import HistoryLogger
from lossbench.schedules import warmup_cosine

LOG_EVERY = 50


class BareLoop:
    """zero_grad, forward, backward, clip, step, schedule: what a loop by hand would do, and nothing else.

    Only the network and the batches are lossbench's.
    """

    def __init__(self, config: dict[str, Any], data: DeviceData, precision: str, channels_last: bool) -> None:
        self.module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
        if channels_last:
            self.module.to(memory_format=torch.channels_last)
        self.bf16 = precision == "bf16"
        knobs = {key: value for key, value in config["optimizer"].items() if not key.startswith("_")}
        self.optimizer = torch.optim.SGD(self.module.parameters(), **knobs)
        rate = partial(warmup_cosine, total=config["trainer"]["steps"], warmup=config["schedule"]["warmup"])
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
        self.clip = config["trainer"]["clip"]
        self.batches = endless(data, config["trainer"]["batch_size"])

    def __call__(self, steps: int) -> float:
        """Seconds that ``steps`` steps take, data included."""
        started = time.perf_counter()
        for _ in range(steps):
            rows, target = next(self.batches)
            self.optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
                embedding = self.module.backbone(rows)
            loss = nn.functional.cross_entropy(self.module.head(embedding.float(), target), target)
            loss.backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
            self.optimizer.step()
            self.schedule.step()
        return time.perf_counter() - started


def endless(data: DeviceData, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows, labels = data._load("train")
    for epoch in count():
        yield from Batches(rows, labels, batch_size, 0, data.augment, epoch=partial(int, epoch))


class TakingTurns(InMemory):
    """Data of a ``fit`` that stands still after every ``turn`` steps for as many steps of the bare loop."""

    def __init__(self, data: DeviceData, *, batch_size: int, bare: Callable[[int], float], turn: int) -> None:
        super().__init__(data, batch_size=batch_size, seed=0)
        self.bare = bare
        self.turn = turn
        self.step = 0
        self.seconds: list[tuple[float, float]] = []  # (fit, bare), one per turn

    def train_dataloader(self) -> Interrupted:
        return Interrupted(super().train_dataloader(), self.between_steps)

    def between_steps(self) -> None:
        if self.step % self.turn == 0:
            now = time.perf_counter()
            if self.step:
                self.seconds.append((now - self.started, self.bare(self.turn)))
            self.started = time.perf_counter()
        self.step += 1


@dataclass(frozen=True)
class Interrupted:
    """Batches with a call before each."""

    batches: Batches
    before_each: Callable[[], None]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.batches:
            self.before_each()
            yield batch


def fit_beside_bare(
    name: str, config: dict[str, Any], data: DeviceData, turn: int, most: float | None
) -> Row:
    """Time per step of fit and of the bare loop, in cycles of LOG_EVERY steps: one step of each is logged.

    The first cycle is left out, and with it the start-up of both.
    """
    steps, batch_size = config["trainer"]["steps"], config["trainer"]["batch_size"]
    module = build.make_training(config, shape=data.shape, counts=data.dataset.counts())
    precision = build.pick_precision("auto", CPU, module.backbone)
    bare = BareLoop(config, data, precision, channels_last=precision == "bf16")
    turns = TakingTurns(data, batch_size=batch_size, bare=bare, turn=turn)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            module,
            turns,
            Path(folder),
            steps=steps,
            validations=0,
            precision=precision,
            seed=0,
            loggers=[HistoryLogger(folder)],
            log_every=LOG_EVERY,
            # Half of the time belongs to the bare loop.
            checkpoint_every=2 * config["checkpoint_every"],
            progress=False,
            resume=None,
        )
    seconds = np.array(turns.seconds)
    cycle = LOG_EVERY // turn
    cycles = seconds[: len(seconds) // cycle * cycle].reshape(-1, cycle, 2).sum(1)[1:]
    ratios = (cycles[:, 0] / cycles[:, 1]).tolist()
    ours, other = (1e3 * float(np.median(cycles[:, side])) / LOG_EVERY for side in (0, 1))
    return Row(
        f"fit beside a bare loop: {name}, {precision}, ms a step",
        f"{ours:.3f}",
        f"{other:.3f}",
        spread(ratios),
        "" if most is None else f"<= {most}",
        None if most is None else median(ratios) <= most,
    )


def loops(quick: bool) -> Iterator[Row]:
    convnet = compose("dataset=glyphs", f"trainer.steps={151 if quick else 501}")
    yield fit_beside_bare("convnet, 1100 classes", convnet, glyphs_like(), 10, 1.03)
    linear = compose("backbone=identity", f"trainer.steps={1001 if quick else 5001}")
    pixels = random_images(20_000 if quick else 50_000, 10, (32, 32, 3))
    yield fit_beside_bare("linear classifier on 3072 pixels", linear, DeviceData(pixels, device=CPU), 10, 1.5)
    digits = compose("dataset=digits", "backbone=mlp", f"trainer.steps={1001 if quick else 5001}")
    yield fit_beside_bare("MLP on digits (4 steps an epoch)", digits, build.make_data(digits, CPU), 10, None)


class Samples(torch.utils.data.Dataset):
    """The same images, one at a time, as most training scripts read them."""

    def __init__(self, rows: Tensor, labels: Tensor, augment: Augment) -> None:
        self.rows, self.labels, self.augment = rows, labels, augment
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.augment(to_float(self.rows[index : index + 1]), self.generator)
        return centre(image)[0], self.labels[index]


def batches(quick: bool) -> Iterator[Row]:
    """Batches per second; worker processes are started, and their queue filled, before the clock runs."""
    data = glyphs_like()
    rows, labels = data._load("train")
    samples = Samples(rows, labels, data.augment)
    ours = endless(data, 256)
    alone = iter(DataLoader(samples, 256, shuffle=True, num_workers=0))
    seconds: dict[str, list[float]] = {"ours": [], "alone": [], "workers": []}
    for round_ in range(3 if quick else 9):
        for _ in range(3):
            seconds["ours"].append(seconds_each(ours, 10))
            seconds["alone"].append(seconds_each(alone, 1))
        workers = iter(DataLoader(samples, 256, shuffle=True, num_workers=2))
        seconds_each(workers, 8)
        seconds["workers"].append(seconds_each(workers, 16))
        del workers
        if round_ % 3 == 2:
            alone = iter(DataLoader(samples, 256, shuffle=True, num_workers=0))
    rate = {name: 1 / median(each) for name, each in seconds.items()}
    for name, what, least in (("alone", "in the process", 10), ("workers", "by 2 workers", None)):
        ratio = rate["ours"] / rate[name]
        yield Row(
            f"augmented batches of 256 beside sample by sample {what}, batches/s",
            f"{rate['ours']:.0f}",
            f"{rate[name]:.1f}",
            f"{ratio:.1f}",
            "" if least is None else f">= {least}",
            None if least is None else ratio >= least,
        )


def seconds_each(iterator: Iterator[Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        next(iterator)
    return (time.perf_counter() - started) / times


def precisions(quick: bool) -> Iterator[Row]:
    """Images per second of the bare loop of the default network."""
    config, data = compose("dataset=glyphs"), glyphs_like()
    kinds = {
        "float32": ("fp32", False),
        "float32, channels_last": ("fp32", True),
        "bf16": ("bf16", False),
        "bf16, channels_last": ("bf16", True),
    }
    runs = {name: BareLoop(config, data, *kind) for name, kind in kinds.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(4 if quick else 16):
        for name, bare in runs.items():
            took = bare(4)
            if turn:
                seconds[name].append(took / 4)
    auto = build.pick_precision("auto", CPU, runs["float32"].module.backbone)
    for name in runs:
        ratios = [slow / fast for slow, fast in zip(seconds["float32"], seconds[name], strict=True)]
        chosen = " (precision=auto)" if (auto, auto == "bf16") == kinds[name] else ""
        rates = [f"{256 / median(seconds[each]):.0f}" for each in (name, "float32")]
        yield Row(f"{name}{chosen} beside float32: convnet, images/s", *rates, spread(ratios))


def optimizers(quick: bool) -> Iterator[Row]:
    """Optimizer step and clipping alone, on the gradients of one real step."""
    pixels = DeviceData(random_images(2560, 10, (32, 32, 3)), device=CPU)
    for name, config, data in (
        ("linear", compose("backbone=identity"), pixels),
        ("convnet", compose("dataset=glyphs"), glyphs_like(2560)),
    ):
        bare = BareLoop(config, data, "fp32", False)
        bare(1)
        parameters = list(bare.module.parameters())
        sgd = partial(torch.optim.SGD, parameters, 1e-9, momentum=0.9, nesterov=True, weight_decay=5e-4)
        clip = partial(nn.utils.clip_grad_norm_, max_norm=1e9)
        calls = {
            "SGD": sgd().step,
            "SGD(foreach=True)": sgd(foreach=True).step,
            "SGD(fused=True)": sgd(fused=True).step,
            "clip": lambda clip=clip, module=bare.module: clip(module.parameters()),
            "clip(foreach=True)": lambda clip=clip, all_=parameters: clip(all_, foreach=True),
        }
        seconds: dict[str, list[float]] = {call: [] for call in calls}
        for _ in range(20 if quick else 60):
            for call, function in calls.items():
                function()
                seconds[call].append(seconds_each(iter(function, False), 10))
        for call in calls:
            plain = call.partition("(")[0]
            if call != plain:
                us = [f"{1e6 * median(seconds[each]):.0f}" for each in (call, plain)]
                ratio = median(seconds[call]) / median(seconds[plain])
                yield Row(f"{call} beside {plain}: {name}, µs", *us, f"{ratio:.2f}")


def memory(quick: bool) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["trainer.steps=60", "logger=none", "progress=false", f"run_root={folder}"]
        subprocess.run(
            [sys.executable, "-m", "lossbench", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL
        )
        (result,) = Path(folder).rglob("result.json")
        peak = json.loads(result.read_text())["cost"]["peak_memory_mb"]
    yield Row("peak memory of a default run of 60 steps, MB", f"{peak:.0f}", "", "", "< 1500", peak < 1500)
    for identities in (700, 10):
        with get_context("spawn").Pool(1) as pool:
            extra, ours, other = pool.apply(verification_cost, (identities, 2 if quick else 5))
        what = f"all pairs of 10,000 x 512, {identities} identities"
        yield Row(f"extra memory of {what}, MB", f"{extra:.0f}", "", "", "< 300", extra < 300)
        seconds = (f"{ours:.2f}", f"{other:.2f}", f"{ours / other:.2f}")
        yield Row(f"verification of {what} beside the products alone, s", *seconds)


def verification_cost(identities: int, rounds: int) -> tuple[float, float, float]:
    """Extra megabytes of pair_roc, its median seconds, and those of the same tiles multiplied and dropped."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(identities, (10_000,), generator=generator)
    centres = torch.randn(identities, 512, generator=generator)
    embedding = centres[label] + 2 * torch.randn(10_000, 512, generator=generator)
    pair_roc(embedding[:2000], label[:2000])
    ours, tile = partial(pair_roc, embedding, label), torch.empty(1024, 1024)
    extra = extra_memory(ours)
    taken = turns({"ours": ours, "products": partial(products, embedding, tile)}, rounds)
    return extra, median(taken["ours"]), median(taken["products"])


def products(embedding: Tensor, tile: Tensor) -> None:
    parts = embedding.split(len(tile))
    for i, left in enumerate(parts):
        for right in parts[i:]:
            torch.mm(left, right.T, out=tile[: len(left), : len(right)])


def compose(*overrides: str) -> dict[str, Any]:
    """A resolved configuration, as the command line would make it."""
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("config", list(overrides)), resolve=True)


def glyphs_like(rows: int = 12_000) -> DeviceData:
    """Random images of the shape, number and augmentation of the default data set's."""
    augment = build.make(compose("dataset=glyphs")["dataset"]["augment"])
    return DeviceData(random_images(rows, 1100, (32, 32, 1)), device=CPU, augment=augment)


def random_images(rows: int, classes: int, shape: tuple[int, ...]) -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (rows, *shape), dtype=np.uint8)
    labels = generator.integers(0, classes, rows)
    names = tuple(map(str, range(classes)))
    return Dataset("random", {"train": Split(images, labels, names)}, open_set=False, sha256="")


def spread(ratios: Sequence[float]) -> str:
    """Median and quartiles."""
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


PARTS = {
    "loops": loops,
    "batches": batches,
    "precisions": precisions,
    "optimizers": optimizers,
    "memory": memory,
}


if __name__ == "__main__":
    run(__doc__, "What training costs", PARTS)
