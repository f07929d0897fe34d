"""python -m lossbench.chapter: check what the chapter claims."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from lossbench.command import finish
from lossbench.validate import make_folder

if TYPE_CHECKING:
    from lossbench.chapter.claim import Finding


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 where a claim's check did not come out as expected or an id is unknown."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.out:
        make_folder(parser, options.out)
    # Only now: --help should answer at once.
    import torch

    from lossbench.chapter import claims
    from lossbench.chapter.claim import examine
    from lossbench.chapter.pages import working, write_drawn

    # The checks are small: threads would wait for each other, and sums depend on how many there are.
    torch.set_num_threads(1)
    known = {one.id: one for found in claims().values() for one in found}
    for name in options.ids:
        if name not in known:
            near = get_close_matches(name, known, 3)
            print(f"lossbench.chapter: error: {name}: no such claim; {_among(near)}", file=sys.stderr)
            return 1
    if options.list:
        print("\n".join(f"{one.id:<22} {one.says}" for one in known.values()))
        return 0
    if options.ids:
        found = [examine(known[name]) for name in options.ids]
        print("\n\n".join(map(working, found)))
        if options.out:
            print(*write_drawn(options.out, found), sep="\n")
        return int(any(one.work.failed for one in found))
    return _all(options.out or Path("results/chapter"))


def _all(folder: Path) -> int:
    import torch
    from rich.console import Console
    from rich.progress import track

    from lossbench.chapter import claims
    from lossbench.chapter.claim import examine
    from lossbench.chapter.pages import write_pages
    from lossbench.environment import environment

    console = Console(stderr=True)
    every = [(heading, one) for heading, found in claims().items() for one in found]
    findings: dict[str, list[Finding]] = {heading: [] for heading, _ in every}
    for heading, one in track(
        every, "checking", console=console, transient=True, disable=not console.is_terminal
    ):
        findings[heading].append(examine(one))
    write_pages(folder, findings, environment(torch.device("cpu"), "float64"))
    done = [finding for found in findings.values() for finding in found]
    for finding in done:
        if not finding.as_expected:
            print(f"{finding.claim.id}: {finding.verdict}: {finding.remark}")
    print(f"{len(done)} claims in {sum(each.seconds for each in done):.0f} s: {folder / 'claims.md'}")
    return int(any(each.work.failed for each in done))


def _among(near: Sequence[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else "--list shows all"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.chapter",
        description="Check what the chapter claims: all into a page with figures, or one step by step.",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="claims to work through, e.g. C-3.6.4-ex")
    parser.add_argument("--list", action="store_true", help="all ids and what they say")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: results/chapter; with ID: nothing)"
    )
    return parser


if __name__ == "__main__":
    finish(main, "lossbench.chapter")
