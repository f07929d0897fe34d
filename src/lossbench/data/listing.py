"""The table of ``python -m lossbench.data list``."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossbench.data.catalogue import Entry, cached_bytes, catalogue, megabytes
from lossbench.datasets.cache import cache_folder


def show_catalogue() -> None:
    """Print every option of conf/dataset, and what is in the cache."""
    stored = cached_bytes()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("dataset", no_wrap=True)
    table.add_column("what it is, and where its files are", overflow="fold", ratio=1)
    table.add_column("prepared", justify="right", no_wrap=True)
    for entry in catalogue():
        sizes = [size for name in sorted(entry.names) for size in stored.pop(name, [])]
        about = Text.assemble(entry.what, "\n", (_files(entry), "dim"))
        # Text, not markup: a path may hold square brackets.
        table.add_row(Text(entry.name), about, Text(_sizes(sizes)))
    console = Console()
    console.print(table)
    others = [f"{name} {_sizes(sizes)}" for name, sizes in stored.items()]
    also = f"; also holds {', '.join(others)}" if others else ""
    console.print(Text(f"cache: {cache_folder()}{also}"), soft_wrap=True)
    console.print(
        Text("python -m lossbench.data prepare NAME [dataset.KEY=VALUE] makes one ready"), soft_wrap=True
    )


def _files(entry: Entry) -> str:
    licence = f"licence: {entry.licence.partition(';')[0]}" if entry.licence else ""
    return "; ".join(filter(None, (entry.files, licence, entry.homepage)))


def _sizes(sizes: list[int]) -> str:
    """Bytes of one set, or of several made with different options."""
    several = f" ({len(sizes)})" if len(sizes) > 1 else ""
    return f"{megabytes(sum(sizes))}{several}" if sizes else ""
