"""python -m lossbench.embed: embeddings of a folder of images, made by a trained run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with one line for what cannot be read."""
    options = _parser().parse_args(argv)
    try:
        rows, labels, passed_over = embed_folder(options.run, options.path)
    except ValueError as error:
        print(f"lossbench.embed: error: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    np.save(options.out / "embeddings.npy", rows)
    (options.out / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    print(f"{len(rows):,} images of {len(set(labels)):,} identities, {rows.shape[1]} numbers each")
    if passed_over:
        print(f"{passed_over:,} files that are no images were passed over")
    print(f"evaluate python -m lossbench.evaluate {options.out}/embeddings.npy {options.out}/labels.txt "
          f"--out {options.out}")  # fmt: skip
    return 0


def embed_folder(run: Path, folder: Path) -> tuple[np.ndarray, list[str], int]:
    """Embeddings (n, d) float32 and identities of ``folder/<identity>/...``, and files passed over."""
    from lossbench.datasets.folders import find_images, read_images

    found = find_images(folder)

    import torch

    from lossbench.evaluation import embed
    from lossbench.trained import load_backbone

    backbone, shape, precision = load_backbone(run)
    if len(shape) != 3:
        raise ValueError(f"{run}: was trained on vectors of {shape[0]} numbers, not on images")
    parts = [
        embed(backbone, torch.from_numpy(block).permute(0, 3, 1, 2), precision=precision)
        for block in read_images(found.files, shape=(shape[0], shape[1], shape[2]))
    ]
    return torch.cat(parts).numpy(), [identity for identity, _ in found.files], found.passed_over


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lossbench.embed",
        description="Embeddings of images by a trained run: DIR/embeddings.npy and DIR/labels.txt.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "path", type=Path, metavar="PATH", help="folder with one folder of images an identity"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
