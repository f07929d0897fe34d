"""python -m lossbench.embed: embeddings of a folder of images, made by a trained run."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

BLOCK = 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be read."""
    options = _parser().parse_args(argv)
    try:
        told = embed_folder(options.run, options.path, options.out)
    except (ValueError, OSError) as error:
        print(f"lossbench.embed: error: {error}", file=sys.stderr)
        return 1
    files = shlex.join(str(options.out / name) for name in ("embeddings.npy", "labels.txt"))
    print(f"{told}\nevaluate python -m lossbench.evaluate {files} --out {shlex.quote(str(options.out))}")
    return 0


def embed_folder(run: Path, folder: Path, out: Path) -> str:
    """Write embeddings (n, d) float32, identities and files of ``folder/<identity>/...``; tells of it."""
    from lossbench.datasets.folders import find_images, read_images

    found = find_images(folder)

    import torch
    from rich.progress import track

    from lossbench.build import pick_device
    from lossbench.evaluation import embed
    from lossbench.trained import load_backbone

    device = pick_device("auto")
    backbone, shape, precision = load_backbone(run, device)
    if len(shape) != 3:
        raise ValueError(f"{run}: was trained on vectors of {shape[0]} numbers, not on images")
    out.mkdir(parents=True, exist_ok=True)
    partial = out / "embeddings.partial.npy"
    rows = np.lib.format.open_memmap(partial, "w+", np.float32, (len(found.files), backbone.dim))
    blocks = read_images(found.files, shape=(shape[0], shape[1], shape[2]), block=BLOCK)
    console = Console(stderr=True)
    steps = range(0, len(rows), BLOCK)
    for start in track(steps, "embedding", console=console, transient=True, disable=not console.is_terminal):
        images = torch.from_numpy(next(blocks)).permute(0, 3, 1, 2).to(device)
        rows[start : start + BLOCK] = embed(backbone, images, precision=precision).cpu().numpy()
    rows.flush()
    partial.replace(out / "embeddings.npy")
    _write_lines(out / "labels.txt", [identity for identity, _ in found.files])
    _write_lines(out / "images.txt", [str(path.relative_to(folder)) for _, path in found.files])
    identities = len({identity for identity, _ in found.files})
    told = f"{len(rows):,} images of {identities:,} identities, {rows.shape[1]} numbers each"
    return told + (f"; passed over, no images: {found.passed_over:,} files" if found.passed_over else "")


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.embed",
        description="Embeddings of images by a trained run: DIR/embeddings.npy, labels.txt, images.txt.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="folder with one folder of images an identity"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
