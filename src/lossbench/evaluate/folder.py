"""The folder that an evaluation writes: whose it is, and all of it at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lossbench.records import CURVES, REPLICATES, RESULT

HARDEST, FIGURES = "hardest.csv", "figures"


def holds_runs(out: Path) -> bool:
    """Whether a training run lives there, or a group of them: what no evaluation may write over."""
    own = any((out / name).exists() for name in ("config.yaml", "checkpoints", "metrics.csv"))
    return own or any(out.glob(f"[!.]*/{RESULT}"))


def foreign_file(out: Path) -> Path | None:
    """What an evaluation would write over although no result says that it is one's own."""
    return next(
        (out / name for name in (CURVES, REPLICATES, HARDEST, FIGURES) if (out / name).exists()), None
    )


@contextmanager
def written_at_once(out: Path) -> Iterator[Path]:
    """A folder to write into; what is in it goes to ``out`` at the end, or is gone where anything fails."""
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=out, prefix=".evaluating-") as place:
            yield Path(place)
            # The record goes first and comes last: it never stands beside files of another.
            own = (RESULT, CURVES, REPLICATES, HARDEST, FIGURES)
            for name in own[:-1]:
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / FIGURES, ignore_errors=True)
            for name in reversed(own):
                if (Path(place) / name).exists():
                    (Path(place) / name).replace(out / name)
    except BaseException:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise
