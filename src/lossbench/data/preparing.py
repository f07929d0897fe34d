"""``python -m lossbench.data prepare``: one set made ready, and what is in it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossbench.config import CAUTIONS, conf_dir
from lossbench.data.catalogue import megabytes, size_of, unset
from lossbench.datasets.cache import cache_folder
from lossbench.datasets.cautions import with_cautions
from lossbench.datasets.dataset import CLOSED, OPEN, Dataset, Source
from lossbench.datasets.known import KnownSet
from lossbench.datasets.streaming import EncodedImages


def prepare(name: str, overrides: Sequence[str], sheet: Path | None) -> None:
    """Load a set, which downloads, decodes or draws what is not there yet, and print what it is.

    sheet: PNG to write, with some images of each split.

    Raises:
        ValueError: in one line, for what the set refuses. Also whatever hydra raises.
    """
    config = _composed(name, overrides)
    source = _made(config["source"])
    started = time.perf_counter()
    dataset = with_cautions(source.load(), config)
    seconds = time.perf_counter() - started
    console = Console()
    for label, told in (*_origin(source), *_content(dataset), ("took", f"{seconds:.1f} s")):
        console.print(Text(f"{label:<12} {told}"), soft_wrap=True)
    console.print(_splits(dataset))
    if sheet is not None:
        from lossbench.data.sheet import write_sheet

        write_sheet(dataset, sheet)
        console.print(Text(f"wrote {sheet}"), soft_wrap=True)


def _composed(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The dataset part of the configuration, resolved."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", [f"dataset={name.removeprefix('dataset=')}", *overrides])
    chosen = OmegaConf.masked_copy(config, "dataset")
    if key := unset(chosen):
        raise ValueError(f"{key} is not set: give {key}=...")
    return OmegaConf.to_container(config.dataset, resolve=True)  # type: ignore[return-value]


def _made(config: Mapping[str, Any]) -> Source:
    from hydra.utils import instantiate

    return instantiate({**config, "_convert_": "all"})


def _origin(source: Source) -> Iterator[tuple[str, str]]:
    if isinstance(source, KnownSet):
        yield "from", ", ".join(str(path) for path in source.places() if path is not None)
        facts = source.facts
        yield from (("licence", facts.licence), ("homepage", facts.homepage), ("cite", facts.citation))
    elif path := getattr(source, "path", None):
        yield "from", str(Path(path).expanduser())


def _content(dataset: Dataset) -> Iterator[tuple[str, str]]:
    train = dataset.splits["train"]
    shape = "x".join(map(str, train.data.shape[1:]))
    yield "dataset", f"{dataset.name}, {'open' if dataset.open_set else 'closed'} set"
    yield "rows", f"{shape} {train.data.dtype}"
    yield "sha256", dataset.sha256
    yield from _stored(dataset)
    for caution in (name for name in CAUTIONS if name in dataset.facts):
        yield caution, ", ".join(f"{key} {value}" for key, value in dataset.facts[caution].items())


def _stored(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Where the rows lie, and how much room they take there."""
    data = dataset.splits["train"].data
    if isinstance(data, EncodedImages):
        yield "encoded", f"{data.path}, {megabytes(size_of(data.path))}, decoded in every epoch"
    elif not isinstance(data, np.memmap):
        arrays = {id(split.data): len(split.data) * split.row_bytes for split in dataset.splits.values()}
        yield "in memory", megabytes(sum(arrays.values()))
    elif (file := Path(str(data.filename))).parent.parent.resolve() == cache_folder().resolve():
        yield "prepared", f"{file.parent}, {megabytes(size_of(file.parent))}"
        yield from _left_out(file.parent)
    else:
        yield "mapped", f"{file}, {megabytes(size_of(file))}"


def _left_out(folder: Path) -> Iterator[tuple[str, str]]:
    """What the images' source said when it was read."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["facts"]
    if count := facts.get("passed_over"):
        yield "passed over", f"{count} files that are no images in folders of identities"
    for name, reason in sorted(facts.get("broken", {}).items()):
        yield "left out", f"{name}: {reason}"


def _splits(dataset: Dataset) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("split")
    for name in ("rows", "identities", "images of each: min", "median", "max"):
        table.add_column(name, justify="right")
    for role in (role for role in (*CLOSED, *OPEN) if role in dataset.splits):
        split = dataset.splits[role]
        counts = np.bincount(split.labels)
        counts = counts[counts > 0]
        each = (counts.min(), np.median(counts), counts.max()) if len(counts) else (0, 0, 0)
        cells = (f"{len(split):,}", f"{len(counts):,}", *(f"{number:g}" for number in each))
        table.add_row(role, *cells)
    return table
