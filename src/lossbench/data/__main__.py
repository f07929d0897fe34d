"""python -m lossbench.data list | prepare NAME | check PATH: which sets there are, and what is in them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from lossbench.command import finish


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 for a mistake or a set that cannot be read as a whole."""
    logging.basicConfig(level=logging.WARNING, format="lossbench: warning: %(message)s")
    warnings.formatwarning = lambda message, *_, **__: f"lossbench: warning: {message}\n"
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        return _fail(_explained(error, getattr(options, "overrides", [])))


def _list(_: argparse.Namespace) -> int:
    from lossbench.data.listing import show_catalogue

    show_catalogue()
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from lossbench.data.preparing import prepare

    prepare(options.name, options.overrides, options.sheet)
    return 0


def _check(options: argparse.Namespace) -> int:
    from lossbench.data.checking import check

    return check(options.path, root=options.root, csv_file=options.csv)


def _explained(error: Exception, overrides: Sequence[str]) -> str:
    """One line, whoever raised it."""
    from lossbench.mistakes import explain

    wrapped = type(error).__name__ == "InstantiationException" and error.__cause__
    fault = wrapped or error
    if type(fault).__module__.partition(".")[0] in ("hydra", "omegaconf"):
        return explain(fault, overrides)
    told = " ".join(str(fault).split())
    return told if isinstance(fault, ValueError | OSError) else f"{type(fault).__name__}: {told}"


def _fail(text: str) -> int:
    print(f"lossbench.data: error: {text}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.data",
        description="Data sets: which there are, what is in one, what is wrong.",
    )
    commands = parser.add_subparsers(required=True, metavar="list | prepare | check")
    listed = commands.add_parser("list", help="all sets, and where their files are")
    listed.set_defaults(run=_list)
    prepared = commands.add_parser("prepare", help="download, decode or draw a set, and say what is in it")
    prepared.set_defaults(run=_prepare)
    prepared.add_argument("name", metavar="NAME", help="option of dataset, e.g. lfw")
    prepared.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="e.g. dataset.height=64")
    prepared.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="contact sheet of all splits to write"
    )
    checked = commands.add_parser(
        "check", help="read every image of a set: exit code 1 if one cannot be read", description=_CHECKED
    )
    checked.set_defaults(run=_check)
    checked.add_argument("path", type=Path, metavar="PATH", help="folder, tar, zip, .rec or .csv")
    checked.add_argument("--root", type=Path, metavar="DIR", help="what the paths of a .csv are relative to")
    checked.add_argument("--csv", type=Path, metavar="FILE", help="write one row a finding")
    return parser


_CHECKED = (
    "Read every image of a folder, tar or zip of identity folders, of a .rec or of a .csv, and name those "
    "that are broken, unusual, copies or alone."
)

if __name__ == "__main__":
    finish(main, "lossbench.data")
