"""python -m lossbench.evaluate: the numbers of embeddings made anywhere, in the same record as a run's."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossbench.config import ConfigError
from lossbench.records import RESULT, Record, read_record

if TYPE_CHECKING:
    from lossbench.embeddings import Embeddings

PROTOCOLS = ("verification", "identification")
_BLOCK = 2**24


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be evaluated."""
    options = _parser().parse_args(argv)
    try:
        record, reused = evaluate_files(options)
    except ValueError as error:
        print(f"lossbench.evaluate: error: {error}", file=sys.stderr)
        return 1
    from lossbench.report.summary import run_summary, show

    if reused:
        print(f"finished before: {options.out} (--force evaluates again)")
    for line in _cautions(record):
        print(f"lossbench.evaluate: warning: {line}", file=sys.stderr)
    show(run_summary(record, options.out))
    print("\n".join(_comparison(record)), end="")
    return 0


def evaluate_files(options: argparse.Namespace) -> tuple[Record, bool]:
    """The record of the files named, and whether it was there before; writes DIR/result.json last."""
    from lossbench.embeddings import read

    started = time.perf_counter()
    given = read(options.embeddings, options.labels)
    other = _other(options, given)
    config = {
        "protocol": {"names": _protocols(options), "bootstrap": options.bootstrap, "seed": options.seed}
    }
    identity = _digest(config, given, *([other] if other else []))
    if (options.out / RESULT).exists() and not options.force:
        before = read_record(options.out)
        if before.id == identity:
            return before, True
        raise ConfigError(
            f"{options.out}: holds the result of something else; choose another --out, or --force"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    return _evaluated(given, other, config, identity, options, started), False


def _other(options: argparse.Namespace, given: Embeddings) -> Embeddings | None:
    from lossbench.embeddings import read

    if options.against is None:
        return None
    if not options.bootstrap:
        raise ConfigError("--against: needs --bootstrap of at least 1")
    other = read(options.against, options.labels)
    if other.names != given.names or (other.labels != given.labels).any():
        raise ConfigError(
            f"--against {options.against}: has other labels; rows must belong together one by one"
        )
    return other


def _evaluated(
    given: Embeddings,
    other: Embeddings | None,
    config: dict[str, Any],
    identity: str,
    options: argparse.Namespace,
    started: float,
) -> Record:
    import torch

    from lossbench.environment import environment, peak_memory_mb
    from lossbench.protocols.labelled import difference, labelled
    from lossbench.records import write_curves, write_record
    from lossbench.report.figures import run_figures

    rows, labels = torch.from_numpy(given.rows), torch.from_numpy(given.labels)
    drawn = {"replicates": options.bootstrap, "seed": options.seed}
    found = labelled(rows, labels, protocols=config["protocol"]["names"], **drawn)
    against = {}
    if other:
        differences = difference(rows, torch.from_numpy(other.rows), labels, **drawn)
        against = {"against": {"embeddings": str(options.against), "differences": differences}}
    name = options.name or options.embeddings.stem
    names = {"dataset": (options.labels or options.embeddings).stem, "head": name, "knobs": {}}
    device = torch.device("cpu")
    record = Record(
        id=identity,
        config=config,
        metrics=found.evaluation.metrics,
        details=names | {"embeddings": str(options.embeddings)} | found.evaluation.details | against,
        intervals=found.intervals,
        cost={"seconds": time.perf_counter() - started, "peak_memory_mb": peak_memory_mb(device)},
        split={"roles": {"test": given.facts()}, "sha256": identity},
        environment=environment(device, str(given.rows.dtype)),
    )
    curves = found.evaluation.curves
    write_curves(options.out, **curves)
    if not options.no_figures:
        run_figures(options.out / "figures", record, curves, [])
    write_record(options.out, record)
    return record


def _protocols(options: argparse.Namespace) -> list[str]:
    return [options.protocol] if options.protocol else list(PROTOCOLS)


def _digest(config: dict[str, Any], *systems: Embeddings) -> str:
    """Hex sha256 of every row, every label and what is asked of them."""
    from lossbench.identity import RECIPE

    digest = hashlib.sha256(json.dumps([config, RECIPE], sort_keys=True).encode())
    for given in systems:
        digest.update(json.dumps([given.names, str(given.rows.dtype), given.rows.shape]).encode())
        digest.update(given.labels.tobytes())
        step = max(1, _BLOCK // given.rows.shape[1])
        for start in range(0, len(given.rows), step):
            digest.update(given.rows[start : start + step].tobytes())
    return digest.hexdigest()


def _comparison(record: Record) -> list[str]:
    """A line for each difference to the other system."""
    from lossbench.report.names import pretty_name

    against = record.details.get("against")
    if not against:
        return []
    lines = [f"against {against['embeddings']}, the same identities drawn for both:"]
    for name, found in against["differences"].items():
        low, high = 100 * found["low"], 100 * found["high"]
        verdict = "resolved" if low > 0 or high < 0 else "not resolved"
        told = f"{100 * found['difference']:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}: {verdict}"
        lines.append(f"  {pretty_name(name):<14} {told}")
    return [*lines, ""]


def _cautions(record: Record) -> list[str]:
    facts = record.split["roles"]["test"]
    told = []
    if facts["zero_rows"]:
        told.append(f"{facts['zero_rows']:,} rows are zero: their cosine with everything counts as 0")
    if facts["without_mate"]:
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
    parser.add_argument("--protocol", choices=PROTOCOLS, help="only this one (default: both)")
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
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number >= 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
