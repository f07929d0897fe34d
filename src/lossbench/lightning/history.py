"""metrics.csv: one row per training step, exact floats, readable after a kill, unbroken across a resume."""

import csv
import io
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

FLUSH_EVERY_S = 2.0
# The file is rewritten whole, which costs more as the run grows: at most this share of the time goes there.
WRITING_SHARE = 0.02


class HistoryLogger(Logger):
    """Write the metrics of a run to `folder/metrics.csv`: step, epoch, then names by first appearance.

    Values logged at one step share a row; a value logged again replaces the first. With `resume_step` the
    rows up to and including that step are kept and later ones, which the run is about to repeat, dropped;
    with None an old file is removed. Cells are kept as text, so a resumed file can equal an undisturbed one
    byte for byte.
    """

    def __init__(self, folder: str | Path, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._columns: list[str] = []
        self._cells: dict[int, dict[str, str]] = {}
        self._dirty = False
        self._next_write = 0.0
        if resume_step is None:
            self._remove_old()
        else:
            self._keep_until(resume_step)

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @property
    def rows(self) -> list[dict[str, int | float]]:
        """Rows by step, as numbers; absent values are left out."""
        cells = (self._cells[step] for step in sorted(self._cells))
        return [{name: _number(text) for name, text in row.items()} for row in cells]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if step is None:
            step = max(self._cells, default=0)
        row = self._cells.setdefault(step, {"step": str(step)})
        for name, value in metrics.items():
            row[name] = _text(name, value)
            if name not in self._columns and name not in ("step", "epoch"):
                self._columns.append(name)
        self._dirty = True
        # Callbacks log without calling save, so a long epoch would leave nothing on disk.
        self.save()

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's folder holds its config.yaml."""

    @rank_zero_only
    def save(self) -> None:
        # Called after every log_metrics: most calls must cost nothing.
        if self._dirty and time.monotonic() >= self._next_write:
            self._write()

    @rank_zero_only
    def flush(self) -> None:
        """Write now what has not been written, before a checkpoint that the rows must reach."""
        if self._dirty:
            self._write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.flush()

    def _write(self) -> None:
        started = time.monotonic()
        columns = ["step", "epoch", *self._columns]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        rows = (self._cells[step] for step in sorted(self._cells))
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A reader, or a kill at any moment, meets the old file or the new one, never half of one.
        partial = self.path.with_suffix(".csv.tmp")
        partial.write_text(text.getvalue(), encoding="utf-8", newline="")
        partial.replace(self.path)
        self._dirty = False
        ended = time.monotonic()
        self._next_write = ended + max(FLUSH_EVERY_S, (ended - started) / WRITING_SHARE)

    @rank_zero_only
    def _remove_old(self) -> None:
        self.path.unlink(missing_ok=True)

    @rank_zero_only
    def _keep_until(self, resume_step: int) -> None:
        if not self.path.is_file():
            return
        columns, rows = _read(self.path)
        self._cells = {int(row["step"]): row for row in rows if int(row["step"]) <= resume_step}
        # A name first seen in a dropped row will be seen again: its place is decided then.
        seen = {name for row in self._cells.values() for name in row}
        self._columns = [name for name in columns if name in seen and name not in ("step", "epoch")]
        self._dirty = True


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the rows that parse; a torn line, or one without its line end, is left out."""
    complete, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    columns, *records = csv.reader(complete.split("\n"))
    rows = []
    for record in records:
        row = {name: text for name, text in zip(columns, record, strict=False) if text}
        whole = len(record) == len(columns) and row.get("step", "").isdigit()
        if whole and all(map(_is_number, row.values())):
            rows.append(row)
    return columns, rows


def _text(name: str, value: float) -> str:
    number = float(value)
    # Lightning hands the epoch over as an int or as a float, depending on the hook that logs it.
    if isinstance(value, int) or (name == "epoch" and number.is_integer()):
        return str(int(value))
    return repr(number)


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
