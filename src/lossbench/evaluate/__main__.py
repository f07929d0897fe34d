"""python -m lossbench.evaluate: the numbers of embeddings made anywhere, in the same record as a run's."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lossbench.command import finish

if TYPE_CHECKING:
    from lossbench.records import Record

DEFAULT = ("verification", "identification")
PROTOCOLS = (*DEFAULT, "lfw", "blufr", "megaface", "ijb_verification", "ijb_identification")
RULES, FLIPS = ("exact", "insightface", "sphereface"), ("none", "concat", "sum")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 with one line for what cannot be evaluated, 130 where the user stops it."""
    options = _parser().parse_args(argv)
    try:
        return _evaluate(options)
    except KeyboardInterrupt:
        print("lossbench.evaluate: stopped, nothing was written", file=sys.stderr)
        return 130


def _evaluate(options: argparse.Namespace) -> int:
    # Only now: --help should answer at once.
    from rich.console import Console
    from rich.markup import escape

    from lossbench.evaluate.files import evaluate_files
    from lossbench.evaluate.request import Request
    from lossbench.report.summary import run_summary, show

    settings = dict(vars(options))
    only = settings.pop("protocol")
    settings |= {"protocols": (only,) if only else DEFAULT, "figures": not settings.pop("no_figures")}
    settings["gallery"] = tuple(settings["gallery"])
    try:
        with Console(stderr=True).status("evaluating") as status:  # shown on a terminal only
            record, reused = evaluate_files(
                Request(**settings), lambda line: status.update(f"evaluating: {escape(line)}")
            )
    except OSError as error:
        return _refused(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        return _refused(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not re.search(
            r"out of memory|can't allocate memory", str(error)
        ):
            raise
        return _refused("not enough memory: --bootstrap 0 and float16 rows take the least")
    if reused:
        print(f"finished before: {options.out} (--force evaluates again)")
    show(run_summary(record, options.out))
    print("\n".join(_comparison(record)), end="")
    return 0


def _refused(reason: str) -> int:
    print(f"lossbench.evaluate: error: {' '.join(reason.split())}", file=sys.stderr)
    return 1


def _comparison(record: Record) -> list[str]:
    """A line for each difference to the other system."""
    from lossbench.report.names import pretty_name

    against = record.details.get("against")
    if not against:
        return []
    if not against["differences"]:
        return [
            f"against {against['embeddings']}: no metric differs in any replicate, nothing to compare",
            "",
        ]
    people = record.split["roles"]["test"]["identities"]
    differences = against["differences"]
    lines = [
        f"against {against['embeddings']}, the same of {people:,} identities drawn for both;",
        f"difference in points (of EER: below 0 is better), 95 % interval, verdict over {len(differences)}:",
    ]
    for name, found in differences.items():
        low, high = 100 * found["low"], 100 * found["high"]
        told = f"{100 * found['difference']:+7.2f}  {low:+.2f} to {high:+.2f}"
        lines.append(f"  {pretty_name(name):<20} {told:<26} {_verdict(found)}")
    return [*lines, ""]


def _verdict(found: Mapping[str, float]) -> str:
    """Whether there is a difference; p_holm is adjusted for the number of metrics compared."""
    adjusted = found.get("p_holm")
    if adjusted is None:
        return "without 0" if found["low"] > 0 or found["high"] < 0 else "not resolved"
    return f"{'resolved' if adjusted < 0.05 else 'not resolved'} (Holm's p {adjusted:.2g})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.evaluate",
        usage="%(prog)s EMB [LABELS] --out DIR [--protocol NAME] [options]",
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
        help="one identity a row: .txt or .npy, -1 for distractors (default: in EMB, under 'labels'); "
        "none for ijb_* and a .bin, whose lists give the order of rows",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, help="only this one (default: verification and identification)"
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="lfw: pairs.txt, LABELS then names each row's image; or cfp_fp.bin and such, rows then are its "
        "images. ijb_verification: *_template_pair_label.txt",
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
    parser.add_argument("--rule", choices=RULES, help="lfw: how the threshold is chosen (default: exact)")
    parser.add_argument(
        "--flip",
        choices=FLIPS,
        help="lfw, ijb_*: how rows came from an image and its mirror; only written down",
    )
    parser.add_argument(
        "--media",
        type=Path,
        metavar="FILE",
        help="ijb_*: *_face_tid_mid.txt, template and medium of each row",
    )
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="FILE",
        help="ijb_*: *_name_5pts_score.txt, whose scores weigh the images",
    )
    parser.add_argument(
        "--unit",
        action="store_true",
        help="ijb_*: images become unit vectors before pooling (default: a large norm weighs more)",
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="ijb_identification: *_1N_gallery_*.csv, one or both",
    )
    parser.add_argument("--probes", type=Path, metavar="FILE", help="ijb_identification: *_1N_probe_*.csv")
    parser.add_argument("--cleaned", action="store_true", help="megaface: mislabelled images were left out")
    parser.add_argument(
        "--bootstrap",
        type=_count,
        default=1000,
        metavar="N",
        help="replicates over identities, of all but lfw and ijb_*; 0: none (default: 1000)",
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
    parser.add_argument(
        "--dataset", help="what to call the rows (default: the name of LABELS or of the list)"
    )
    parser.add_argument("--no-figures", action="store_true", help="numbers only")
    parser.add_argument("--force", action="store_true", help="evaluate again and write over DIR")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number in [0, 2**31)")
    return int(text)


if __name__ == "__main__":
    finish(main, "lossbench.evaluate")
