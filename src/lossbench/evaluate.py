"""python -m lossbench.evaluate: the numbers of embeddings made anywhere, in the same record as a run's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossbench.records import Record

DEFAULT = ("verification", "identification")
PROTOCOLS = (*DEFAULT, "lfw", "blufr", "megaface")
RULES, FLIPS = ("exact", "insightface", "sphereface"), ("none", "concat", "sum")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be evaluated."""
    options = _parser().parse_args(argv)
    # Only now: --help should answer at once.
    from rich.console import Console

    from lossbench.evaluated import Request, evaluate_files
    from lossbench.report.summary import run_summary, show

    settings = dict(vars(options))
    only = settings.pop("protocol")
    settings |= {"protocols": (only,) if only else DEFAULT, "figures": not settings.pop("no_figures")}
    try:
        with Console(stderr=True).status("evaluating"):  # shown on a terminal only
            record, reused = evaluate_files(Request(**settings))
    except (ValueError, OSError) as error:
        print(f"lossbench.evaluate: error: {error}", file=sys.stderr)
        return 1
    if reused:
        print(f"finished before: {options.out} (--force evaluates again)")
    for line in _cautions(record):
        print(f"lossbench.evaluate: warning: {line}", file=sys.stderr)
    show(run_summary(record, options.out))
    print("\n".join(_comparison(record)), end="")
    return 0


def _comparison(record: Record) -> list[str]:
    """A line for each difference to the other system."""
    from lossbench.report.names import pretty_name

    against = record.details.get("against")
    if not against:
        return []
    lines = [f"against {against['embeddings']}, the same identities drawn for both:"]
    for name, found in against["differences"].items():
        low, high = 100 * found["low"], 100 * found["high"]
        verdict = "without 0" if low > 0 or high < 0 else "not resolved"
        told = f"{100 * found['difference']:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}: {verdict}"
        lines.append(f"  {pretty_name(name):<14} {told}")
    return [*lines, ""]


def _cautions(record: Record) -> list[str]:
    facts = record.split["roles"]["test"]
    told = []
    if facts["zero_rows"]:
        told.append(f"{facts['zero_rows']:,} rows are zero: their cosine with everything counts as 0")
    if facts["without_mate"] and "lfw" not in record.config["protocol"]["names"]:
        told.append(
            f"{facts['without_mate']:,} of {facts['identities']:,} identities have one row, no genuine pair"
        )
    return told


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.evaluate",
        description="Verification and identification of embeddings by cosine, written as a run's record.",
    )
    parser.add_argument(
        "embeddings", type=Path, metavar="EMB", help="(n, d) floats: .npy, .npz or .safetensors"
    )
    parser.add_argument(
        "labels",
        type=Path,
        nargs="?",
        metavar="LABELS",
        help="one identity a row: .txt or .npy, -1 for distractors (default: in EMB, under 'labels')",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, help="only this one (default: verification and identification)"
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="FILE", help="lfw: pairs.txt; LABELS then names each row's image"
    )
    parser.add_argument(
        "--trials",
        type=Path,
        metavar="FILE",
        help="blufr: blufr_lfw_config.mat (default: trials drawn alike)",
    )
    parser.add_argument(
        "--distractors",
        type=Path,
        metavar="FILE",
        help="megaface, identification: (m, d) floats, of nobody among LABELS",
    )
    parser.add_argument(
        "--rule", choices=RULES, default="exact", help="lfw: how the threshold is chosen (default: exact)"
    )
    parser.add_argument(
        "--flip", choices=FLIPS, help="lfw: how rows came from an image and its mirror; only written down"
    )
    parser.add_argument("--cleaned", action="store_true", help="megaface: mislabelled images were left out")
    parser.add_argument(
        "--bootstrap",
        type=_count,
        default=1000,
        metavar="N",
        help="replicates over identities; 0: no intervals",
    )
    parser.add_argument(
        "--seed", type=_count, default=0, help="of galleries drawn and replicates (default: 0)"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="OTHER",
        help="embeddings of the same rows by another system: differences",
    )
    parser.add_argument("--name", help="what to call these embeddings in tables (default: the file's name)")
    parser.add_argument("--no-figures", action="store_true", help="numbers only")
    parser.add_argument("--force", action="store_true", help="evaluate again and write over DIR")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number in [0, 2**31)")
    return number


if __name__ == "__main__":
    sys.exit(main())
